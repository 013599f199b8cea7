"""One's own account: how one signs in, where one is signed in, and the keys of one's programs."""

from datetime import timedelta
from itertools import groupby
from typing import Any
from uuid import UUID

from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from django import forms
from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth.decorators import login_required
from django.db.models import QuerySet
from django.forms.boundfield import BoundWidget
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from core.errors import InvalidInput, NotFound
from tenants import access
from tenants.browsers import name_of
from tenants.models import BrowserSession, PersonalToken, User
from tenants.permission_words import known_permissions, permission_words, resource_words
from tenants.services.browser_sessions import app_sessions_of, end_app_session, end_other_sessions, end_session
from tenants.services.personal_tokens import create_personal_token, may_carry, revoke_personal_token, tokens_of
from tenants.session_store import hash_of
from tenants.views.second_factor import changes_sign_in
from tenants.views.ways_in import way_in

_TOTP, _KEY, _CODES = Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN, Authenticator.Type.RECOVERY_CODES
MOST_APPS = 50
_LIFETIMES = [(30, gettext_lazy("30 days")), (90, gettext_lazy("90 days")), (365, gettext_lazy("1 year"))]


@require_safe
@login_required
@way_in
def security(request: HttpRequest) -> HttpResponse:
    """Everything about how one signs in, each with its state and the one page to change it."""
    user = access.person(request.user)
    factors = list(Authenticator.objects.filter(user=user))
    context = {
        "app": next((each for each in factors if each.type == _TOTP), None),
        "keys": sum(each.type == _KEY for each in factors),
        "codes": next((len(each.wrap().get_unused_codes()) for each in factors if each.type == _CODES), None),
        "has_password": user.has_usable_password(),
        "google": SocialAccount.objects.filter(user=user).exists(),
        "trusted": access.is_trusted(user),
        "sessions": _sessions_of(user).count() + len(app_sessions_of(user)),
        "tokens": tokens_of(user).filter(expires_at__gt=timezone.now()).count(),
    }
    return render(request, "tenants/security.html", context)


@require_safe
@login_required
@way_in
def sessions(request: HttpRequest) -> HttpResponse:
    """Where one is signed in: browsers, this one first; and apps and programs, which sign in over REST."""
    user, here = access.person(request.user), _key_of(request)
    rows = sorted(_sessions_of(user), key=lambda row: row.pk != here)
    apps = app_sessions_of(user)
    context = {
        "sessions": [{"row": row, "name": name_of(row.user_agent), "here": row.pk == here} for row in rows],
        "apps": apps[:MOST_APPS],
        "more_apps": len(apps) > MOST_APPS,
    }
    return render(request, "tenants/sessions.html", context)


@require_POST
@login_required
@way_in
def end_one(request: HttpRequest, key: str) -> HttpResponse:
    """End one of one's sessions; this one is signed out."""
    end_session(user=access.person(request.user), key=key)
    if key == _key_of(request):
        logout(request)
        return redirect("account_login")
    messages.success(request, _("That browser is signed out."))
    return redirect("tenants:sessions")


@require_POST
@login_required
@way_in
def end_app(request: HttpRequest, family: UUID) -> HttpResponse:
    """End one of one's sign-ins of apps and programs."""
    end_app_session(user=access.person(request.user), family=family)
    messages.success(request, _("That app is signed out."))
    return redirect("tenants:sessions")


@require_POST
@login_required
@way_in
def end_others(request: HttpRequest) -> HttpResponse:
    """End all of one's sessions but this one; apps are signed out, too."""
    ended = end_other_sessions(user=access.person(request.user), keep=_key_of(request))
    text = ngettext("%(count)d other sign-in is ended.", "%(count)d other sign-ins are ended.", ended)
    messages.success(request, text % {"count": ended})
    return redirect("tenants:sessions")


@require_safe
@login_required
@way_in
def tokens(request: HttpRequest) -> HttpResponse:
    """The keys of one's programs."""
    rows = tokens_of(access.person(request.user))
    shown = [{"row": row, "may": ", ".join(permission_words(scope) for scope in row.scopes)} for row in rows]
    return render(request, "tenants/tokens.html", {"tokens": shown})


@require_http_methods(["GET", "POST"])
@changes_sign_in
def create_token(request: HttpRequest) -> HttpResponse:
    """Make a token; its secret is in the answer to the POST and nowhere else."""
    user = access.person(request.user)
    form = TokenForm(user, request.POST if request.method == "POST" else None)
    if form.is_valid():
        given = form.cleaned_data
        try:
            token, secret = create_personal_token(
                user=user,
                name=given["name"],
                scopes=given["scopes"],
                expires_at=timezone.now() + timedelta(days=int(given["days"])),
            )
            return render(request, "tenants/token_created.html", {"token": token, "secret": secret})
        except InvalidInput as error:
            form.show(error)
    return render(request, "tenants/token_create.html", {"form": form})


@require_http_methods(["GET", "POST"])
@login_required
@way_in
def revoke_token(request: HttpRequest, token_id: UUID) -> HttpResponse:
    """Ask, then end one of one's tokens."""
    user = access.person(request.user)
    token = PersonalToken.objects.filter(user=user, pk=token_id).first()
    if token is None:
        raise NotFound
    if request.method == "GET":
        return render(request, "tenants/token_revoke.html", {"token": token})
    revoke_personal_token(token=token, actor=user)
    messages.success(request, _("The token is revoked. Programs that use it are refused from now on."))
    return redirect("tenants:tokens")


class TokenForm(forms.Form):
    """Name, scopes among what the person holds now, and how long."""

    name = forms.CharField(
        label=gettext_lazy("Name"),
        max_length=80,
        help_text=gettext_lazy("What will use it: “Till report”, “Backup script”."),
    )
    days = forms.ChoiceField(label=gettext_lazy("Works for"), choices=_LIFETIMES, initial=90)
    scopes = forms.MultipleChoiceField(
        label=gettext_lazy("What it may do"),
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": gettext_lazy("Choose what the token may do.")},
    )

    def __init__(self, user: User, data: Any = None) -> None:
        super().__init__(data)
        held = sorted(each for each in known_permissions() | access.OWN if may_carry(user, each))
        self.fields["scopes"].choices = [(each, permission_words(each)) for each in held]  # type: ignore[attr-defined]  # a choice field

    def groups(self) -> list[tuple[str, list[BoundWidget], bool]]:
        """(resource, its boxes, whether one is ticked)."""
        boxes = groupby(self["scopes"], key=lambda box: str(box.data["value"]).partition(":")[0])
        found = [(resource_words(resource), list(members)) for resource, members in boxes]
        return [(words, members, any(box.data["selected"] for box in members)) for words, members in found]

    def show(self, error: InvalidInput) -> None:
        """Put what a service refused beside its field."""
        for field, texts in error.errors.items():
            for text in texts:
                self.add_error(field if field in self.fields else None, str(text))
        if not error.errors:
            self.add_error(None, str(error.detail))


def _sessions_of(user: User) -> QuerySet[BrowserSession]:
    return BrowserSession.objects.filter(user=user, expire_date__gt=timezone.now()).order_by("-seen_at", "-created_at")


def _key_of(request: HttpRequest) -> str:
    return hash_of(request.session.session_key or "")
