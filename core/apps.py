"""Kernel app."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.module_loading import autodiscover_modules


class CoreConfig(AppConfig):
    name = "core"

    def ready(self) -> None:
        import core.connections  # noqa: F401 (connects a receiver)
        from core.database_rights import grant_rights
        from core.schedule import upsert_periodic_tasks

        autodiscover_modules("deeds")
        post_migrate.connect(grant_rights, sender=self, dispatch_uid="core.grant_rights")
        post_migrate.connect(upsert_periodic_tasks, dispatch_uid="core.upsert_periodic_tasks")
