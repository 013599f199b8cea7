"""Writes of the tenants app."""

from tenants.services.links import create_sign_in_link, use_sign_in_link
from tenants.services.otp import request_otp, verify_otp
from tenants.services.people import ensure_customer, ensure_customer_grant, ensure_user, grant_role, set_language
from tenants.services.sessions import TokenPair, issue_tokens, refresh_tokens

__all__ = [
    "TokenPair",
    "create_sign_in_link",
    "ensure_customer",
    "ensure_customer_grant",
    "ensure_user",
    "grant_role",
    "issue_tokens",
    "refresh_tokens",
    "request_otp",
    "set_language",
    "use_sign_in_link",
    "verify_otp",
]
