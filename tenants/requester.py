"""Who is asking: the person of a browser's session, with what that session is worth (decision 11)."""

from datetime import datetime, timedelta
from importlib import import_module
from time import time
from typing import TYPE_CHECKING, Any
from uuid import UUID

from allauth.account.internal.flows.login import record_authentication
from django.conf import settings
from django.contrib.auth import get_user, login
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest
from django.utils import timezone

from tenants import access
from tenants.models import Branch, Chain, Role, User
from tenants.powers import Held, Powers

if TYPE_CHECKING:
    from django.contrib.sessions.backends.base import SessionBase

Requester = User | AnonymousUser

ACTING_AS = "acting_as"
SEEN_AS = "seen_as"
METHODS = "account_authentication_methods"  # allauth's record of how this session signed in
METHODS_OF = "account_authentication_methods_user"
ACTING_TIME = timedelta(minutes=30)
# Ways in that prove enough to set up a first second factor. A phone code alone does not: SIM cards can be taken over.
PROVEN_BY = frozenset({"password", "code", "socialaccount", "link", "cloudflare_access", "mfa"})
RECENTLY = timedelta(minutes=10)  # how long a proof is enough to change how one signs in
# Of a session of staff and managers, used or not; those of others end 30 days after their last use.
TRUSTED_TIME = timedelta(hours=12)
_EXPIRY = "_session_expiry"  # Django's


def requester_of(session: "SessionBase", user: Requester) -> Requester:
    """`user`, or whom they act as, with the powers of this session. One query more while acting as somebody."""
    if not isinstance(user, User):
        return user
    given = has_second_factor(session, user)
    user.powers = Powers(second_factor=given)
    if not given:
        return user
    if SEEN_AS in session:
        held = _seen_as(session[SEEN_AS])
        # What they may no longer give, they may no longer see either.
        if held is not None and _may_still_see_as(user, held):
            user.powers = Powers(second_factor=True, seen_as=held, read_only=True)
        return user
    if ACTING_AS in session:
        return _acting_as(session[ACTING_AS], user) or user
    return user


def sign_in(request: HttpRequest, user: User, *, method: str) -> None:
    """Begin a session of this person and remember how it began; for ways in that are not allauth's."""
    login(request, user, backend=settings.AUTHENTICATION_BACKENDS[0])
    record_authentication(request, user, method=method)


def user_of_session(session_key: str | None) -> Requester:
    """Whoever is signed in with a session by now, read anew: for sockets, which outlive their request."""
    request = HttpRequest()
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(session_key)
    return requester_of(request.session, get_user(request))


def methods_of(session: "SessionBase", user: User, *, within: timedelta | None = None) -> frozenset[str]:
    """How this person proved who they are in this session, as allauth recorded it; the latest proofs only, if asked."""
    if session.get(METHODS_OF) != str(user.pk):
        return frozenset()
    records: list[dict[str, Any]] = session.get(METHODS) or []
    since = time() - within.total_seconds() if within else 0
    return frozenset(str(each.get("method")) for each in records if each.get("at", 0) >= since)


def limit_session(session: "SessionBase", user: User) -> None:
    """Let a session of staff or managers end at a fixed time; one that began before they were, from now."""
    if not isinstance(session.get(_EXPIRY), str) and access.is_trusted(user):
        session.set_expiry(timezone.now() + TRUSTED_TIME)


def has_second_factor(session: "SessionBase", user: User) -> bool:
    """Whether this person gave a second factor in this session."""
    return "mfa" in methods_of(session, user)


def acting_entry(user: User) -> dict[str, str]:
    """What a session holds while somebody acts as `user`."""
    return {"user": str(user.pk), "until": (timezone.now() + ACTING_TIME).isoformat()}


def seen_as_entry(role: Role, place: Chain | Branch | None) -> dict[str, str]:
    """What a session holds while everything is looked at as this role in this place."""
    return {
        "role": role.code,
        "chain": str(place.pk) if isinstance(place, Chain) else "",
        "branch": str(place.pk) if isinstance(place, Branch) else "",
        "role_name": role.name,
        "place_name": place.name if place else "",
    }


def _acting_as(entry: dict[str, str], actor: User) -> User | None:
    if datetime.fromisoformat(entry["until"]) <= timezone.now():
        return None
    user = User.objects.filter(pk=UUID(entry["user"]), is_active=True).first()
    if user is None or not access.may_act_as(actor, user):
        return None
    user.powers = Powers(second_factor=True, behind=actor.pk)
    return user


def _seen_as(entry: dict[str, str]) -> Held | None:
    role = Role.objects.filter(code=entry["role"]).first()
    if role is None:
        return None
    return Held(
        role=role.code,
        permissions=frozenset(role.permissions),
        chain_id=UUID(entry["chain"]) if entry["chain"] else None,
        branch_id=UUID(entry["branch"]) if entry["branch"] else None,
    )


def _may_still_see_as(user: User, held: Held) -> bool:
    place: Chain | Branch | None = None
    if held.branch_id:
        place = Branch.objects.filter(pk=held.branch_id).first()
    elif held.chain_id:
        place = Chain.objects.filter(pk=held.chain_id).first()
    if place is None and (held.branch_id or held.chain_id):
        return False
    return access.holds_all(user, held.permissions, place)
