"""Periodic tasks as rows: paused, resumed, and what else about them stays."""

import pytest
from django_celery_beat.models import IntervalSchedule, PeriodicTask, PeriodicTasks

from core.schedule import pause_task, resume_task

pytestmark = pytest.mark.django_db


@pytest.fixture
def task() -> PeriodicTask:
    schedule = IntervalSchedule.objects.create(every=7, period=IntervalSchedule.HOURS)
    return PeriodicTask.objects.create(name="test", task="core.sweep_outbox", interval=schedule)


def test_task_pauses_and_resumes(task: PeriodicTask) -> None:
    pause_task(task=task, actor="somebody")
    paused = PeriodicTask.objects.get(pk=task.pk).enabled
    resume_task(task=task, actor="somebody")

    assert (paused, PeriodicTask.objects.get(pk=task.pk).enabled) == (False, True)


def test_beat_is_told_of_a_pause(task: PeriodicTask) -> None:
    before = PeriodicTasks.last_change()

    pause_task(task=task, actor="somebody")

    assert PeriodicTasks.last_change() > before


def test_pause_leaves_what_others_changed_meanwhile(task: PeriodicTask) -> None:
    PeriodicTask.objects.filter(pk=task.pk).update(description="edited")

    pause_task(task=task, actor="somebody")

    assert PeriodicTask.objects.get(pk=task.pk).description == "edited"
