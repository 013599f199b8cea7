"""Periodic tasks as rows: paused, resumed, and what else about them stays."""

import pytest
from django_celery_beat.models import IntervalSchedule, PeriodicTask, PeriodicTasks

from core.errors import DomainError
from core.schedule import delete_schedule, pause_task, resume_task

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


def test_rhythm_that_tasks_follow_stays(task: PeriodicTask) -> None:
    """The library's foreign key would take them with it."""
    assert task.interval is not None

    with pytest.raises(DomainError, match="Tasks follow this rhythm"):
        delete_schedule(row=task.interval, actor="somebody")

    assert PeriodicTask.objects.filter(pk=task.pk).exists()


def test_rhythm_that_nothing_follows_goes(task: PeriodicTask) -> None:
    rhythm = task.interval
    assert rhythm is not None
    delete_schedule(row=task, actor="somebody")

    delete_schedule(row=rhythm, actor="somebody")

    assert not IntervalSchedule.objects.filter(pk=rhythm.pk).exists()
