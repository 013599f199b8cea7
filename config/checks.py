"""What production must not start without. Management commands check it, and so do the ASGI and WSGI entry points."""

import base64
import binascii
from collections.abc import Callable, Iterator
from ipaddress import ip_network
from typing import Any
from urllib.parse import unquote, urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, register
from django.core.exceptions import ImproperlyConfigured
from django.http.request import validate_host

from core.secrets import KEY_BYTES

SHORTEST_SECRET = 32
FEWEST_CHARACTERS = 8  # different ones; random text of that length has far more
SHORTEST_PASSWORD = 16
SHORTEST_VENDOR_KEY = 8  # how long they are is the vendors' choice
# What the development stack has for vendors; its passwords are random and of one machine.
SIMULATED_KEYS = ("simulated", "test")
# A trusted network wider than these holds strangers: of private addresses (10.0.0.0/8, fc00::/7), and of public ones
# (the largest that a content network publishes are a /12 and a /28).
WIDEST_NETWORK = {4: 8, 6: 7}
WIDEST_PUBLIC_NETWORK = {4: 12, 6: 28}
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@register()
def production_is_configured(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Errors for weak secrets and for what would open a door; nothing outside production."""
    if not settings.PRODUCTION:
        return []
    checks: tuple[tuple[str, Callable[[], Iterator[str]]], ...] = (
        ("cartwise.E001", _secrets),
        ("cartwise.E002", _field_keys),
        ("cartwise.E003", _addresses),
        ("cartwise.E004", _proxies_and_origins),
        ("cartwise.E005", _cloudflare_access),
        ("cartwise.E006", _gateways),
        ("cartwise.E007", _rate_limits),
        ("cartwise.E008", _passwords),
        ("cartwise.E009", _vendor_keys),
    )
    return [Error(message, id=number) for number, check in checks for message in check()]


def require_production_is_configured() -> None:
    """Raises `ImproperlyConfigured`: gunicorn and uvicorn run no checks of their own."""
    if errors := production_is_configured(None):
        raise ImproperlyConfigured("; ".join(error.msg for error in errors))


def _secrets() -> Iterator[str]:
    if settings.DEBUG:
        yield "DEBUG is on"
    if not settings.JWT_KEYS:
        yield "JWT_KEYS is empty"
    secrets = {
        "SECRET_KEY": settings.SECRET_KEY,
        **{f"JWT_KEYS[{name}]": key for name, key in settings.JWT_KEYS.items()},
    }
    for name, secret in secrets.items():
        if settings.DEVELOPMENT_SECRET in secret or len(secret) < SHORTEST_SECRET:
            yield f"{name} is the development default or shorter than {SHORTEST_SECRET} characters"
        elif len(set(secret)) < FEWEST_CHARACTERS:
            yield f"{name} is no random text"
    if settings.SECRET_KEY in settings.JWT_KEYS.values():
        yield "JWT_KEYS holds SECRET_KEY: tokens need keys of their own"


def _field_keys() -> Iterator[str]:
    if settings.FIELD_KEYS == settings.DEVELOPMENT_FIELD_KEYS:
        yield "FIELD_KEYS is not set: encrypted fields and sessions need keys of their own"
        return
    for name, key in settings.FIELD_KEYS.items():
        try:
            raw = base64.b64decode(key, validate=True)
        except (binascii.Error, ValueError):
            raw = b""
        if not name or "$" in name:
            yield f"FIELD_KEYS[{name}]: a key's id is any text without $"
        weak = len(raw) != KEY_BYTES or len(set(raw)) < FEWEST_CHARACTERS
        if weak or key in settings.DEVELOPMENT_FIELD_KEYS.values():
            yield f"FIELD_KEYS[{name}] is not the base64 of {KEY_BYTES} random bytes"


def _addresses() -> Iterator[str]:
    if not settings.PUBLIC_URL.startswith("https://"):
        yield "PUBLIC_URL must be https"
    if not settings.MQTT_PUBLIC_TLS:
        yield "devices must reach the broker over TLS: set MQTT_PUBLIC_TLS"
    if any("*" in host or host.startswith(".") or "." not in host for host in settings.ALLOWED_HOSTS):
        yield "ALLOWED_HOSTS must name the hosts, each whole"
    elif not validate_host(urlsplit(settings.PUBLIC_URL).hostname or "", settings.ALLOWED_HOSTS):
        yield "ALLOWED_HOSTS leaves out the host of PUBLIC_URL"


def _proxies_and_origins() -> Iterator[str]:
    for entry in settings.TRUSTED_PROXIES:
        try:
            network = ip_network(entry)
        except ValueError:
            yield f"TRUSTED_PROXIES: {entry} is neither an address nor a network"
            continue
        widest = WIDEST_NETWORK if network.is_private else WIDEST_PUBLIC_NETWORK
        if network.prefixlen < widest[network.version]:
            yield f"TRUSTED_PROXIES: {entry} believes strangers"
    for name in ("CSRF_TRUSTED_ORIGINS", "CORS_ALLOWED_ORIGINS"):
        for origin in getattr(settings, name):
            if not origin.startswith("https://") or "*" in origin:
                yield f"{name}: {origin} must be one https origin"


def _cloudflare_access() -> Iterator[str]:
    team, audiences = settings.CF_ACCESS_TEAM_URL, settings.CF_ACCESS_AUDIENCES
    if settings.CF_ACCESS_REQUIRED and not (team and audiences):
        yield "CF_ACCESS_REQUIRED needs CF_ACCESS_TEAM_URL and CF_ACCESS_AUDIENCES"
    elif team and not audiences:
        yield "CF_ACCESS_TEAM_URL needs CF_ACCESS_AUDIENCES: a token for any application would do"
    if team and not team.startswith("https://"):
        yield "CF_ACCESS_TEAM_URL must be https"


def _gateways() -> Iterator[str]:
    if not settings.SMS_API_KEY:
        yield "SMS_API_KEY is not set: nobody would get a code"
    if not settings.SMS_BASE_URL.startswith("https://"):
        yield "SMS_BASE_URL must be https: codes and the key to send them go there"
    if settings.EMAIL_HOST not in LOOPBACK and not settings.EMAIL_USE_TLS:
        yield "EMAIL_USE_TLS is off: codes would go to another machine in the open"
    google = settings.SOCIALACCOUNT_PROVIDERS["google"]
    if any(not app["secret"] for app in google["APPS"]):
        yield "GOOGLE_CLIENT_ID needs GOOGLE_CLIENT_SECRET"
    for name, value in google.items():
        if name.endswith("_URL") and not value.startswith("https://"):
            yield f"GOOGLE_{name} must be https"


def _rate_limits() -> Iterator[str]:
    for tier, limits in settings.RATE_LIMITS.items():
        known = settings.DEFAULT_RATE_LIMITS.get(tier, {})
        for kind, most in limits.items():
            if kind not in known:
                yield f"RATE_LIMITS: there is no {tier} {kind}"
            elif type(most) is not int or most < 1:
                yield f"RATE_LIMITS: {tier} {kind} must be a whole number above 0, as RATE_LIMIT_FACTOR is"


def _passwords() -> Iterator[str]:
    """Of those that are given: a server may let its own machine in without one."""
    urls = {name: getattr(settings, name) for name in ("REDIS_URL", "CELERY_BROKER_URL", "MQTT_URL", "MQTT_ADMIN_URL")}
    passwords = {name: unquote(urlsplit(url).password or "") for name, url in urls.items()}
    passwords["DATABASE_URL"] = settings.DATABASES["default"].get("PASSWORD") or ""
    for name, password in passwords.items():
        if not password:
            continue
        if len(password) < SHORTEST_PASSWORD or settings.DEVELOPMENT_SECRET in password:
            yield f"the password in {name} is the development default or shorter than {SHORTEST_PASSWORD} characters"
        elif len(set(password)) < FEWEST_CHARACTERS:
            yield f"the password in {name} is no random text"


def _vendor_keys() -> Iterator[str]:
    keys = {"SMS_API_KEY": settings.SMS_API_KEY, "EMAIL_HOST_PASSWORD": settings.EMAIL_HOST_PASSWORD}
    for app in settings.SOCIALACCOUNT_PROVIDERS["google"]["APPS"]:
        keys["GOOGLE_CLIENT_SECRET"] = app["secret"]
    for name, key in keys.items():
        if key and (len(key) < SHORTEST_VENDOR_KEY or key in SIMULATED_KEYS):
            yield f"{name} is that of a simulator or shorter than {SHORTEST_VENDOR_KEY} characters"
