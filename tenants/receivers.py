"""What allauth tells of and does not finish: an address is proved by the first right code that was sent to it."""

from typing import Any

from allauth.account.signals import authentication_step_completed, password_reset
from django.http import HttpRequest

from tenants.models import User
from tenants.services.accounts import prove_address


def connect() -> None:
    """Once, when the app is ready."""
    authentication_step_completed.connect(_code_came_back, dispatch_uid="tenants.code_came_back")
    password_reset.connect(_password_was_reset, dispatch_uid="tenants.password_was_reset")


def _code_came_back(user: User, method: str, email: str | None = None, **kwargs: Any) -> None:
    """Signing in by a code: whoever typed it reads that mail, and did not have to know the password."""
    if method == "code" and email:
        prove_address(user=user, email=email, keep_password=False)


def _password_was_reset(request: HttpRequest, user: User, **kwargs: Any) -> None:
    """The password is new and chosen by whoever reads that mail; an address that staff had set has no row yet."""
    if user.email:
        prove_address(user=user, email=user.email, keep_password=True)
