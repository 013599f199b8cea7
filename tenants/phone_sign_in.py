"""Signing in with a phone: what is typed, and what a browser's session remembers between the number and its code."""

import secrets
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from core.addresses import client_address
from core.errors import DomainError, InvalidInput
from core.views import say
from tenants.models import User
from tenants.phones import ascii_digits, countries, normalise_phone
from tenants.requester import sign_in
from tenants.services import otp

_PHONE, _BINDING = "otp_phone", "otp_binding"


class PhoneForm(forms.Form):
    """A mobile number with its country; `cleaned_data["e164"]` is the one spelling."""

    country = forms.ChoiceField(
        label=_("Country"), choices=[], widget=forms.Select(attrs={"autocomplete": "tel-country-code"})
    )
    phone = forms.CharField(label=_("Mobile number"), max_length=20)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = [(region, f"{region} {prefix}") for region, prefix in countries()]
        field = self.fields["country"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = choices

    def clean(self) -> dict[str, Any]:
        """Bring the number to E.164."""
        data = super().clean() or {}
        if "phone" in data and "country" in data:
            try:
                data["e164"] = normalise_phone(data["phone"], data["country"])
            except InvalidInput as error:
                for message in error.errors["phone"]:
                    self.add_error("phone", str(message))
        return data


class CodeForm(forms.Form):
    """The code from the SMS; digits of any script."""

    code = forms.CharField(label=_("6-digit code"), max_length=12)

    def clean_code(self) -> str:
        """Six ASCII digits, however they were typed."""
        digits = ascii_digits(self.cleaned_data["code"])
        if len(digits) != 6:
            raise forms.ValidationError(_("The code has six digits."))
        return digits


def asked_phone(request: HttpRequest) -> str:
    """The number (E.164) this browser's session was sent a code to; "" where there is none."""
    return str(request.session.get(_PHONE, ""))


def send_code(request: HttpRequest, phone: str) -> None:
    """Send a code to `phone` (E.164), bound to this session. Raises `TooMany`, `Unavailable`."""
    binding = request.session.get(_BINDING) or secrets.token_urlsafe(24)
    request.session[_BINDING] = binding
    otp.request_otp(
        phone=phone,
        binding=binding,
        address=client_address(request),
        language=get_language() or "en",
        host=request.get_host().partition(":")[0],
    )
    request.session[_PHONE] = phone


def resend_wait(request: HttpRequest) -> int:
    """Seconds until this session may ask for the next code."""
    return otp.resend_wait(phone=asked_phone(request), binding=request.session.get(_BINDING, ""))


def sign_in_with_code(request: HttpRequest, typed: str) -> User:
    """Sign in whoever has the phone, for the code that was sent to it. Raises `InvalidInput`, `NotAllowed`."""
    customer = otp.sign_in_with_code(
        phone=asked_phone(request),
        code=typed,
        binding=request.session.get(_BINDING, ""),
        address=client_address(request),
        language=get_language() or "en",
    )
    sign_in(request, customer, method="phone")
    for key in (_PHONE, _BINDING):
        request.session.pop(key, None)
    return customer


def ask(request: HttpRequest) -> PhoneForm | None:
    """The form for the phone; None once a code is on its way to what was typed."""
    form = PhoneForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            send_code(request, form.cleaned_data["e164"])
        except DomainError as error:
            form.add_error(None, say(error))
        else:
            return None
    return form


def answer(request: HttpRequest) -> CodeForm | None:
    """The form for the code; None once the right one was typed, which signs in."""
    form = CodeForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            sign_in_with_code(request, form.cleaned_data["code"])
        except DomainError as error:
            form.add_error("code" if error.errors else None, say(error))
        else:
            return None
    return form


def resend(request: HttpRequest) -> None:
    """Another code to the same phone; a message tells whether it is on its way."""
    try:
        send_code(request, asked_phone(request))
    except DomainError as error:
        messages.error(request, say(error))
    else:
        messages.success(request, _("A new code is on its way."))
