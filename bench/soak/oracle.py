"""What must never happen, judged from outside: from bytes on the wire, pulses at the relay and rows at rest.

It shares no code with what it judges: it reads messages as JSON, journals as SQLite files and rows by their columns.
"""

import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from uuid import UUID

from django.db.models import Count

from carts.models import Cart, Rental
from core.models import OutboxMessage, StateChange
from devices.models import Command

from .world import EPOCH, World

# From the decisions: an unlock lives 8 s; 3 s later nobody waits for its answer.
LIVES_S = 8.0
# After that, all sweeps have run, also behind a dead bridge and after retried deliveries.
SETTLED_S = 100.0
LEASE_S = 2.0
FINAL = ("done", "failed", "expired", "unknown", "cancelled")


@dataclass(frozen=True)
class Violation:
    """A broken promise; `about` are the command, cart and device it happened to."""

    rule: str
    detail: str
    about: tuple[UUID, ...]


@dataclass(slots=True)
class Sighting:
    """One command as seen from outside; times in virtual seconds."""

    command_id: UUID
    queued_at: float
    kind: str = ""
    device_id: UUID | None = None
    target_id: UUID | None = None
    connection_id: str = ""
    expires_at: float = 0.0
    published: list[float] = field(default_factory=list)
    firings: list[float] = field(default_factory=list)
    opened: bool = False
    lied: bool = False
    cancelled: bool = False
    answers: set[tuple[str, str]] = field(default_factory=set)
    # When its own device first said each of its answers; kept for good.
    said: dict[tuple[str, str], float] = field(default_factory=dict)
    # A message that is sent again is no new answer.
    messages: set[str] = field(default_factory=set)


class Oracle:
    """Keeps the first violation and stops the world."""

    def __init__(self, world: World, routes: Mapping[UUID, UUID], ignoring: Collection[str] = ()) -> None:
        self.world = world
        self._ignoring = ignoring
        self.violation: Violation | None = None
        self.seen: dict[UUID, Sighting] = {}
        self.answers_by_key: dict[str, str] = {}
        self._routes = routes
        self._to_check: list[Sighting] = []
        self._cancels: dict[UUID, UUID] = {}
        self._closings: defaultdict[UUID, list[float]] = defaultdict(list)
        self._checked_until = EPOCH
        self.totals: Counter[str] = Counter()

    def broken(self, rule: str, detail: str, *about: UUID | None) -> None:
        if self.violation is None and rule not in self._ignoring:
            self.world.note(f"VIOLATION: {rule}: {detail}", *about)
            self.violation = Violation(rule, detail, tuple(one for one in about if one is not None))
            self.world.stopped = True

    # The cloud's side

    def queued(self, command_id: UUID) -> None:
        sighting = Sighting(command_id, self.world.now)
        self.seen[command_id] = sighting
        self._to_check.append(sighting)

    def published(self, topic: str, payload: bytes) -> None:
        """The bridge hands a command to the broker."""
        message = json.loads(payload)
        sighting = self.seen[UUID(message["command_id"])]
        target = UUID(topic.split("/")[4])
        if not sighting.published:
            sighting.kind = message["type"]
            sighting.device_id, sighting.connection_id = self._routes[target], message["connection_id"]
            sighting.target_id = target
            sighting.expires_at = _seconds(message["expires_at"])
            if sighting.kind == "cancel":
                self._cancels[sighting.command_id] = UUID(message["args"]["command_id"])
            if sighting.expires_at > sighting.queued_at + LIVES_S + 0.001:
                self.broken("a live command lives for seconds", f"{sighting.expires_at - sighting.queued_at} s", target)
        elif self.world.now - sighting.published[-1] < LEASE_S:
            self.broken("one bridge at a time publishes a command", "published twice within its lease", *ids(sighting))
        sighting.published.append(self.world.now)
        self.world.note(f"bridge publishes {sighting.kind} {_short(sighting.command_id)}", *ids(sighting))

    # The Pi's side

    def delivered(self, device_id: UUID, payload: bytes, *, retained: bool) -> None:
        command_id = UUID(json.loads(payload)["command_id"])
        flag = " with the retain flag" if retained else ""
        self.world.note(f"Pi {_short(device_id)} receives {_short(command_id)}{flag}", command_id, device_id)

    def fired(
        self,
        *,
        device_id: UUID,
        cart_id: UUID,
        connection_id: UUID | None,
        cause: bytes | None,
        retained: bool,
        journal: Path,
    ) -> Sighting | None:
        """A relay was pulsed while the Pi handled the message `cause` on its connection `connection_id`."""
        now = self.world.now
        self.totals["firings"] += 1
        if cause is None:
            self.broken("nothing fires without a command", f"cart {cart_id}", cart_id, device_id)
            return None
        sighting = self.seen[UUID(json.loads(cause)["command_id"])]
        sighting.firings.append(now)
        about = ids(sighting)
        left = f"{sighting.expires_at - now:.3f} s before its expiry"
        self.world.note(f"RELAY FIRES for {_short(sighting.command_id)}, {left}", *about)
        if len(sighting.firings) > 1:
            self.totals["double firings"] += 1
            self.broken("a command fires at most once", f"fired {len(sighting.firings)} times", *about)
        if now > min(sighting.expires_at, sighting.queued_at + LIVES_S) + 0.001:
            self.totals["late openings"] += 1
            self.broken("nothing fires past its expiry", f"{now - sighting.expires_at:.3f} s late", *about)
        if str(connection_id) != sighting.connection_id:
            self.broken("nothing fires on another connection", f"{connection_id}", *about)
        if (sighting.device_id, sighting.target_id) != (device_id, cart_id):
            self.broken("nothing fires elsewhere", f"cart {cart_id} of {device_id}", *about)
        if retained:
            self.broken("a retained message fires nothing", "fired", *about)
        if sighting.cancelled:
            self.broken("a cancelled command does not fire", "fired after `cancelled`", *about)
        if not _is_journalled(journal, sighting.command_id):
            self.broken("the journal is written before the relay fires", "not in the journal", *about)
        return sighting

    def answered(self, device_id: UUID, topic: str, payload: bytes) -> None:
        """A Pi publishes something."""
        message = json.loads(payload)
        outcome, reason = message.get("outcome"), message.get("reason")
        if not message.get("command_id") or outcome in (None, "acked"):
            return
        sighting = self.seen[UUID(message["command_id"])]
        self.world.note(
            f"Pi {_short(device_id)} answers {_short(sighting.command_id)}: {outcome} {reason or ''}", *ids(sighting)
        )
        if device_id != sighting.device_id:
            return
        sighting.said.setdefault((outcome, reason or ""), self.world.now)
        if reason == "retained" or message["message_id"] in sighting.messages:
            return
        sighting.messages.add(message["message_id"])
        sighting.answers.add((outcome, reason or ""))
        if len(sighting.answers) > 1:
            self.broken("one command, one answer", f"{sorted(sighting.answers)}", *ids(sighting))
        if outcome == "done" and sighting.kind == "unlock" and not self._has_evidence(sighting):
            self.broken("`opened` is said only on evidence", "done without an open hook", *ids(sighting))
        if outcome == "done" and sighting.kind == "cancel":
            target = self.seen[self._cancels[sighting.command_id]]
            target.cancelled = True
            if target.firings:
                self.broken("a cancelled command does not fire", "cancelled after it fired", *ids(target))

    def may_read_closed(self, cart_id: UUID) -> None:
        """From now on its open hook may be read as closed: it was pushed in, or its board or switch lies."""
        self._closings[cart_id].append(self.world.now)

    def forgets_answers(self, device_id: UUID, *, cancels: bool = False) -> None:
        """A power cut or an old date has taken answers (and cancels) from a Pi: what was said of them binds no more."""
        for sighting in self.seen.values():
            if sighting.device_id == device_id:
                sighting.answers.clear()
                sighting.cancelled = sighting.cancelled and not cancels

    @staticmethod
    def _has_evidence(sighting: Sighting) -> bool:
        return bool(sighting.firings) and (sighting.opened or sighting.lied)

    # Rows at rest

    def check_settled(self, *, everything: bool = False) -> int:
        """Judge the commands whose time and sweeps are over; how many unlocks were among them."""
        limit = self.world.now if everything else self.world.now - SETTLED_S
        due = [sighting for sighting in self._to_check if sighting.queued_at <= limit]
        if not due:
            return 0
        self._to_check = self._to_check[len(due) :]
        rows = Command.objects.filter(pk__in=[one.command_id for one in due])
        found = {row[0]: row for row in rows.values_list("pk", "status", "type", "reason", "target_id")}
        rentals = Rental.objects.filter(unlock_command__in=found).values_list(
            "unlock_command_id", "pk", "status", "start_time"
        )
        rental_of = {row[0]: row for row in rentals}
        unlocks = 0
        for sighting in due:
            _, status, kind, reason, cart_id = found[sighting.command_id]
            about = (sighting.command_id, cart_id, sighting.device_id)
            if status not in FINAL:
                self.broken("every command ends", f"still {status}", *about)
            if status in ("cancelled", "expired") and sighting.firings:
                self.broken("a command that is said not to have fired has not", status, *about)
            if kind == "unlock":
                unlocks += 1
                self.world.outcomes[f"unlock {status}" + (f": {reason}" if reason else "")] += 1
                if status == "done" and not self._has_evidence(sighting):
                    self.broken("`opened` is said only on evidence", "done in the database", *about)
                self._check_rental(sighting, status, rental_of.get(sighting.command_id), about)
        return unlocks

    def _check_rental(
        self,
        sighting: Sighting,
        status: str,
        rental: tuple[UUID, UUID, str, datetime | None] | None,
        about: tuple[UUID | None, ...],
    ) -> None:
        if rental is None:
            return
        _, rental_id, state, started = rental
        self.world.outcomes[f"rental {state}"] += 1
        if state == "pending_unlock":
            self.broken("every rental is settled", "still pending after the sweeps", *about, rental_id)
        if started is not None and not self._has_evidence(sighting):
            self.broken("a rental runs only if its lock opened", f"rental {state}, command {status}", *about, rental_id)
        if sighting.lied and started is not None and not sighting.opened:
            self.world.outcomes["rental begun because a board lied with a valid checksum"] += 1

    def check_now(self, cart_ids: list[UUID]) -> None:
        """Rules that hold at every moment; what has ended is judged once."""
        open_states = ("pending_unlock", "active", "overdue")
        crowded = Rental.objects.filter(cart__in=cart_ids, status__in=open_states).values("cart")
        for row in crowded.annotate(open=Count("pk")).filter(open__gt=1):
            self.broken("one open rental per cart", f"{row['open']} are open", row["cart"])
        since, self._checked_until = self._checked_until, self.world.date()
        self._check_answers(since)
        self._check_returns(since)

    def _check_answers(self, since: datetime) -> None:
        rows = Command.objects.filter(status__in=("done", "failed"), finished_at__gte=since)
        for pk, status, reason, finished_at in rows.values_list("pk", "status", "reason", "finished_at"):
            assert finished_at is not None
            sighting = self.seen[pk]
            outcomes = ("done",) if status == "done" else ("failed", "refused")
            said = [sighting.said[one, reason] for one in outcomes if (one, reason) in sighting.said]
            if not said or min(said) > _since_epoch(finished_at):
                self.broken(
                    "a command ends by its own device's word", f"{status} {reason} was not said", *ids(sighting)
                )

    def _check_returns(self, since: datetime) -> None:
        rows = Rental.objects.filter(status="returned", start_time__isnull=False, actual_return__gte=since)
        for pk, command_id, cart_id, ended_at in rows.values_list("pk", "unlock_command", "cart", "actual_return"):
            assert ended_at is not None
            sighting = self.seen[command_id]
            opened_at = sighting.firings[0] if sighting.firings else sighting.queued_at
            # A hook is open at its pulse or after it, so whatever closes one by then has closed it since.
            if not any(opened_at <= when <= _since_epoch(ended_at) for when in reversed(self._closings[cart_id])):
                self.broken("a rental ends only when its cart is back", "nobody pushed it in", *ids(sighting), pk)

    def check_end(self, cart_ids: list[UUID]) -> None:
        """After the last sweep: nothing waits, nothing is half done, what was voided stayed so."""
        self.check_now(cart_ids)
        for pk in Cart.objects.filter(pk__in=cart_ids, status="reserved").values_list("pk", flat=True):
            self.broken("no cart stays reserved", "reserved after the sweeps", pk)
        waiting = (
            OutboxMessage.objects.filter(done_at__isnull=True).values_list("event", "payload", "last_error").first()
        )
        if waiting:
            self.broken("the outbox is empty after its sweep", f"{waiting}")
        revived = (
            StateChange.objects.filter(entity="carts.rental", from_state="voided")
            .values_list("entity_id", flat=True)
            .first()
        )
        if revived:
            self.broken("a voided rental stays voided", "it went on", revived)
        billed = Rental.objects.filter(cart__in=cart_ids, status="voided", actual_return__isnull=False).first()
        if billed:
            self.broken("a voided rental owes nothing", "it has an end", billed.pk)


def ids(sighting: Sighting) -> tuple[UUID | None, ...]:
    """What a trace of this command is made of."""
    return (sighting.command_id, sighting.target_id, sighting.device_id)


def _short(identity: UUID) -> str:
    return str(identity)[:8]


def _seconds(text: str) -> float:
    return _since_epoch(datetime.fromisoformat(text))


def _since_epoch(date: datetime) -> float:
    return (date - EPOCH).total_seconds()


def _is_journalled(journal: Path, command_id: UUID) -> bool:
    reader = sqlite3.connect(journal, timeout=2)
    try:
        return bool(reader.execute("SELECT 1 FROM journal WHERE command_id = ?", (str(command_id),)).fetchone())
    finally:
        reader.close()
