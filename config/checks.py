"""What production must not start without. Management commands check it, and so do the ASGI and WSGI entry points."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register
from django.core.exceptions import ImproperlyConfigured

SHORTEST_SECRET = 32


@register()
def production_is_configured(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Errors for default or short secrets and for DEBUG; nothing outside production."""
    if not settings.PRODUCTION:
        return []
    secrets = {
        "SECRET_KEY": settings.SECRET_KEY,
        **{f"JWT_KEYS[{name}]": key for name, key in settings.JWT_KEYS.items()},
    }
    errors: list[CheckMessage] = [
        Error(f"{name} is the development default or shorter than {SHORTEST_SECRET} characters", id="cartwise.E001")
        for name, value in secrets.items()
        if value == settings.DEVELOPMENT_SECRET or len(value) < SHORTEST_SECRET
    ]
    if settings.DEBUG:
        errors.append(Error("DEBUG is on", id="cartwise.E002"))
    if not settings.PUBLIC_URL.startswith("https://"):
        errors.append(Error("PUBLIC_URL must be https", id="cartwise.E003"))
    if not settings.MQTT_PUBLIC_TLS:
        errors.append(Error("devices must reach the broker over TLS: set MQTT_PUBLIC_TLS", id="cartwise.E004"))
    return errors


def require_production_is_configured() -> None:
    """Raises `ImproperlyConfigured`: gunicorn and uvicorn run no checks of their own."""
    if errors := production_is_configured(None):
        raise ImproperlyConfigured("; ".join(error.msg for error in errors))
