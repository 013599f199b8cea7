"""Bring the shipped roles up to date where nobody has changed them since they were made."""

from uuid import uuid4

from django.db import migrations

BEFORE = {
    "technical": [
        "chains:view", "branches:view", "branches:change", "devices:*", "telemetry:view", "carts:*", "rentals:view",
        "schedules:*",
    ],
    "support": ["chains:view", "branches:view", "users:view", "users:change", "carts:view", "rentals:*"],
    "chain_manager": [
        "chains:view", "branches:view", "branches:add", "branches:change", "devices:*", "telemetry:view", "carts:*",
        "rentals:*",
    ],
    "branch_manager": ["branches:view", "devices:view", "telemetry:view", "carts:*", "rentals:*"],
}
AFTER = {
    "technical": [*BEFORE["technical"], "support_access:open", "support_access:view", "audit:view"],
    "support": [
        "chains:view", "branches:view", "users:view", "users:change", "users:contact", "support_access:open",
        "support_access:view",
    ],
    "chain_manager": [
        *BEFORE["chain_manager"], "users:view", "users:contact", "grants:view", "grants:add", "grants:delete",
        "audit:view", "support_access:view", "support_access:end",
    ],
    "branch_manager": [
        "branches:view", "devices:view", "telemetry:view", "carts:*", "rentals:*", "users:view", "grants:view",
        "grants:add", "grants:delete", "audit:view",
    ],
}


def renew(apps, schema_editor):
    Role, User = apps.get_model("tenants", "Role"), apps.get_model("tenants", "User")
    for code, permissions in BEFORE.items():
        for role in Role.objects.filter(code=code):
            if set(role.permissions) == set(permissions):
                role.permissions = AFTER[code]
                role.save(update_fields=["permissions"])
                # Processes that serve meanwhile read anew what these people hold.
                User.objects.filter(grants__role=role).update(access_version=uuid4())


class Migration(migrations.Migration):

    dependencies = [
        ('tenants', '0004_registration'),
    ]

    operations = [
        migrations.RunPython(renew, migrations.RunPython.noop),
    ]
