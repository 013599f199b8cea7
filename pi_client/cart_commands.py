"""Cart commands between the wire and the bus: read, decided by the session, answered. The bus only fires and looks."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

from .cart_state import UNREADABLE, CartState
from .contract import Command, CommandType, ContractError, Outcome, Reason, Result, Topic, decode, encode
from .counters import Counters
from .ports import Clock, Journal, Outbox, State, StoreError
from .session import Accepted, Repeated, Session
from .site import Topics
from .uplink import Uplink

log = logging.getLogger(__name__)

EVIDENCE_TIMEOUT_S = 1.5
FIRST_PAUSE_S = 0.002
MAX_COPIES = 4
_LEAF_OF = {CommandType.UNLOCK: "unlock", CommandType.LOCK: "lock"}


@dataclass(frozen=True, slots=True)
class Inbound:
    """A message as it came; `received_at` is monotonic."""

    topic: Topic
    payload: bytes
    retained: bool
    received_at: float


@dataclass(slots=True)
class Attempt:
    """An accepted command on its way to evidence. Times are monotonic seconds."""

    command: Command
    cart_id: UUID
    topic: str
    seq: int | None
    received_at: float
    fired_at: float = 0.0
    deadline: float = 0.0
    next_look: float = 0.0
    pause: float = FIRST_PAUSE_S
    copies: int = 1
    last: CartState | None = None
    babble: bool = False
    confirmed: bool = False


class CartDesk:
    """Used by bus threads. A store that fails turns unlocks away; it never stops the thread."""

    def __init__(
        self,
        session: Session,
        journal: Journal,
        outbox: Outbox,
        uplink: Uplink,
        *,
        topics: Topics,
        clock: Clock,
        stamp: Callable[[], datetime],
        counters: Counters,
    ) -> None:
        self._session = session
        self._journal = journal
        self._outbox = outbox
        self._uplink = uplink
        self._topics = topics
        self._clock = clock
        self._stamp = stamp
        self._counters = counters

    def open(self, inbound: Inbound, active: Mapping[UUID, Attempt]) -> Attempt | None:
        """The attempt to carry out, or None when the message was dropped or has been answered."""
        topic = self._topics.cart(inbound.topic.id, "status")
        try:
            command = decode(Command, inbound.payload)
        except ContractError as error:
            self._counters.add("mqtt_malformed")
            log.debug("dropped a message on %s: %s", inbound.topic, error)
            return None
        try:
            return self._decide(command, inbound, topic, active)
        except StoreError as error:
            # Without a journal nobody could promise that this fires only once.
            self._counters.add("store_errors")
            log.warning("command %s refused: the journal does not work (%s)", command.command_id, error)
            self._uplink.send_now(topic, self._answer(command, Outcome.REFUSED, Reason.BUSY))
            return None

    def _decide(self, command: Command, inbound: Inbound, topic: str, active: Mapping[UUID, Attempt]) -> Attempt | None:
        cart_id = inbound.topic.id
        decision = self._session.receive(
            command,
            retained=inbound.retained,
            target_id=cart_id,
            topic=topic,
            numbered=True,
            misplaced=_LEAF_OF.get(command.type) != inbound.topic.leaf,
            occupied=any(attempt.cart_id == cart_id for attempt in active.values()),
        )
        if isinstance(decision, Accepted):
            self._uplink.send_now(topic, self._answer(command, Outcome.ACKED))
            return Attempt(command, cart_id, topic, decision.seq, inbound.received_at)
        if isinstance(decision, Repeated):
            self._repeat(command, topic, decision, active.get(command.command_id))
        else:
            self._refuse(command, topic, decision.reason)
        return None

    def _repeat(self, command: Command, topic: str, decision: Repeated, attempt: Attempt | None) -> None:
        self._counters.add("commands_duplicate")
        if decision.entry.payload is not None:
            self._outbox.put_answer(decision.entry.topic, decision.entry.payload)
            self._uplink.flush()
        elif attempt is not None:
            # Its answer is still being found out; it will then be said once for each asking.
            attempt.copies = min(attempt.copies + 1, MAX_COPIES)
            self._uplink.send_now(topic, self._answer(command, Outcome.ACKED))

    def _refuse(self, command: Command, topic: str, reason: Reason) -> None:
        self._counters.add(f"commands_refused_{reason}")
        log.warning("command %s (%s) refused: %s", command.command_id, command.type, reason)
        answer = self._answer(command, Outcome.REFUSED, reason)
        if reason is Reason.RETAINED:
            # Not remembered: the journal was not asked, so it may hold this command's true answer.
            self._outbox.put_answer(topic, answer)
        else:
            self._journal.finish(command.command_id, outcome=Outcome.REFUSED, topic=topic, payload=answer)
        self._uplink.flush()

    def clear_to_fire(self, attempt: Attempt) -> bool:
        """The last check before the bytes; when False the command has been answered."""
        try:
            reason = self._session.clear_to_fire(attempt.command)
        except StoreError:
            reason = Reason.BUSY
        if reason is None:
            return True
        self.settle(attempt, Outcome.REFUSED, reason)
        return False

    def settle(self, attempt: Attempt, outcome: Outcome, reason: Reason | None = None) -> None:
        """Journal and send the answer; `attempt.last` is the observation that goes with it."""
        now = self._clock.monotonic()
        timing = {}
        if attempt.fired_at:
            timing["received_to_wire"] = (attempt.fired_at - attempt.received_at) * 1000
            timing["wire_to_evidence"] = (now - attempt.fired_at) * 1000
        # What never went out observed nothing: its number is left unused.
        seq = attempt.seq if attempt.fired_at else None
        state = attempt.last or UNREADABLE
        answer = self._answer(attempt.command, outcome, reason, state=state, seq=seq, timing=timing)
        command_id = attempt.command.command_id
        try:
            self._journal.finish(
                command_id, outcome=outcome, topic=attempt.topic, payload=answer, copies=attempt.copies
            )
        except StoreError as error:
            # Known now, perhaps `unknown` after a restart: said at once, because it can't be kept.
            self._counters.add("store_errors")
            log.warning("answer of %s could not be stored (%s)", command_id, error)
            self._uplink.send_now(attempt.topic, answer)
        self._uplink.flush()
        self._counters.add(f"commands_{outcome}")
        log.info("command %s %s: %s %s", command_id, attempt.command.type, outcome, reason or "")

    def _answer(
        self,
        command: Command,
        outcome: Outcome,
        reason: Reason | None = None,
        *,
        state: CartState = UNREADABLE,
        seq: int | None = None,
        timing: Mapping[str, float] | None = None,
    ) -> bytes:
        return encode(
            Result(
                message_id=uuid4(),
                sent_at=self._stamp(),
                command_id=command.command_id,
                outcome=outcome,
                reason=reason,
                lock=state.lock,
                present=state.present,
                seq=seq,
                timing_ms={name: round(value, 3) for name, value in (timing or {}).items()},
            )
        )

    def tell_states(self, states: Mapping[UUID, CartState], *, changed: bool) -> None:
        """Report carts unasked: a change that was seen (also kept as telemetry), or all of them on a new connection."""
        try:
            self._outbox.put_states(
                [
                    State(cart_id, self._topics.cart(cart_id, "status"), self._state_message(state))
                    for cart_id, state in states.items()
                ]
            )
        except StoreError as error:
            self._counters.add("store_errors")
            log.debug("states not told: %s", error)
        self._uplink.flush()
        if changed:
            for cart_id, state in states.items():
                data = {"cart_id": str(cart_id), "lock": str(state.lock), "present": state.present}
                self._uplink.record("cart_sensor", data)

    def _state_message(self, state: CartState) -> Callable[[int], bytes]:
        def build(seq: int) -> bytes:
            return encode(
                Result(
                    message_id=uuid4(),
                    sent_at=self._stamp(),
                    command_id=None,
                    lock=state.lock,
                    present=state.present,
                    seq=seq,
                )
            )

        return build

    def note(self, event_type: str, data: Mapping[str, object]) -> None:
        """A telemetry event."""
        self._uplink.record(event_type, data)


def tell_unfinished(journal: Journal, stamp: Callable[[], datetime]) -> int:
    """At start: what was accepted and never answered is `unknown`, and never fires again. Raises StoreError."""
    unfinished = journal.unfinished()
    for entry in unfinished:
        answer = Result(
            message_id=uuid4(),
            sent_at=stamp(),
            command_id=entry.command_id,
            outcome=Outcome.UNKNOWN,
            seq=entry.seq,
        )
        journal.finish(entry.command_id, outcome=Outcome.UNKNOWN, topic=entry.topic, payload=encode(answer))
        log.warning("command %s was cut off: reported as unknown", entry.command_id)
    return len(unfinished)
