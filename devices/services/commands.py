"""Commands: rows that become messages. Only the device's word or the clock advances them."""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from core import audit, live, outbox
from core.compiled import Lookup, insert
from core.errors import Unavailable
from core.transitions import transition
from devices import notify
from devices.enums import COMMAND_TRANSITIONS, OPEN_COMMANDS, CommandStatus, DeviceState
from devices.events import CommandAdvanced, CommandFinished, LockReported
from devices.models import Command, Device
from devices.mqtt.addresses import CART_COMMANDS, command_topic

# An unlock is a live call: it lives for seconds, and the answer may take a moment longer.
LIVE_FOR = timedelta(seconds=8)
ANSWER_GRACE = timedelta(seconds=3)
LATE_FOR = timedelta(hours=24)
# These may also wait for a device and arrive with its heartbeat.
MAY_ARRIVE_LATE = frozenset({"apply_config", "install_firmware", "restart"})
_OUTCOME_STATUS = {
    "acked": CommandStatus.ACKED,
    "done": CommandStatus.DONE,
    "failed": CommandStatus.FAILED,
    "unknown": CommandStatus.UNKNOWN,
}
# Only a refusal says that nothing was tried; any other reason of one is a failure.
_REFUSED_STATUS = {"expired": CommandStatus.EXPIRED, "cancelled": CommandStatus.CANCELLED}

_locked = Lookup(lambda pk: Command.objects.select_for_update().filter(pk=pk), pk=UUID)


def queue_command(
    *,
    device: Device,
    type: str,
    target_id: UUID | None = None,
    args: Mapping[str, Any] | None = None,
    actor: object = "",
) -> Command:
    """Write a command for the device's present connection and wake the bridge on commit.

    Raises `Unavailable` when the device is not let in, or not connected and the command may not arrive late. Inside
    the caller's transaction. `device` with `branch__chain` and `presence` selected; then two queries.
    """
    presence = getattr(device, "presence", None)
    connection_id = presence.connection_id if presence else None
    if device.state != DeviceState.ACTIVE or (connection_id is None and type not in MAY_ARRIVE_LATE):
        raise Unavailable(_("The locks here can't be reached right now."))
    now = timezone.now()
    command = Command(
        device=device,
        type=type,
        target_id=target_id,
        topic=command_topic(device, type, target_id),
        args=dict(args or {}),
        connection_id=connection_id,
        actor=str(getattr(actor, "pk", actor) or ""),
        issued_at=now,
        expires_at=now + (LATE_FOR if type in MAY_ARRIVE_LATE else LIVE_FOR),
    )
    insert(command)
    notify.wake(notify.COMMANDS, command.pk)
    return command


def cancel_command(*, command: Command, actor: object) -> None:
    """Staff stop a command that has not fired yet."""
    with transaction.atomic():
        if stop_command(command=command, actor=actor):
            audit.record("cancelled", command, actor=actor)


def stop_command(*, command: Command, actor: object) -> bool:
    """Stop a command that has not fired yet: at once when it was never sent, else by asking the device.

    False when it has ended already.
    """
    with transaction.atomic():
        locked = Command.objects.select_for_update(of=("self",)).select_related(
            "device__branch__chain", "device__presence"
        )
        row = locked.get(pk=command.pk)
        if row.status == CommandStatus.QUEUED and row.lease_until is None:
            _finish(row, CommandStatus.CANCELLED, reason="cancelled", actor=actor)
        elif row.status in OPEN_COMMANDS:
            queue_command(device=row.device, type="cancel", args={"command_id": str(row.pk)}, actor=actor)
        else:
            return False
        return True


def record_result(
    *,
    command_id: UUID,
    target_id: UUID | None,
    device_id: UUID | None,
    outcome: str,
    reason: str,
    lock: str,
    present: bool | None,
    seq: int | None,
    timing_ms: Mapping[str, float],
    sent_at: datetime,
) -> str:
    """Take a device's answer to a command. Answers "" or why it had no effect (`unknown-command`, `late`, `repeated`).

    The answer must come from the topic the command was addressed to: the cart's (`target_id`) or the device's.
    """
    with transaction.atomic(savepoint=False):
        command = _locked.first(pk=command_id)
        if command is None or (target_id, device_id) != _answers_from(command):
            return "unknown-command"
        status = _status_of(outcome, reason)
        if command.status not in OPEN_COMMANDS:
            return _record_late(command, status, outcome, reason, lock, present, seq, sent_at)
        if status == CommandStatus.ACKED:
            if transition(
                command,
                to=status,
                table=COMMAND_TRANSITIONS,
                actor=command.device_id,
                also={"acked_at": timezone.now()},
            ):
                live.announce(CommandAdvanced(command.pk, command.target_id))
            return ""
        seen = {"lock": lock, "present": present, "seq": seq}
        _finish(command, status, reason=reason, actor=command.device_id, timing_ms=dict(timing_ms), **seen)
        return ""


def _answers_from(command: Command) -> tuple[UUID | None, UUID | None]:
    """Whose topic its answer comes on: the cart's or the device's."""
    on_cart = command.type in CART_COMMANDS and command.target_id is not None
    return (command.target_id, None) if on_cart else (None, command.device_id)


def expire_overdue_commands() -> int:
    """End commands nobody answered in time. Never sent: expired. Sent: unknown, for the lock may have moved."""
    now = timezone.now()
    never_sent = Command.objects.filter(status=CommandStatus.QUEUED, lease_until__isnull=True, expires_at__lt=now)
    unanswered = Command.objects.filter(status__in=OPEN_COMMANDS, expires_at__lt=now - ANSWER_GRACE)
    due = list((never_sent | unanswered).values_list("pk", flat=True)[:500])
    return sum(_expire(pk) for pk in due)


def _expire(command_id: UUID) -> bool:
    with transaction.atomic():
        open_rows = Command.objects.select_for_update(skip_locked=True).filter(status__in=OPEN_COMMANDS)
        command = open_rows.filter(pk=command_id).first()
        if command is None:
            return False
        never_sent = command.status == CommandStatus.QUEUED and command.lease_until is None
        _finish(
            command, CommandStatus.EXPIRED if never_sent else CommandStatus.UNKNOWN, reason="expired", actor="clock"
        )
        return True


def _finish(command: Command, status: str, *, reason: str, actor: object, **fields: Any) -> None:
    moved = transition(
        command,
        to=status,
        table=COMMAND_TRANSITIONS,
        reason=reason,
        actor=actor,
        also={**fields, "reason": reason, "finished_at": timezone.now()},
    )
    if moved:
        outbox.publish(CommandFinished(command.pk))


def _status_of(outcome: str, reason: str) -> str:
    if outcome == "refused":
        return _REFUSED_STATUS.get(reason, CommandStatus.FAILED)
    return _OUTCOME_STATUS[outcome]


def _record_late(
    command: Command,
    status: str,
    outcome: str,
    reason: str,
    lock: str,
    present: bool | None,
    seq: int | None,
    sent_at: datetime,
) -> str:
    """An answer after the end changes nothing about it; the lock it saw is still worth knowing."""
    if status == command.status:
        return "repeated"
    if status != CommandStatus.ACKED:
        command.late_result = {"outcome": outcome, "reason": reason, "lock": lock, "sent_at": sent_at.isoformat()}
        command.save(update_fields=["late_result"])
    if command.target_id and seq is not None and command.type in CART_COMMANDS:
        outbox.publish(LockReported(command.target_id, lock, present, seq, sent_at.isoformat()))
    return "late"


def forget_who_asked(*, commands: Collection[UUID]) -> None:
    """Whose wish these commands were is kept no longer."""
    Command.objects.filter(pk__in=commands).update(actor="")
