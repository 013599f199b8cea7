"""What the kernel's deeds are called in the audit; see `core.audit_words`."""

from django.utils.translation import gettext_lazy as _

from core.audit_words import Kind, Word, tell_deeds, tell_details, tell_jobs, tell_kind

tell_deeds(
    {
        "created": Word(_("Created"), "ok"),
        "changed": Word(_("Changed")),
        "deleted": Word(_("Deleted"), "bad"),
        "paused": Word(_("Paused"), "warn"),
        "resumed": Word(_("Resumed"), "ok"),
        "run by hand": Word(_("Run by hand")),
        "tried again": Word(_("Tried again")),
    }
)
tell_jobs(
    {
        "system": _("The product itself"),
        "clock": _("The clock"),
        "configuration": _("Setting up"),
    }
)
tell_details({"expires_at": _("ends"), "format": _("format"), "filter": _("narrowed to")})
tell_kind("core.outboxmessage", Kind("outbox:view"))
tell_kind("django_celery_beat.periodictask", Kind("schedules:view", name=lambda task: str(task.name)))
tell_kind("django_celery_beat.intervalschedule", Kind("schedules:view"))
tell_kind("django_celery_beat.crontabschedule", Kind("schedules:view"))
tell_kind("django_celery_beat.clockedschedule", Kind("schedules:view"))
