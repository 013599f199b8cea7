"""Periodic tasks: how often they run, pause, run now. Their rows outlive deployments.

Tasks and schedules are rows of django-celery-beat, whose models do what a service would: they tell beat of a change.
"""

from typing import Any

from celery import current_app
from django import forms
from django.contrib import admin
from django.contrib.auth.models import Group
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask, SolarSchedule
from unfold.widgets import UnfoldAdminSelectWidget

from core.admin.base import ScopedAdmin, Section
from core.admin.buttons import Button, Press
from core.admin.forms import AnyModelForm
from core.schedule import delete_schedule, pause_task, resume_task, run_task_now, save_schedule

# The package registers its own, which know nothing of grants. Groups are Django's way of saying what roles say here.
for model in (PeriodicTask, IntervalSchedule, CrontabSchedule, ClockedSchedule, SolarSchedule, Group):
    if admin.site.is_registered(model):
        admin.site.unregister(model)


def _resume(press: Press) -> None:
    resume_task(task=press.thing, actor=press.actor)


def _pause(press: Press) -> None:
    pause_task(task=press.thing, actor=press.actor)


def _run_now(press: Press) -> None:
    run_task_now(task=press.thing, actor=press.actor)


class PeriodicTaskForm(AnyModelForm):
    """A known task and exactly one schedule."""

    task = forms.ChoiceField(label=_("Task"), widget=UnfoldAdminSelectWidget())

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if isinstance(field := self.fields.get("task"), forms.ChoiceField):
            current_app.loader.import_default_modules()
            names = {name for name in current_app.tasks if not name.startswith("celery.")} | {self.instance.task}
            field.choices = [(name, name) for name in sorted(names) if name]


class ThroughServices(ScopedAdmin):
    """Writes as everything else is written, so that the audit tells of it."""

    def save_model(self, request: HttpRequest, obj: Any, form: AnyModelForm, change: bool) -> None:
        save_schedule(row=obj, changes=form.cleaned_data, actor=request.user)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        delete_schedule(row=obj, actor=request.user)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        for row in queryset:
            delete_schedule(row=row, actor=request.user)


@admin.register(PeriodicTask)
class PeriodicTaskAdmin(ThroughServices):
    """What beat sends, and when."""

    resource = "schedules"
    section, place, icon = Section.SYSTEM, 30, "schedule"
    form = PeriodicTaskForm
    list_display = ("name", "enabled", "scheduled", "last_run_at")
    list_filter = ("enabled",)
    list_select_related = ("interval", "crontab", "clocked", "solar")
    search_fields = ("name", "task")
    ordering = ("name",)
    fieldsets = (
        (None, {"fields": ("name", "task", "enabled", "description")}),
        (_("When"), {"fields": ("interval", "crontab", "clocked", "start_time", "one_off", "last_run_at")}),
        (_("Dropped when late"), {"fields": ("expires", "expire_seconds")}),
    )
    readonly_fields = ("last_run_at",)
    buttons = (
        Button(
            name="run-now",
            label=_("Run now"),
            permission="schedules:change",
            run=_run_now,
            icon="play_arrow",
            variant="primary",
            done=_("Sent to a worker."),
            bulk=True,
        ),
        Button(
            name="pause",
            label=_("Pause"),
            permission="schedules:change",
            run=_pause,
            icon="pause",
            question=_("Nothing does this work until somebody resumes it."),
            bulk=True,
            when=lambda task: task.enabled,
        ),
        Button(
            name="resume",
            label=_("Resume"),
            permission="schedules:change",
            run=_resume,
            icon="play_circle",
            bulk=True,
            when=lambda task: not task.enabled,
        ),
    )

    @admin.display(description=_("schedule"))
    def scheduled(self, task: PeriodicTask) -> str:
        return str(task.schedule)


class ScheduleAdmin(ThroughServices):
    """A rhythm tasks refer to."""

    resource = "schedules"
    section = Section.SYSTEM
    in_global_search = False


@admin.register(IntervalSchedule)
class IntervalScheduleAdmin(ScheduleAdmin):
    """Every so often."""

    place, icon = 31, "timer"
    list_display = ("__str__", "every", "period")


@admin.register(CrontabSchedule)
class CrontabScheduleAdmin(ScheduleAdmin):
    """At times of the clock and the calendar."""

    place, icon = 32, "calendar_month"
    list_display = ("__str__", "human_readable")
    fields = (("minute", "hour"), ("day_of_month", "month_of_year", "day_of_week"), "timezone")


@admin.register(ClockedSchedule)
class ClockedScheduleAdmin(ScheduleAdmin):
    """Once, at a time."""

    place, icon = 33, "event"
    list_display = ("clocked_time",)
