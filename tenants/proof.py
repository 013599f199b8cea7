"""What somebody must have proved in this session a moment ago before they change how they sign in."""

from enum import Enum, auto
from typing import TYPE_CHECKING

from tenants import access
from tenants.models import User
from tenants.requester import PROVEN_BY, RECENTLY, methods_of
from tenants.services.second_factor import owns_second_factor

if TYPE_CHECKING:
    from django.contrib.sessions.backends.base import SessionBase


class Missing(Enum):
    """What has to be given first: the second factor, the password, or the whole sign-in anew."""

    FACTOR = auto()
    PASSWORD = auto()
    SIGN_IN = auto()


def missing_proof(session: "SessionBase", user: User, *, phone_counts: bool = False) -> Missing | None:
    """What this session lacks. Who has a second factor gives it: a password that leaked is not enough.

    A phone code proves too little to set up a first one. `phone_counts`: it is enough for a customer who has neither
    password nor factor, for what concerns them alone. One query, and what `access.is_trusted` costs.
    """
    recent = methods_of(session, user, within=RECENTLY)
    if owns_second_factor(user):
        return None if "mfa" in recent else Missing.FACTOR
    if recent & PROVEN_BY:
        return None
    if user.has_usable_password():
        return Missing.PASSWORD
    return None if phone_counts and recent and not access.is_trusted(user) else Missing.SIGN_IN
