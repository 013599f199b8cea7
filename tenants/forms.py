"""What people type to come in: allauth's forms in our words. What they check stays allauth's."""

from typing import Any

from allauth.account import forms as allauth
from allauth.account.adapter import get_adapter
from allauth.account.fields import PasswordField, SetPasswordField
from allauth.core import context
from allauth.socialaccount.forms import DisconnectForm
from django import forms
from django.contrib import messages
from django.contrib.auth.hashers import make_password
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _

from core.addresses import client_address
from core.errors import InvalidInput
from tenants.models import User
from tenants.phones import ascii_digits
from tenants.services.accounts import unlink_google
from tenants.sign_in_limits import take_code_guess

PASSWORD_HELP = _("At least 8 characters, and none of the passwords everybody uses.")


class _InOurWords(forms.Form):
    """Takes allauth's placeholders and links out, and names the field that holds the address."""

    address_field = "email"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            field.widget.attrs.pop("placeholder", None)
            # One field: whoever mistypes it resets it, and browsers show what is typed.
            field.help_text = PASSWORD_HELP if field.widget.attrs.get("autocomplete") == "new-password" else ""
        if address := self.fields.get(self.address_field):
            address.label = _("E-mail")
            address.widget.attrs.update(autocomplete="username", maxlength=254)


class SignInForm(_InOurWords, allauth.LoginForm):
    """Address and password."""

    address_field = "login"
    password = PasswordField(label=_("Password"), autocomplete="current-password")


class SignUpForm(_InOurWords, allauth.SignupForm):
    """Address, password and, if they like, a name."""

    name = forms.CharField(
        label=_("Name (optional)"),
        max_length=255,
        required=False,
        widget=forms.TextInput(attrs={"autocomplete": "name"}),
    )
    field_order = ("email", "password1", "name")
    account_already_exists: bool

    def try_save(self, request: HttpRequest) -> tuple[User | None, HttpResponse | None]:
        """The same answer, after the same time, whether or not the address has an account."""
        if not self.account_already_exists:
            try:
                user: User = self.save(request)
                return user, None
            except InvalidInput:
                self.account_already_exists = True  # of two at once
        else:
            make_password(self.cleaned_data["password1"])
        saved: tuple[User | None, HttpResponse | None] = super().try_save(request)
        return saved


class CodeRequestForm(_InOurWords, allauth.RequestLoginCodeForm):
    """Where to send a code."""


class ResetForm(_InOurWords, allauth.ResetPasswordForm):
    """Whose password was forgotten."""


class EmailForm(_InOurWords, allauth.AddEmailForm):
    """A new address."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["email"].label = _("New e-mail address")
        self.fields["email"].widget.attrs["autocomplete"] = "email"


class ConfirmForm(_InOurWords, allauth.ReauthenticateForm):
    """The password once more."""

    password = PasswordField(label=_("Password"), autocomplete="current-password")


class ChangePasswordForm(_InOurWords, allauth.ChangePasswordForm):
    """The old password and the new one."""

    oldpassword = PasswordField(label=_("Current password"), autocomplete="current-password")
    password1 = SetPasswordField(label=_("New password"))
    password2 = None


class UnlinkForm(DisconnectForm):
    """Which account of Google signs in no more."""

    def save(self) -> None:
        user = self.request.user
        unlink_google(user=user, account=self.cleaned_data["account"])
        adapter = get_adapter()
        adapter.add_message(self.request, messages.INFO, "socialaccount/messages/account_disconnected.txt")
        adapter.send_notification_mail("socialaccount/email/account_disconnected", user)


class SetPasswordForm(_InOurWords, allauth.SetPasswordForm):
    """A first password."""

    password1 = SetPasswordField(label=_("New password"))
    password2 = None


class NewPasswordForm(_InOurWords, allauth.ResetPasswordKeyForm):
    """The password after a reset."""

    password1 = SetPasswordField(label=_("New password"))
    password2 = None


class _CodeForm(allauth.BaseConfirmCodeForm):
    """A code that was sent by mail, in the digits of any script. Every guess counts before it is compared."""

    def clean_code(self) -> str:
        request = context.request
        take_code_guess(
            session=request.session.session_key or "",
            code=self.expected_code or "",
            address=client_address(request),
        )
        self.cleaned_data["code"] = ascii_digits(self.cleaned_data["code"])
        code: str = super().clean_code()
        return code


class SignInCodeForm(_CodeForm, allauth.ConfirmLoginCodeForm):
    """To sign in."""


class AddressCodeForm(_CodeForm, allauth.ConfirmEmailVerificationCodeForm):
    """To prove an address."""


class ResetCodeForm(_CodeForm, allauth.ConfirmPasswordResetCodeForm):
    """To set a new password."""
