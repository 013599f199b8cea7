"""Who is asking, for every request; and what nobody may do in the state they are in."""

from collections.abc import Callable
from datetime import timedelta

from django.contrib.auth.middleware import get_user
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import SimpleLazyObject
from django.utils.http import urlencode
from django.utils.translation import gettext_lazy as _

from core import audit
from core.addresses import client_address
from core.errors import NotAllowed
from core.views import refuse
from tenants import access
from tenants.models import BrowserSession, User
from tenants.requester import Requester, limit_session, requester_of
from tenants.services.acting import drop_what_ended
from tenants.services.sessions import note_seen
from tenants.session_store import hash_of

GetResponse = Callable[[HttpRequest], HttpResponse]

# Where staff and managers get without a second factor: to the pages that take one, and to those of customers, where
# they count as customers until then.
OPEN_TO_ALL = (
    "/auth/second-factor",
    "/auth/2fa",
    "/auth/confirm",
    "/auth/link/",
    "/auth/invitation/",
    "/auth/sign-out",
    "/auth/sign-in",
    "/auth/leave",
    "/s/",
    "/r/",
    "/me/",
    "/i18n/",
    "/healthz",
    "/static/",
)
# What somebody who looks at the product as another role may still send.
LEAVING = ("/auth/leave", "/auth/sign-out", "/i18n/")
# What is another's alone, whoever acts as them: everything below but the ways out and home.
PRIVATE = ("/auth/", "/api/auth/")
HARMLESS = (*LEAVING, "/auth/home", "/api/auth/me")
SEEN_EVERY = timedelta(minutes=5)
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class SecondFactorMissing(NotAllowed):
    """Staff and managers reach nothing without one."""

    code = "second-factor-required"
    title = _("Confirm that it is you with your second factor")


class RequesterMiddleware:
    """Puts whoever is asking, with their powers, on the request; after Django's session and authentication."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        with audit.origin(audit.Origin(address=client_address(request) or None)):
            signed_in = _signed_in(request)
            request.signed_in = signed_in  # type: ignore[attr-defined]  # who it is without acting as somebody
            user = requester_of(request.session, signed_in) if signed_in.is_authenticated else signed_in
            if not user.is_authenticated:
                return self.get_response(request)
            request.user = user
            if user.powers.behind:
                audit.amend_origin(behind=user.powers.behind)
            dropped = drop_what_ended(session=request.session, actor=access.person(signed_in), user=user)
            limit_session(request.session, access.person(signed_in))
            _note_session(request, access.person(signed_in))
            refusal = (_meant_as_another(request) if dropped else None) or _refusal(request, user)
            response = refusal or self.get_response(request)
            _forget_what_ended(request)
            return response


def _signed_in(request: HttpRequest) -> Requester:
    """Without the lazy object that Django puts around them: services ask people for their type."""
    user: object = request.user
    return get_user(request) if isinstance(user, SimpleLazyObject) else request.user


def _forget_what_ended(request: HttpRequest) -> None:
    """A session that the request itself ended is not written back: Django would answer 400 to what was done."""
    session = request.session
    if session.modified and session.session_key and not session.exists(session.session_key):
        session.flush()


def _meant_as_another(request: HttpRequest) -> HttpResponse | None:
    """What was sent in another's clothes is not done in one's own: the first thing sent after acting has ended."""
    if request.method in _SAFE or request.path.startswith(LEAVING):
        return None
    return refuse(request, NotAllowed(_("You are yourself again. Nothing was done: look at it again, then send it.")))


def _refusal(request: HttpRequest, user: User) -> HttpResponse | None:
    path = request.path
    if not user.powers.second_factor and not path.startswith(OPEN_TO_ALL) and access.is_trusted(user):
        if path.startswith("/api/"):
            return refuse(request, SecondFactorMissing())
        following = f"?{urlencode({'next': request.get_full_path()})}" if request.method in _SAFE else ""
        return redirect(f"{reverse('tenants:second-factor')}{following}")
    if user.powers.read_only and request.method not in _SAFE and not path.startswith(LEAVING):
        return refuse(request, NotAllowed(_("You are looking at this as another role: nothing can be changed.")))
    if user.powers.behind and path.startswith(PRIVATE) and not path.startswith(HARMLESS):
        return refuse(request, NotAllowed(_("You are acting as somebody else: this is theirs alone.")))
    return None


def _note_session(request: HttpRequest, user: User) -> None:
    """When and from where a session was last used, for the list of one's sessions; a write every few minutes."""
    now = timezone.now()
    last = request.session.get("seen_at", 0)
    if now.timestamp() - last < SEEN_EVERY.total_seconds() or not request.session.session_key:
        return
    request.session["seen_at"] = now.timestamp()
    BrowserSession.objects.filter(pk=hash_of(request.session.session_key)).update(
        seen_at=now,
        address=client_address(request) or None,
        user_agent=request.headers.get("User-Agent", "")[:300].replace("\x00", ""),
    )
    note_seen(user)
