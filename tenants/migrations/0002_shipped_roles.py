"""The roles the product ships with. Later edits in the admin stay: rows are only added."""

from typing import Any

from django.db import migrations

from tenants.enums import SHIPPED_PERMISSIONS, RoleCode


def add_roles(apps: Any, schema_editor: Any) -> None:
    role = apps.get_model("tenants", "Role")
    for code, permissions in SHIPPED_PERMISSIONS.items():
        role.objects.get_or_create(code=code, defaults={"name": RoleCode(code).label, "permissions": permissions})


class Migration(migrations.Migration):
    dependencies = [("tenants", "0001_initial")]

    operations = [migrations.RunPython(add_roles, migrations.RunPython.noop)]
