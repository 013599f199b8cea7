"""Periodic tasks as rows: written when missing, so that an edit made in the admin survives a deployment."""

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from celery import current_app
from django.db import transaction
from django.utils.translation import gettext_lazy as _

from core.errors import DomainError
from core.rows import delete_row, note, save_row

if TYPE_CHECKING:
    from django.db import models
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
        schedule, _new = IntervalSchedule.objects.get_or_create(
            every=int(every.total_seconds()), period=IntervalSchedule.SECONDS
        )
        PeriodicTask.objects.get_or_create(name=name, defaults={"task": name, "interval": schedule})


def save_schedule(*, row: "models.Model", changes: Mapping[str, Any], actor: object) -> None:
    """Make or change a task or a rhythm. A task that pauses forgets its last run. Raises `InvalidInput`."""
    forgets = {"last_run_at": None} if changes.get("enabled") is False else {}
    save_row(row, changes={**changes, **forgets}, actor=actor)


def delete_schedule(*, row: "models.Model", actor: object) -> None:
    """Delete a task or a rhythm. The product's own tasks come back with the next migrate.

    Raises `DomainError` for a rhythm that tasks follow: the library's foreign keys would take them with it.
    """
    with transaction.atomic():
        tasks = getattr(row, "periodictask_set", None)
        if tasks is not None and tasks.select_for_update().exists():
            raise DomainError(_("Tasks follow this rhythm. Give them another one first."))
        delete_row(row, actor=actor)


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
