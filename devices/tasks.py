"""Device jobs."""

from datetime import timedelta

from celery import shared_task
from django.utils import timezone

from core.schedule import periodic
from devices import services
from devices.models import InboundMessage
from devices.services.telemetry import drop_old_partitions, ensure_partitions

KEEP_MESSAGES = timedelta(days=2)

periodic("devices.sweep_commands", timedelta(seconds=5))
periodic("devices.sweep_presence", timedelta(seconds=15))
periodic("devices.sweep_telemetry", timedelta(hours=6))


@shared_task(name="devices.sweep_commands", expires=5)
def sweep_commands() -> int:
    """End commands nobody answered; the bridge does the same each second while it lives."""
    return services.expire_overdue_commands()


@shared_task(name="devices.sweep_presence", expires=15)
def sweep_presence() -> int:
    """Mark devices that fell silent."""
    return services.sweep_presence()


@shared_task(name="devices.sweep_telemetry")
def sweep_telemetry() -> None:
    """Make tomorrow's partitions, drop those past their keeping time, forget old raw messages."""
    ensure_partitions()
    drop_old_partitions()
    InboundMessage.objects.filter(received_at__lt=timezone.now() - KEEP_MESSAGES).delete()
