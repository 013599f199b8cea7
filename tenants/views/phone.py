"""Signing in with a phone away from a cart. Staff and managers come in as customers until their second factor."""

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from core.errors import DomainError
from core.views import say
from tenants.models import User
from tenants.phone_sign_in import CodeForm, PhoneForm, asked_phone, resend_wait, send_code, sign_in_with_code
from tenants.views.ways_in import following


@never_cache
@require_http_methods(["GET", "POST"])
def phone(request: HttpRequest) -> HttpResponse:
    """Ask for the phone and send a code to it."""
    if request.user.is_authenticated:
        return redirect(following(request, settings.LOGIN_REDIRECT_URL))
    form = PhoneForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            send_code(request, form.cleaned_data["e164"])
        except DomainError as error:
            form.add_error(None, say(error))
        else:
            return redirect(_address(request, "tenants:phone-code"))
    context = {"form": form, **_context(request)}
    return render(request, "tenants/phone.html", context, status=400 if form.is_bound else 200)


@never_cache
@require_http_methods(["GET", "POST"])
def code(request: HttpRequest) -> HttpResponse:
    """Take the code; the right one signs in."""
    if not asked_phone(request):
        return redirect(_address(request, "tenants:phone"))
    form = CodeForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            sign_in_with_code(request, form.cleaned_data["code"])
        except DomainError as error:
            form.add_error("code" if error.errors else None, say(error))
        else:
            return redirect(following(request, settings.LOGIN_REDIRECT_URL))
    context = {
        "form": form,
        "masked_phone": User(phone=asked_phone(request)).masked_phone,
        "resend_in_s": resend_wait(request),
        **_context(request),
    }
    return render(request, "tenants/phone_code.html", context, status=400 if form.is_bound else 200)


@require_POST
def resend(request: HttpRequest) -> HttpResponse:
    """Another code to the same phone."""
    if not asked_phone(request):
        return redirect(_address(request, "tenants:phone"))
    try:
        send_code(request, asked_phone(request))
    except DomainError as error:
        messages.error(request, say(error))
    else:
        messages.success(request, _("A new code is on its way."))
    return redirect(_address(request, "tenants:phone-code"))


def _context(request: HttpRequest) -> dict[str, Any]:
    return {
        "next": following(request, ""),
        "phone_url": _address(request, "tenants:phone"),
        "resend_url": _address(request, "tenants:phone-resend"),
        "sign_in_url": _address(request, "account_login"),
    }


def _address(request: HttpRequest, name: str) -> str:
    """That page, which goes on to where this one would."""
    target = following(request, "")
    return f"{reverse(name)}?{urlencode({'next': target})}" if target else reverse(name)
