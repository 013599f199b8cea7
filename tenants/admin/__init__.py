"""Chains, branches and people in the admin. One-time codes, sign-in links and tokens are not shown at all."""

from tenants.admin import branch, chain, grant, role, user

__all__ = ["branch", "chain", "grant", "role", "user"]
