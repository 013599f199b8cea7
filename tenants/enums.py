"""Choices of the tenants app and the roles it ships with."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class Languages(models.TextChoices):
    """What the product speaks."""

    ENGLISH = "en", "English"
    HEBREW = "he", "עברית"
    PERSIAN = "fa", "فارسی"
    FRENCH = "fr", "Français"


class GrantScope(models.TextChoices):
    """Where a grant holds."""

    PLATFORM = "platform", _("Platform")
    CHAIN = "chain", _("Chain")
    BRANCH = "branch", _("Branch")


class RoleCode(models.TextChoices):
    """The shipped roles."""

    MANAGER = "manager", _("Manager")
    TECHNICAL = "technical", _("Technical")
    SUPPORT = "support", _("Support")
    SUPPORT_ACCESS = "support_access", _("Support access")
    CHAIN_MANAGER = "chain_manager", _("Chain manager")
    BRANCH_MANAGER = "branch_manager", _("Branch manager")
    CUSTOMER = "customer", _("Customer")


ROLE_SCOPES: dict[str, frozenset[str]] = {
    RoleCode.MANAGER: frozenset({GrantScope.PLATFORM}),
    RoleCode.TECHNICAL: frozenset({GrantScope.PLATFORM}),
    RoleCode.SUPPORT: frozenset({GrantScope.PLATFORM}),
    RoleCode.SUPPORT_ACCESS: frozenset({GrantScope.CHAIN}),
    RoleCode.CHAIN_MANAGER: frozenset({GrantScope.CHAIN}),
    RoleCode.BRANCH_MANAGER: frozenset({GrantScope.BRANCH}),
    RoleCode.CUSTOMER: frozenset({GrantScope.PLATFORM, GrantScope.BRANCH}),
}

# Whoever holds one of these stays signed in when it is taken or runs out: it is no reason to be let into the back
# office by itself, and what it allowed ends at once all the same.
NO_WAY_IN = frozenset({RoleCode.CUSTOMER, RoleCode.SUPPORT_ACCESS})

# Rows from the first migration on, editable afterwards.
SHIPPED_PERMISSIONS: dict[str, list[str]] = {
    RoleCode.MANAGER: ["*"],
    RoleCode.TECHNICAL: [
        "chains:view",
        "branches:view",
        "branches:change",
        "devices:*",
        "telemetry:view",
        "carts:*",
        "rentals:view",
        "schedules:*",
        "support_access:open",
        "support_access:view",
        "audit:view",
    ],
    # Who calls is looked up; what they rented where is looked at through support access, which the chain sees.
    RoleCode.SUPPORT: [
        "chains:view",
        "branches:view",
        "users:view",
        "users:change",
        "users:contact",
        "support_access:open",
        "support_access:view",
    ],
    # To see what the customer on the phone sees, and to end a rental that is stuck. Not to open locks: that hands out
    # goods, so the shop's own people do it.
    RoleCode.SUPPORT_ACCESS: [
        "chains:view",
        "branches:view",
        "devices:view",
        "telemetry:view",
        "carts:view",
        "rentals:view",
        "rentals:close",
    ],
    RoleCode.CHAIN_MANAGER: [
        "chains:view",
        "branches:view",
        "branches:add",
        "branches:change",
        "devices:*",
        "telemetry:view",
        "carts:*",
        "rentals:*",
        "users:view",
        "users:contact",
        "grants:view",
        "grants:add",
        "grants:delete",
        "audit:view",
        "support_access:view",
        "support_access:end",
    ],
    # Phone numbers of customers stay masked at the counter.
    RoleCode.BRANCH_MANAGER: [
        "branches:view",
        "devices:view",
        "telemetry:view",
        "carts:*",
        "rentals:*",
        "users:view",
        "grants:view",
        "grants:add",
        "grants:delete",
        "audit:view",
    ],
    RoleCode.CUSTOMER: [],
}
