"""Chains, branches, people, and who may do what where."""

from tenants.models.grants import Grant, Invitation, Role, SupportAccess
from tenants.models.people import User, UserManager
from tenants.models.shops import Branch, Chain
from tenants.models.sign_in import (
    BrowserSession,
    Erasure,
    OtpChallenge,
    PersonalToken,
    RefreshToken,
    Registration,
    SignInLink,
)

__all__ = [
    "Branch",
    "BrowserSession",
    "Chain",
    "Erasure",
    "Grant",
    "Invitation",
    "OtpChallenge",
    "PersonalToken",
    "RefreshToken",
    "Registration",
    "Role",
    "SignInLink",
    "SupportAccess",
    "User",
    "UserManager",
]
