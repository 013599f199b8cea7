"""Writes of the tenants app."""

from tenants.services.links import create_sign_in_link, use_sign_in_link
from tenants.services.otp import request_otp, verify_otp
from tenants.services.people import (
    create_person,
    deactivate_person,
    end_access,
    ensure_customer,
    ensure_customer_grant,
    ensure_user,
    grant_role,
    reactivate_person,
    revoke_grant,
    sweep_expired_grants,
    update_person,
)
from tenants.services.roles import create_role, delete_role, update_role
from tenants.services.sessions import TokenPair, issue_tokens, refresh_tokens

__all__ = [
    "TokenPair",
    "create_person",
    "create_role",
    "create_sign_in_link",
    "deactivate_person",
    "delete_role",
    "end_access",
    "ensure_customer",
    "ensure_customer_grant",
    "ensure_user",
    "grant_role",
    "issue_tokens",
    "reactivate_person",
    "refresh_tokens",
    "request_otp",
    "revoke_grant",
    "sweep_expired_grants",
    "update_person",
    "update_role",
    "use_sign_in_link",
    "verify_otp",
]
