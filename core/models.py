"""Rows of the kernel."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from core.privacy import OnErasure, Personal


class ActorKind(models.TextChoices):
    """Who can do something."""

    PERSON = "person", _("Person")
    PROGRAM = "program", _("Program")
    DEVICE = "device", _("Device")
    JOB = "job", _("Job")


class OutboxMessage(models.Model):
    """One event for one receiver: written with the change it tells of, done once the receiver has succeeded."""

    event = models.CharField(_("event"), max_length=120)
    payload = models.JSONField()
    receiver = models.CharField(_("receiver"), max_length=160)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    available_at = models.DateTimeField(_("next try"), help_text=_("Not delivered before; moved on by each failure."))
    attempts = models.PositiveSmallIntegerField(_("tries"), default=0)
    done_at = models.DateTimeField(_("delivered"), null=True, blank=True)
    parked_at = models.DateTimeField(_("given up"), null=True, blank=True, help_text=_("Given up; waits for a person."))
    last_error = models.TextField(_("last error"), blank=True)

    class Meta:
        verbose_name = _("outbox message")
        verbose_name_plural = _("outbox messages")
        indexes = [
            models.Index(
                fields=["available_at"],
                condition=Q(done_at__isnull=True, parked_at__isnull=True),
                name="outbox_waiting",
            )
        ]

    def __str__(self) -> str:
        return f"{self.event} → {self.receiver}"


class StateChange(models.Model):
    """History of every life cycle, append only: but for `forget_actors`, nobody changes or deletes a row."""

    append_only = True

    entity = models.CharField(max_length=60)
    entity_id = models.UUIDField()
    field = models.CharField(_("field"), max_length=40)
    from_state = models.CharField(_("from state"), max_length=40)
    to_state = models.CharField(_("to state"), max_length=40)
    reason = models.CharField(_("reason"), max_length=200, blank=True)
    actor = models.CharField(
        _("done by"), max_length=80, blank=True, help_text=_("A user's id, a device's id or the name of a job.")
    )
    at = models.DateTimeField(_("time"), auto_now_add=True)

    class Meta:
        verbose_name = _("state change")
        verbose_name_plural = _("state changes")
        indexes = [models.Index(fields=["entity_id", "-at"])]

    def __str__(self) -> str:
        return f"{self.entity} {self.entity_id}: {self.from_state} → {self.to_state}"


class IdempotencyKey(models.Model):
    """The answer given to a request, so that the same request gets the same answer."""

    scope = models.CharField(max_length=120)
    key = models.CharField(max_length=200)
    request_hash = models.CharField(max_length=64)
    response = models.JSONField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["scope", "key"], name="idempotency_key_once")]

    def __str__(self) -> str:
        return f"{self.scope}/{self.key}"


class ComponentPulse(models.Model):
    """The last sign of life of a process that has no port to ask; `/healthz` reads it."""

    name = models.CharField(max_length=40, primary_key=True)
    at = models.DateTimeField()
    detail = models.CharField(max_length=200, blank=True)
    ok = models.BooleanField(default=True)

    def __str__(self) -> str:
        return self.name


class AuditEntry(models.Model):
    """Who did what to which thing. Append only: the application's database role may insert and read (decision 12).

    Names and addresses of persons are never in `before` and `after`; who is meant is told by id.
    """

    append_only = True
    chain_path = "chain_id"
    branch_path = "branch_id"
    # Not what others did in this person's name: from where they did it is theirs.
    personal = Personal(
        fields=frozenset({"address"}),
        subjects=("actor_id",),
        only=Q(behind_id__isnull=True),
        told=("at", "action", "entity", "reason", "address", "request_id"),
        on_erasure=OnErasure.KEEP,
    )

    at = models.DateTimeField(_("time"), auto_now_add=True)
    actor_kind = models.CharField(_("kind of actor"), max_length=10, choices=ActorKind)
    actor_id = models.UUIDField(_("done by"), null=True)
    actor_name = models.CharField(_("job"), max_length=80, blank=True, help_text=_("Of a job or a command."))
    behind_id = models.UUIDField(_("acting as"), null=True, help_text=_("Who was really there, acting as the other."))
    token_id = models.UUIDField(_("personal token"), null=True)
    action = models.CharField(_("action"), max_length=60)
    entity = models.CharField(_("kind of thing"), max_length=60)
    entity_id = models.CharField(_("thing"), max_length=64)
    chain_id = models.UUIDField(_("chain"), null=True)
    branch_id = models.UUIDField(_("branch"), null=True)
    before = models.JSONField(_("before"), null=True)
    after = models.JSONField(_("after"), null=True)
    reason = models.CharField(_("reason"), max_length=300, blank=True)
    address = models.GenericIPAddressField(_("address"), null=True)
    request_id = models.CharField(_("request"), max_length=64, blank=True)

    class Meta:
        verbose_name = _("audit entry")
        verbose_name_plural = _("audit entries")
        indexes = [
            models.Index(fields=["chain_id", "-id"]),
            models.Index(fields=["branch_id", "-id"]),
            models.Index(fields=["entity_id", "-id"]),
            models.Index(fields=["actor_id", "-id"]),
            models.Index(fields=["behind_id", "-id"], condition=Q(behind_id__isnull=False), name="audit_behind"),
            models.Index(fields=["token_id", "-id"], condition=Q(token_id__isnull=False), name="audit_token"),
            models.Index(fields=["request_id"]),
            models.Index(fields=["at"]),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.entity} {self.entity_id}"
