"""Kernel jobs."""

from datetime import timedelta

from celery import shared_task

from core import health, idempotency, outbox
from core.schedule import periodic

periodic("core.record_pulse", timedelta(seconds=10))
periodic("core.sweep_outbox", timedelta(seconds=5))
periodic("core.sweep_idempotency_keys", timedelta(hours=1))
periodic("core.sweep_done", timedelta(days=1))


@shared_task(name="core.record_pulse", expires=10)
def record_pulse() -> None:
    """Says that beat sent it and a worker ran it."""
    health.record_pulse("beat")
    health.record_pulse("worker")


@shared_task(name="core.sweep_outbox", expires=5)
def sweep_outbox() -> int:
    """Deliver events that a dead process left behind."""
    return outbox.sweep()


@shared_task(name="core.sweep_idempotency_keys")
def sweep_idempotency_keys() -> int:
    """Forget answers nobody will ask for again."""
    return idempotency.forget_old_keys()


@shared_task(name="core.sweep_done")
def sweep_done() -> None:
    """Forget delivered events."""
    outbox.forget_done()
