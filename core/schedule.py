"""Periodic tasks as rows: written when missing, so that an edit made in the admin survives a deployment."""

from datetime import timedelta
from typing import Any

_periodic: dict[str, timedelta] = {}


def periodic(task_name: str, every: timedelta) -> None:
    """Declare that a Celery task runs every so often; the row is named like the task."""
    _periodic[task_name] = every


def upsert_periodic_tasks(sender: Any = None, **kwargs: Any) -> None:
    """Create the rows that are missing. Runs after each migrate."""
    from django.utils.module_loading import autodiscover_modules
    from django_celery_beat.models import IntervalSchedule, PeriodicTask

    # post_migrate fires once per app, after the tables of all of them exist; once is enough.
    if getattr(sender, "name", "core") != "core":
        return
    autodiscover_modules("tasks")  # which declare themselves when imported
    for name, every in _periodic.items():
        schedule, _ = IntervalSchedule.objects.get_or_create(
            every=int(every.total_seconds()), period=IntervalSchedule.SECONDS
        )
        PeriodicTask.objects.get_or_create(name=name, defaults={"task": name, "interval": schedule})
