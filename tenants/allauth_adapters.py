"""What allauth leaves to us: where people go, how mail is sent, how secrets are kept, who may sign up."""

import logging
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.adapter import get_adapter as account_adapter
from allauth.account.internal.flows.login import record_authentication
from allauth.account.internal.stagekit import clear_login
from allauth.account.models import EmailAddress
from allauth.core import context
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialAccount, SocialLogin
from allauth.socialaccount.providers.base import AuthProcess
from django.contrib import messages
from django.db import IntegrityError, transaction
from django.forms import Form
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from core.addresses import client_address
from core.errors import DomainError, InvalidInput, Unavailable
from core.mail import send_message
from core.rows import note
from core.secrets import decrypt, encrypt
from core.views import error_page, say
from tenants.browsers import name_of
from tenants.models import User
from tenants.proof import missing_proof
from tenants.requester import methods_of
from tenants.services.accounts import (
    change_password,
    link_google,
    prove_address,
    register_person,
    require_still_theirs,
)
from tenants.services.second_factor import owns_second_factor
from tenants.sign_in_limits import take_google_return, take_mail, take_password_try

logger = logging.getLogger(__name__)

_BEGUN = "sign_in_begun"
MFA_PLACE = "mfa.authenticator.data"


class AccountAdapter(DefaultAccountAdapter):
    """Accounts known by e-mail. Its methods raise `DomainError`s; the views that lead here show them as pages."""

    error_messages = {
        **DefaultAccountAdapter.error_messages,
        "account_inactive": _("This account is closed."),
        "duplicate_email": _("This is your address already."),
        "email_taken": _("This address belongs to another account. Sign in with it instead."),
        "email_password_mismatch": _("This address and this password don't belong together."),
        "enter_current_password": _("This is not your current password."),
        "incorrect_code": _("This is not the code we sent."),
        "incorrect_password": _("This is not your password."),
        "too_many_login_attempts": _("Too many tries. Ask for a new code."),
        "rate_limited": _("Please wait a little before you try again."),
    }

    def get_client_ip(self, request: HttpRequest) -> str:
        return client_address(request)

    def is_safe_url(self, url: str) -> bool:
        """Within this host; allauth's own rule trusts every host we answer to."""
        request = context.request
        return url_has_allowed_host_and_scheme(
            url, allowed_hosts={request.get_host()}, require_https=request.is_secure()
        )

    def is_ajax(self, request: HttpRequest) -> bool:
        """Pages answer with pages."""
        return False

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        take_password_try(name=credentials.get("email", ""), address=client_address(request))

    def save_user(self, request: HttpRequest, user: User, form: Form, commit: bool = True) -> User:
        given = form.cleaned_data
        return register_person(
            email=given["email"],
            password=given["password1"],
            name=given.get("name", ""),
            language=get_language() or "en",
        )

    def set_password(self, user: User, password: str) -> None:
        change_password(user=user, password=password)

    def confirm_email(self, request: HttpRequest, email_address: EmailAddress) -> bool:
        """The right code came back: of who signs in or up with a password, or is signed in. `User.email` follows."""
        user: User = email_address.user
        if _is_another(request, user):
            # Begun by somebody else in this browser: what they had proved is worth nothing to whoever came after.
            messages.error(request, _("This code is for another account. Sign out first, then ask for a new one."))
            return False
        before = user.email
        signed_in = request.user.is_authenticated
        try:
            if not signed_in:
                require_still_theirs(user, email_address.email)
            gave_password = not signed_in or "password" in methods_of(request.session, user)
            prove_address(user=user, email=email_address.email, keep_password=gave_password)
        except InvalidInput as error:
            messages.error(request, say(error))
            return False
        if not signed_in:
            # Signing in or up, they typed a code from that mail.
            record_authentication(request, user, method="code")
        if before and before != email_address.email:
            self.send_notification_mail(
                "account/email/email_changed", user, {"to_email": email_address.email}, email=before
            )
        return True

    def can_delete_email(self, email_address: EmailAddress) -> bool:
        """An address is replaced by another one, never taken away."""
        return False

    def pre_login(self, request: HttpRequest, user: User, **more: Any) -> HttpResponse | None:
        """Remember what the first factor was worth: a second one may follow minutes later."""
        request.session[_BEGUN] = _version_of(user)
        answer: HttpResponse | None = super().pre_login(request, user, **more)
        return answer

    def login(self, request: HttpRequest, user: User) -> None:
        """Begin the session, unless the account was closed, its password changed or its sessions ended meanwhile."""
        if not user.is_active:
            clear_login(request)
            raise ImmediateHttpResponse(self.respond_user_inactive(request, user))
        if request.session.pop(_BEGUN, None) != _version_of(user):
            raise ImmediateHttpResponse(self.begin_again(request))
        super().login(request, user)

    def begin_again(self, request: HttpRequest) -> HttpResponse:
        """Forget the sign-in that was begun, and say so where the next one begins."""
        clear_login(request)
        messages.error(request, _("Your account was changed while you signed in. Sign in once more."))
        return redirect("account_login")

    def post_login(
        self, request: HttpRequest, user: User, *, signal_kwargs: dict[str, Any] | None, **more: Any
    ) -> HttpResponse:
        """After the last step. Whom Google's address led to an account has the two linked from now on."""
        login: SocialLogin | None = (signal_kwargs or {}).get("sociallogin")
        if login is not None and login.account.pk is None:
            _link(user, login.account)
        answer: HttpResponse = super().post_login(request, user, signal_kwargs=signal_kwargs, **more)
        return answer

    def get_password_change_redirect_url(self, request: HttpRequest) -> str:
        """Every session ended with the old password, this one too."""
        return reverse("account_login")

    def is_reauthentication_required(self, *, app: str, **kwargs: Any) -> bool:
        """Unless who they are was proved a moment ago, be it by signing in."""
        request = context.request
        return missing_proof(request.session, request.user, phone_counts=True) is not None

    def get_reauthentication_methods(self, user: User) -> list[dict[str, Any]]:
        """Who has a second factor gives it: a password that leaked changes nothing."""
        methods: list[dict[str, Any]] = super().get_reauthentication_methods(user)
        return [each for each in methods if each["id"] != "reauthenticate"] if owns_second_factor(user) else methods

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """Mail somebody asked for, perhaps to a stranger's address. Raises `TooMany`, `Unavailable`."""
        take_mail(to=email, address=client_address(self.request))
        self._send(template_prefix, email, context)

    def send_notification_mail(
        self, template_prefix: str, user: User, context: dict[str, Any] | None = None, email: str | None = None
    ) -> None:
        """Mail about what was done, which stays done when the mail can't be sent."""
        to = email or user.email
        if not to:
            return
        try:
            self._send(template_prefix, to, {**(context or {}), "address": client_address(self.request)})
        except Unavailable:
            logger.warning("notification not sent", extra={"mail": template_prefix, "user": str(user.pk)})

    def _send(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        home = self.request.build_absolute_uri("/")
        send_message(self.render_mail(template_prefix, email, {"email": email, "home": home, **context}))


class MfaAdapter(DefaultMFAAdapter):
    """Second factors; their secrets are encrypted with the field keys."""

    def encrypt(self, text: str) -> str:
        return encrypt(text, place=MFA_PLACE)

    def decrypt(self, encrypted_text: str) -> str:
        return decrypt(encrypted_text, place=MFA_PLACE)

    def generate_authenticator_name(self, user: User, type: str) -> str:
        """A key is mostly made on what it is kept on."""
        return name_of(context.request.headers.get("User-Agent", ""))


class SocialAccountAdapter(DefaultSocialAccountAdapter):
    """Accounts of Google. What it says is checked in `tenants.google`; here it becomes one of our people."""

    def pre_social_login(self, request: HttpRequest, sociallogin: SocialLogin) -> None:
        take_google_return(address=client_address(request))
        if sociallogin.state.get("process") == AuthProcess.CONNECT:
            # allauth would write the person's whole row, as it was read.
            raise ImmediateHttpResponse(_connect(request, sociallogin))
        if not sociallogin.is_existing:
            return
        if not sociallogin.user.is_active:
            raise ImmediateHttpResponse(redirect("account_inactive"))
        if email := sociallogin._did_authenticate_by_email:
            try:
                prove_address(user=sociallogin.user, email=email, keep_password=False)
            except DomainError as error:
                raise ImmediateHttpResponse(error_page(request, error)) from None

    def populate_user(self, request: HttpRequest, sociallogin: SocialLogin, data: dict[str, Any]) -> User:
        user: User = sociallogin.user
        user.email = data["email"].lower()
        user.name = " ".join(filter(None, (data.get("first_name"), data.get("last_name"))))[:255]
        user.language = get_language() or "en"
        # Of what Google says, only what tells the person which account it is.
        sociallogin.account.extra_data = {"email": user.email}
        return user

    def save_user(self, request: HttpRequest, sociallogin: SocialLogin, form: Form | None = None) -> User:
        """A stranger becomes a customer: no grant comes with an address."""
        try:
            with transaction.atomic():
                user: User = super().save_user(request, sociallogin, form)
                note("signed up", user, actor=user)
        except IntegrityError:
            # Of two at once; the account is there now.
            raise ImmediateHttpResponse(redirect("account_login")) from None
        return user


def _is_another(request: HttpRequest, user: User) -> bool:
    return request.user.is_authenticated and request.user.pk != user.pk


def _version_of(user: User) -> list[object]:
    """What ends with the sessions of this person."""
    return [str(user.pk), user.token_version]


def _connect(request: HttpRequest, login: SocialLogin) -> HttpResponse:
    """Somebody signed in asked to link this account of Google."""
    if not isinstance(request.user, User):
        return redirect("account_login")
    if missing_proof(request.session, request.user, phone_counts=True):
        messages.error(request, _("That took too long. Link the account of Google once more."))
        return redirect("socialaccount_connections")
    try:
        new = _link(request.user, login.account)
    except InvalidInput as error:
        messages.error(request, say(error))
    else:
        told = "account_connected" if new else "account_connected_updated"
        account_adapter().add_message(request, messages.INFO, f"socialaccount/messages/{told}.txt")
    return redirect(login.get_redirect_url(request) or "socialaccount_connections")


def _link(user: User, account: SocialAccount) -> bool:
    new = link_google(user=user, account=account)
    if new:
        account_adapter().send_notification_mail("socialaccount/email/account_connected", user)
    return new
