"""Second factors: setting up, giving, removing. Giving is allauth's views; the rest calls our services."""

import base64
from collections.abc import Callable
from functools import wraps
from typing import Any

from allauth.account.adapter import get_adapter as account_adapter
from allauth.account.internal.flows.login import record_authentication
from allauth.account.models import Login
from allauth.account.stages import LoginStageController
from allauth.account.utils import get_next_redirect_url
from allauth.core.exceptions import ReauthenticationRequired
from allauth.mfa.adapter import get_adapter
from allauth.mfa.base import views as base
from allauth.mfa.models import Authenticator
from allauth.mfa.stages import AuthenticateStage
from allauth.mfa.totp.internal.auth import clear_totp_secret
from allauth.mfa.webauthn import views as webauthn
from allauth.mfa.webauthn.internal.auth import begin_authentication, begin_registration
from allauth.mfa.webauthn.internal.flows import perform_passwordless_login
from allauth.socialaccount.providers.base import AuthProcess
from allauth.utils import get_request_param
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from core.addresses import client_address
from core.errors import NotFound
from tenants import access
from tenants.factor_forms import AddKeyForm, RenameKeyForm, SetUpAppForm
from tenants.models import User
from tenants.proof import Missing, missing_proof
from tenants.requester import PROVEN_BY, methods_of
from tenants.services.second_factor import (
    add_app,
    add_key,
    owns_second_factor,
    remove_factor,
    rename_key,
    renew_recovery_codes,
    require_removable,
    take_key_sign_in,
)
from tenants.views.ways_in import following, way_in

View = Callable[..., HttpResponse]
_AFTER = "after_second_factor"
_TOTP, _KEY, _CODES = Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN, Authenticator.Type.RECOVERY_CODES


def changes_sign_in(view: View, *, asks_password: bool = False) -> View:
    """Of a page where somebody changes how they sign in: they have proved who they are a moment ago, or do so now.

    `asks_password`: the page asks for the password itself.
    """

    @login_required
    @way_in
    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        missing = missing_proof(request.session, access.person(request.user))
        if missing is None or (asks_password and missing is Missing.PASSWORD):
            return view(request, *args, **kwargs)
        return _ask_for(missing, request, target=request.path)

    return guarded


def changes_reach(view: View, *, back: str = "") -> View:
    """Of allauth's pages about one's address and Google: whoever sends something has proved who they are a moment ago.

    Who has nothing but a phone did so by a code. What was sent waits (allauth keeps it) while others prove it now.
    `back` names the page to come back to after signing in anew, this one without.
    """

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.method == "POST" and request.user.is_authenticated:
            missing = missing_proof(request.session, access.person(request.user), phone_counts=True)
            if missing is Missing.SIGN_IN:
                return _ask_for(missing, request, target=reverse(back) if back else request.path, proven=True)
            if missing is not None:
                raise ReauthenticationRequired
        return view(request, *args, **kwargs)

    return guarded


def begins_with_google(view: View) -> View:
    """Anybody signs in; whoever links an account of Google to their own changes how they sign in."""
    links = changes_reach(view, back="socialaccount_connections")

    @wraps(view)
    def begun(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        linking = get_request_param(request, "process") == AuthProcess.CONNECT
        return (links if linking else view)(request, *args, **kwargs)

    return begun


def _ask_for(missing: Missing, request: HttpRequest, *, target: str, proven: bool = False) -> HttpResponse:
    query = urlencode({"next": target})
    if missing is Missing.FACTOR:
        only_keys = not Authenticator.objects.filter(user=access.person(request.user), type=_TOTP).exists()
        return redirect(f"{reverse('mfa_reauthenticate_webauthn' if only_keys else 'mfa_reauthenticate')}?{query}")
    if missing is Missing.PASSWORD:
        return redirect(f"{reverse('account_reauthenticate')}?{query}")
    proven = proven or bool(methods_of(request.session, access.person(request.user)) & PROVEN_BY)
    context = {"proven": proven, "sign_in": f"{reverse('account_login')}?{query}"}
    return render(request, "tenants/second_factor_sign_in.html", context, status=403)


@never_cache
@require_safe
@login_required
def second_factor(request: HttpRequest) -> HttpResponse:
    """Where staff and managers without a second factor in this session are sent: to give it, or to set one up."""
    target = following(request, reverse("tenants:home"))
    user = access.person(request.user)
    if user.powers.second_factor:
        return redirect(target)
    if owns_second_factor(user):
        return _ask_for(Missing.FACTOR, request, target=target)
    request.session[_AFTER] = target
    if missing_proof(request.session, user) is Missing.SIGN_IN:
        return _ask_for(Missing.SIGN_IN, request, target=target)
    return render(request, "tenants/second_factor.html")


@require_http_methods(["GET", "POST"])
@changes_sign_in
def set_up_app(request: HttpRequest) -> HttpResponse:
    """A secret as picture and text; the first code proves that the app has it."""
    user = access.person(request.user)
    if Authenticator.objects.filter(user=user, type=_TOTP).exists():
        return redirect("tenants:security")
    form = SetUpAppForm(user=user, data=request.POST if request.method == "POST" else None)
    if form.is_valid():
        first = not owns_second_factor(user)
        codes = add_app(user=user, secret=form.secret, step=form.step, first=first)
        clear_totp_secret(request)
        messages.success(request, _("The authenticator app is set up."))
        return _added(request, user, codes, first=first, mail="totp_activated")
    adapter = get_adapter()
    url = adapter.build_totp_url(user, form.secret)
    picture = base64.b64encode(adapter.build_totp_svg(url).encode()).decode()
    context = {
        "form": form,
        "secret": [form.secret[at : at + 4] for at in range(0, len(form.secret), 4)],
        "picture": f"data:image/svg+xml;base64,{picture}",
        "url": url,
    }
    return render(request, "mfa/app_set_up.html", context)


@require_http_methods(["GET", "POST"])
@changes_sign_in
def remove_app(request: HttpRequest) -> HttpResponse:
    """Ask, then remove the app."""
    return _remove(request, _own(request, type=_TOTP), mail="totp_deactivated")


@require_safe
@changes_sign_in
def keys(request: HttpRequest) -> HttpResponse:
    """One's passkeys and security keys."""
    rows = Authenticator.objects.filter(user=access.person(request.user), type=_KEY).order_by("created_at")
    return render(request, "mfa/keys.html", {"keys": [(row, row.wrap().is_passwordless) for row in rows]})


@require_http_methods(["GET", "POST"])
@changes_sign_in
def add_key_page(request: HttpRequest) -> HttpResponse:
    """The browser makes the key; `webauthn.js` hands over what it answered."""
    user = access.person(request.user)
    form = AddKeyForm(user=user, data=request.POST if request.method == "POST" else None)
    if form.is_valid():
        first = not owns_second_factor(user)
        given = form.cleaned_data
        codes = add_key(user=user, name=given["name"], credential=given["credential"], first=first)
        messages.success(request, _("The key is set up."))
        return _added(request, user, codes, first=first, mail="webauthn_added")
    options = begin_registration(user, False)
    # A key that can keep the account's name signs in alone; one that can't is still a second factor.
    choice = options["publicKey"].setdefault("authenticatorSelection", {})
    options["publicKey"]["authenticatorSelection"] = {**choice, "residentKey": "preferred", "requireResidentKey": False}
    return render(request, "mfa/key_add.html", {"form": form, "options": options})


@require_http_methods(["GET", "POST"])
@changes_sign_in
def rename_key_page(request: HttpRequest, pk: int) -> HttpResponse:
    """Another name for a key."""
    key = _own(request, type=_KEY, pk=pk)
    form = RenameKeyForm(instance=key, data=request.POST if request.method == "POST" else None)
    if form.is_valid():
        rename_key(key=key, name=form.cleaned_data["name"])
        return redirect("mfa_list_webauthn")
    return render(request, "mfa/key_rename.html", {"form": form})


@require_http_methods(["GET", "POST"])
@changes_sign_in
def remove_key(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask, then remove the key."""
    return _remove(request, _own(request, type=_KEY, pk=pk), mail="webauthn_removed")


@require_http_methods(["GET", "POST"])
@changes_sign_in
def recovery_codes(request: HttpRequest) -> HttpResponse:
    """How many are left; make new ones, which end the old ones."""
    user = access.person(request.user)
    if request.method == "POST":
        codes = renew_recovery_codes(user=user)
        account_adapter().send_notification_mail("mfa/email/recovery_codes_generated", user)
        return _show_codes(request, codes)
    return render(
        request, "mfa/recovery_codes.html", {"left": len(_own(request, type=_CODES).wrap().get_unused_codes())}
    )


class GiveWhileSigningIn(base.AuthenticateView):
    """The second step of a sign-in: a code or a key."""

    template_name = "mfa/give.html"

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        stage = LoginStageController.enter(request, AuthenticateStage.key)
        if stage is not None and not owns_second_factor(stage.login.user):
            # Reset meanwhile: the sign-in page would only send back here.
            answer: HttpResponse = account_adapter().begin_again(request)
            return answer
        given: HttpResponseBase = super().dispatch(request, *args, **kwargs)
        return given


class Give(base.ReauthenticateView):
    """A code, from somebody who is signed in."""

    template_name = "mfa/confirm.html"

    def form_valid(self, form: Any) -> HttpResponse:
        response: HttpResponse = super().form_valid(form)
        self.request.session.cycle_key()
        return response


class GiveKey(webauthn.ReauthenticateWebAuthnView):
    """A key, from somebody who is signed in."""

    template_name = "mfa/confirm_key.html"

    def form_valid(self, form: Any) -> HttpResponse:
        response: HttpResponse = super().form_valid(form)
        self.request.session.cycle_key()
        return response

    def form_invalid(self, form: Any) -> HttpResponse:
        messages.error(self.request, _("The key was not accepted. Try again."))
        return redirect(self.request.get_full_path())


class SignInWithKey(webauthn.LoginWebAuthnView):
    """A passkey instead of everything else: it proves the person (PIN, finger, face) and that the key is there."""

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """What the page's script asks the browser for."""
        if request.accepts("text/html"):
            return redirect("account_login")
        return JsonResponse(begin_authentication(user=None))

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        take_key_sign_in(address=client_address(request))
        answer: HttpResponse = super().post(request, *args, **kwargs)
        return answer

    def form_valid(self, form: Any) -> HttpResponse:
        key = form.cleaned_data["credential"]
        # The key proves who it is, whether or not they read mail.
        login = Login(user=key.user, email_verification="none", redirect_url=get_next_redirect_url(self.request))
        answer: HttpResponse = perform_passwordless_login(self.request, key, login)
        return answer

    def form_invalid(self, form: Any) -> HttpResponse:
        messages.error(self.request, _("The passkey was not accepted. Sign in another way."))
        return redirect("account_login")


give_while_signing_in = way_in(GiveWhileSigningIn.as_view())
give = way_in(Give.as_view())
give_key = way_in(GiveKey.as_view())
sign_in_with_key = way_in(SignInWithKey.as_view())


def _own(request: HttpRequest, **which: Any) -> Authenticator:
    row = Authenticator.objects.filter(user=access.person(request.user), **which).select_related("user").first()
    if row is None:
        raise NotFound
    return row


def _added(request: HttpRequest, user: User, codes: list[str], *, first: bool, mail: str) -> HttpResponse:
    """What was set up a moment ago was given as well: the session is confirmed, under a new cookie."""
    if first:
        record_authentication(request, user, method="mfa")
        request.session.cycle_key()
    account_adapter().send_notification_mail(f"mfa/email/{mail}", user)
    return _show_codes(request, codes) if codes else redirect("tenants:security")


def _show_codes(request: HttpRequest, codes: list[str]) -> HttpResponse:
    """The one time they are shown: in the answer to what made them."""
    following = request.session.pop(_AFTER, "") or reverse("tenants:security")
    return render(
        request, "mfa/recovery_codes_shown.html", {"codes": codes, "file": "\n".join(codes), "next": following}
    )


def _remove(request: HttpRequest, factor: Authenticator, *, mail: str) -> HttpResponse:
    user = access.person(request.user)
    if request.method == "POST":
        remove_factor(user=user, factor=factor)
        messages.success(request, _("It is removed."))
        account_adapter().send_notification_mail(f"mfa/email/{mail}", user)
        return redirect("tenants:security")
    require_removable(factor)
    return render(request, "mfa/factor_remove.html", {"factor": factor, "last": _is_last(user, factor)})


def _is_last(user: User, factor: Authenticator) -> bool:
    return not Authenticator.objects.filter(user=user, type__in=(_TOTP, _KEY)).exclude(pk=factor.pk).exists()
