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
    CHAIN_MANAGER = "chain_manager", _("Chain manager")
    BRANCH_MANAGER = "branch_manager", _("Branch manager")
    CUSTOMER = "customer", _("Customer")


ROLE_SCOPES: dict[str, frozenset[str]] = {
    RoleCode.MANAGER: frozenset({GrantScope.PLATFORM}),
    RoleCode.TECHNICAL: frozenset({GrantScope.PLATFORM}),
    RoleCode.SUPPORT: frozenset({GrantScope.PLATFORM}),
    RoleCode.CHAIN_MANAGER: frozenset({GrantScope.CHAIN}),
    RoleCode.BRANCH_MANAGER: frozenset({GrantScope.BRANCH}),
    RoleCode.CUSTOMER: frozenset({GrantScope.PLATFORM, GrantScope.BRANCH}),
}

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
    ],
    RoleCode.SUPPORT: ["chains:view", "branches:view", "users:view", "users:change", "carts:view", "rentals:*"],
    RoleCode.CHAIN_MANAGER: [
        "chains:view",
        "branches:view",
        "branches:add",
        "branches:change",
        "devices:*",
        "telemetry:view",
        "carts:*",
        "rentals:*",
    ],
    RoleCode.BRANCH_MANAGER: ["branches:view", "devices:view", "telemetry:view", "carts:*", "rentals:*"],
    RoleCode.CUSTOMER: [],
}
