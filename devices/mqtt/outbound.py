"""Command rows out: claimed with a lease, published, marked sent when the broker has them."""

import json
import logging
from collections.abc import Callable, Sequence
from datetime import timedelta
from uuid import UUID, uuid4

from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from core.transitions import IllegalTransition, transition
from devices.enums import COMMAND_TRANSITIONS, CommandStatus
from devices.models import Command
from pi_client.contract import Command as CommandMessage
from pi_client.contract import CommandType, encode

logger = logging.getLogger(__name__)

# A bridge that dies between claim and publish loses the command for this long. Publishing the same id twice is
# harmless: the device's journal knows it.
LEASE = timedelta(seconds=2)
# Takes topic, payload and command id; False when it did not even try.
Publish = Callable[[str, bytes, UUID], bool]


def publish_command(command_id: UUID, publish: Publish) -> bool:
    """Claim one command and publish it; False when nothing went out: claimed, expired, its connection or ours gone.

    The claim is one statement and need not survive a power cut: without it the command is merely claimed again.
    """
    now = timezone.now()
    lease_until = now + LEASE
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE devices_command AS command SET lease_until = %s, sent_at = %s
            FROM (SELECT id, lease_until, sent_at FROM devices_command WHERE id = %s) AS before
            WHERE command.id = before.id AND status = 'queued' AND expires_at > %s
                AND (command.lease_until IS NULL OR command.lease_until < %s)
                AND connection_id = (SELECT connection_id FROM devices_presence WHERE device_id = command.device_id)
            RETURNING type, topic, connection_id, issued_at, expires_at, args::text, before.lease_until, before.sent_at
            """,
            [lease_until, now, command_id, now, now],
        )
        row = cursor.fetchone()
    if row is None:
        return False
    type_, topic, connection_id, issued_at, expires_at, args, *before = row
    message = CommandMessage(
        message_id=uuid4(),
        sent_at=now,
        command_id=command_id,
        type=CommandType(type_),
        connection_id=connection_id,
        issued_at=issued_at,
        expires_at=expires_at,
        args=json.loads(args),
    )
    if publish(topic, encode(message), command_id):
        return True
    # As it was before the claim: one that never went out expires as never sent, one of an earlier claim may have.
    claimed = Command.objects.filter(pk=command_id, status=CommandStatus.QUEUED, lease_until=lease_until)
    claimed.update(lease_until=before[0], sent_at=before[1])
    return False


def waiting_commands() -> list[UUID]:
    """Commands nobody published yet: their wake-up was lost, or the bridge that claimed them died."""
    now = timezone.now()
    rows = Command.objects.filter(
        status=CommandStatus.QUEUED, connection_id=F("device__presence__connection_id"), expires_at__gt=now
    )
    return list(rows.exclude(lease_until__gte=now).order_by("issued_at").values_list("pk", flat=True)[:200])


def mark_sent(command_ids: Sequence[UUID]) -> None:
    """The broker has them. A device's answer may have been faster; then there is nothing to say."""
    with transaction.atomic():
        for command in Command.objects.filter(pk__in=command_ids, status=CommandStatus.QUEUED).order_by("pk"):
            try:
                transition(command, to=CommandStatus.SENT, table=COMMAND_TRANSITIONS, actor="bridge")
            except IllegalTransition:
                logger.debug("answered before it was marked sent", extra={"command_id": str(command.pk)})
