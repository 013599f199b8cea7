"""Every permission something asks for, and its words: `carts:change` is “Carts: change”."""

from itertools import groupby

from django.contrib import admin
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from core.admin.base import ReadOnly, ScopedAdmin
from tenants.enums import SHIPPED_PERMISSIONS

# What pages and REST ask for beyond looking, adding, changing and deleting in the admin.
OTHER_PERMISSIONS = frozenset(
    {
        "audit:view",
        "rentals:add",
        "rentals:return",
        "support_access:end",
        "support_access:open",
        "support_access:view",
        "telemetry:view",
        "users:contact",
        "users:export",
        "users:impersonate",
    }
)

_RESOURCES = {
    "*": _("Everything"),
    "audit": _("Audit"),
    "branches": _("Branches"),
    "carts": _("Carts"),
    "chains": _("Chains"),
    "commands": _("Commands"),
    "controllers": _("Boards"),
    "devices": _("Devices"),
    "enrolment": _("Enrolment codes"),
    "grants": _("Who holds what"),
    "history": _("History"),
    "outbox": _("Messages"),
    "rentals": _("Rentals"),
    "roles": _("Roles"),
    "schedules": _("Schedules"),
    "support_access": _("Support access"),
    "telemetry": _("Telemetry"),
    "users": _("People"),
}
_ACTIONS = {
    "*": pgettext_lazy("permission", "everything"),
    "add": pgettext_lazy("permission", "add"),
    "change": pgettext_lazy("permission", "change"),
    "close": pgettext_lazy("permission", "end"),
    "command": pgettext_lazy("permission", "send commands"),
    "contact": pgettext_lazy("permission", "see numbers and addresses"),
    "delete": pgettext_lazy("permission", "take away"),
    "end": pgettext_lazy("permission", "end"),
    "erase": pgettext_lazy("permission", "erase"),
    "export": pgettext_lazy("permission", "export"),
    "impersonate": pgettext_lazy("permission", "act as them"),
    "link": pgettext_lazy("permission", "make sign-in links"),
    "open": pgettext_lazy("permission", "open"),
    "return": pgettext_lazy("permission", "return"),
    "view": pgettext_lazy("permission", "look at"),
}


def known_permissions() -> set[str]:
    """Every `resource:action` something asks for: the admin's, those of its buttons, and the shipped roles'."""
    found = set(OTHER_PERMISSIONS)
    for permissions in SHIPPED_PERMISSIONS.values():
        found.update(permissions)
    for each in admin.site._registry.values():
        if isinstance(each, ScopedAdmin):
            actions = ("*", "view") if isinstance(each, ReadOnly) else ("*", "view", "add", "change", "delete")
            found.update(f"{each.resource}:{action}" for action in actions)
            found.update(button.permission for button in each.all_buttons())
    return found


def groups() -> list[tuple[str, list[tuple[str, str]]]]:
    """(resource, [(permission, words)]) of everything that something asks for, but for the stars."""
    names = sorted(name for name in known_permissions() if not name.endswith("*"))
    found = groupby(names, key=lambda name: name.partition(":")[0])
    return [(resource_words(resource), [(name, permission_words(name)) for name in names]) for resource, names in found]


def permission_words(permission: str) -> str:
    """“Carts: look at”. What nobody put into words stays as it is."""
    resource, _colon, action = permission.partition(":")
    return f"{resource_words(resource)}: {_ACTIONS.get(action, action)}" if action else resource_words(resource)


def resource_words(resource: str) -> str:
    """“Carts”."""
    return str(_RESOURCES.get(resource, capfirst(resource.replace("_", " "))))
