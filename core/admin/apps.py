"""The admin app with the product's own site."""

from importlib import import_module

from django.contrib.admin.apps import AdminConfig

KERNEL_ADMINS = ("audit_entry", "outbox_message", "state_change", "schedules")


class BackOfficeAdminConfig(AdminConfig):
    """Stands in `INSTALLED_APPS` for `django.contrib.admin`; every app's `admin` package registers itself."""

    default_site = "core.admin.site.BackOfficeSite"

    def ready(self) -> None:
        super().ready()
        for name in KERNEL_ADMINS:
            import_module(f"core.admin.{name}")
