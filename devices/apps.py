"""Devices app."""

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class DevicesConfig(AppConfig):
    name = "devices"
    verbose_name = _("Devices")

    def ready(self) -> None:
        post_migrate.connect(_make_partitions, sender=self, dispatch_uid="devices.partitions")


def _make_partitions(**kwargs: Any) -> None:
    from devices.services.telemetry import ensure_partitions

    ensure_partitions()
