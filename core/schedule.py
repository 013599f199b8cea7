"""Periodic tasks as rows: written when missing, so that an edit made in the admin survives a deployment."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from celery import current_app

from core.rows import note

if TYPE_CHECKING:
    from django_celery_beat.models import PeriodicTask

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


def pause_task(*, task: "PeriodicTask", actor: object) -> None:
    """Nothing sends it until somebody resumes it."""
    _enable(task, False)
    note("paused", task, actor=actor)


def resume_task(*, task: "PeriodicTask", actor: object) -> None:
    """Send it again, as its schedule says."""
    _enable(task, True)
    note("resumed", task, actor=actor)


def run_task_now(*, task: "PeriodicTask", actor: object) -> None:
    """Send it to a worker once, whatever its schedule says."""
    current_app.send_task(task.task, headers={"periodic_task_name": task.name})
    note("run by hand", task, actor=actor)


def _enable(task: "PeriodicTask", enabled: bool) -> None:
    """Through `save()`, which tells beat; it also forgets the last run of a task that pauses."""
    task.enabled = enabled
    task.save(update_fields=["enabled", "last_run_at"])
