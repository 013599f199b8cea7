"""Tenants app."""

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class TenantsConfig(AppConfig):
    name = "tenants"
    verbose_name = _("People and shops")

    def ready(self) -> None:
        from core.privacy import retention
        from core.secrets import encrypts, rewrites
        from tenants import personal  # noqa: F401 (importing declares)
        from tenants.models import BrowserSession
        from tenants.services.retention import sweep_retention
        from tenants.services.second_factor import rewrite_secrets
        from tenants.session_store import PLACE

        encrypts(BrowserSession, "session_data", place=PLACE)
        rewrites("mfa", rewrite_secrets)
        retention("tenants", sweep_retention)
        post_migrate.connect(_ensure_shipped_roles, sender=self, dispatch_uid="tenants.ensure_shipped_roles")


def _ensure_shipped_roles(**kwargs: Any) -> None:
    """The product works with none of its tables filled, but not without its roles: they are there after a flush too."""
    from tenants.services.people import ensure_shipped_roles

    ensure_shipped_roles()
