"""Forms of second factors: allauth's, with codes that count once and credentials that are checked first."""

import re
import struct
from typing import Any

from allauth.core import context
from allauth.mfa.adapter import get_adapter
from allauth.mfa.base import forms as base
from allauth.mfa.totp import forms as totp
from allauth.mfa.webauthn import forms as webauthn
from allauth.mfa.webauthn.internal.auth import parse_authentication_response
from django import forms
from django.utils.translation import gettext_lazy as _

from core.addresses import client_address
from core.errors import InvalidInput
from tenants.models import User
from tenants.services.second_factor import step_of, take_guess, use_code

NAME_LENGTH = 60
# What a browser tells of a new key and is needed to know it again; the rest of what was sent is dropped.
_CREDENTIAL = ("id", "rawId", "type", "authenticatorAttachment")
_ATTESTATION = ("clientDataJSON", "attestationObject")
# How the FIDO2 library takes what it can't read: anything from a missing name to CBOR that is nested too deep.
_UNREADABLE = (
    AssertionError,
    AttributeError,
    LookupError,
    NotImplementedError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
)
_BASE64URL = re.compile(r"[A-Za-z0-9_=-]+")


def _code_field(label: Any, help_text: Any = "", **more: Any) -> forms.CharField:
    attributes = {"autocomplete": "one-time-code", "inputmode": "numeric", "class": "code", **more}
    return forms.CharField(label=label, help_text=help_text, max_length=20, widget=forms.TextInput(attributes))


class _GivesCode(forms.Form):
    """A code of the app or a recovery code; goes before one of allauth's forms."""

    user: User
    code = _code_field(_("Code"), _("The 6 digits your app shows now, or one of your recovery codes."), autofocus=True)

    def clean_code(self) -> str:
        code: str = self.cleaned_data["code"]
        try:
            self.authenticator = use_code(user=self.user, code=code, address=client_address(context.request))
        except InvalidInput as error:
            raise forms.ValidationError([str(text) for text in error.errors["code"]]) from None
        return code


class AuthenticateForm(_GivesCode, base.AuthenticateForm):
    """While signing in."""


class ReauthenticateForm(_GivesCode, base.ReauthenticateForm):
    """While signed in."""


class SetUpAppForm(totp.ActivateTOTPForm):
    """The first code of a new app; `step` is the one it stood for."""

    code = _code_field(_("6-digit code from the app"))

    def clean_code(self) -> str:
        code: str = self.cleaned_data["code"]
        step = step_of(secret=self.secret, code=code)
        if step is None:
            raise forms.ValidationError(_("This is not what the app shows now. Check the clock of your phone."))
        self.step = step
        return code


class CredentialField(forms.JSONField):
    """What a browser answered for a key. What is nested too deep to be read is no JSON."""

    widget = forms.HiddenInput

    def to_python(self, value: Any) -> Any:
        try:
            return super().to_python(value)
        except RecursionError:
            raise forms.ValidationError(self.error_messages["invalid"], code="invalid") from None


class AddKeyForm(webauthn.AddWebAuthnForm):
    """A new passkey or security key. Whether it can sign in alone, the browser says (`credProps.rk`)."""

    passwordless = None
    name = forms.CharField(label=_("Name"), required=False, max_length=NAME_LENGTH, strip=True)
    credential = CredentialField()

    def clean_credential(self) -> dict[str, Any]:
        credential = self.cleaned_data["credential"]
        try:
            kept = {name: credential[name] for name in _CREDENTIAL if credential.get(name)}
            response = {name: credential["response"][name] for name in _ATTESTATION}
            resident = ((credential.get("clientExtensionResults") or {}).get("credProps") or {}).get("rk")
            readable = all(_BASE64URL.fullmatch(text) for text in (*kept.values(), *response.values()))
        except (AttributeError, KeyError, TypeError):
            readable = False
        if not readable:
            raise get_adapter().validation_error("incorrect_code")
        extensions = {} if resident is None else {"credProps": {"rk": bool(resident)}}
        return {**kept, "response": response, "clientExtensionResults": extensions}

    def clean(self) -> dict[str, Any]:
        try:
            cleaned: dict[str, Any] = super().clean()
        except _UNREADABLE:
            raise get_adapter().validation_error("incorrect_code") from None
        return cleaned


class RenameKeyForm(webauthn.EditWebAuthnForm):
    """Another name for a key."""

    name = forms.CharField(label=_("Name"), max_length=NAME_LENGTH)


class _GivesKey(webauthn.AuthenticateWebAuthnForm):
    """A key's answer. It can't be guessed; the tries are counted where they name a person."""

    credential = CredentialField()

    def clean_credential(self) -> Any:
        if self.user is not None:
            take_guess(user=self.user, address=client_address(context.request))
        try:
            return super().clean_credential()
        except _UNREADABLE:
            raise get_adapter().validation_error("incorrect_code") from None


class AuthenticateKeyForm(_GivesKey):
    """While signing in, after the first factor."""


class ReauthenticateKeyForm(_GivesKey, webauthn.ReauthenticateWebAuthnForm):
    """While signed in."""


class SignInKeyForm(_GivesKey, webauthn.LoginWebAuthnForm):
    """Instead of everything else: with what one has (the key) goes what one knows or is (PIN, finger, face)."""

    def clean_credential(self) -> Any:
        answer = self.cleaned_data["credential"]
        key = super().clean_credential()
        # The challenge may be of a ceremony that did not insist on it: allauth keeps one for all of them.
        if not parse_authentication_response(answer).response.authenticator_data.is_user_verified():
            raise get_adapter().validation_error("incorrect_code")
        return key
