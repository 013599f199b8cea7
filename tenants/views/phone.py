"""Signing in with a phone away from a cart. Staff and managers come in as customers until their second factor."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from tenants import phone_sign_in
from tenants.models import User
from tenants.phone_sign_in import asked_phone, resend_wait
from tenants.views.ways_in import following


@never_cache
@require_http_methods(["GET", "POST"])
def phone(request: HttpRequest) -> HttpResponse:
    """Ask for the phone and send a code to it."""
    if request.user.is_authenticated:
        return redirect(following(request, settings.LOGIN_REDIRECT_URL))
    form = phone_sign_in.ask(request)
    if form is None:
        return redirect(_address(request, "tenants:phone-code"))
    context = {"form": form, **_context(request)}
    return render(request, "tenants/phone.html", context, status=400 if form.is_bound else 200)


@never_cache
@require_http_methods(["GET", "POST"])
def code(request: HttpRequest) -> HttpResponse:
    """Take the code; the right one signs in."""
    if not asked_phone(request):
        return redirect(_address(request, "tenants:phone"))
    form = phone_sign_in.answer(request)
    if form is None:
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
    phone_sign_in.resend(request)
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
