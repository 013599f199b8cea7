"""Writes of the tenants app."""

from tenants.services.links import create_sign_in_link, use_sign_in_link
from tenants.services.otp import request_otp, verify_otp
from tenants.services.people import (
    create_machine_user,
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
    update_profile,
)
from tenants.services.personal_tokens import create_personal_token, revoke_personal_token, user_of_personal_token
from tenants.services.privacy import erase_person, export_person, reapply_erasures
from tenants.services.registration import request_registration, verify_registration
from tenants.services.retention import forget_customer
from tenants.services.roles import create_role, delete_role, update_role
from tenants.services.sessions import TokenPair, issue_tokens, refresh_tokens, sign_out, sign_out_everywhere
from tenants.services.sign_in import sign_in_with_password

__all__ = [
    "TokenPair",
    "create_machine_user",
    "create_person",
    "create_personal_token",
    "create_role",
    "create_sign_in_link",
    "deactivate_person",
    "delete_role",
    "end_access",
    "ensure_customer",
    "ensure_customer_grant",
    "ensure_user",
    "erase_person",
    "export_person",
    "forget_customer",
    "grant_role",
    "issue_tokens",
    "reactivate_person",
    "reapply_erasures",
    "refresh_tokens",
    "request_otp",
    "request_registration",
    "revoke_grant",
    "revoke_personal_token",
    "sign_in_with_password",
    "sign_out",
    "sign_out_everywhere",
    "sweep_expired_grants",
    "update_person",
    "update_profile",
    "update_role",
    "use_sign_in_link",
    "user_of_personal_token",
    "verify_otp",
    "verify_registration",
]
