"""Commands to the device itself: cancel, identify, restart, apply_config. Doors and firmware are refused for now."""

import json
import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID, uuid4

from .contract import VERSION, Command, CommandType, ContractError, Outcome, Reason, Result, decode, encode
from .counters import Counters
from .ports import Journal, Outbox, StoreError
from .session import Accepted, Repeated, Session
from .uplink import Uplink

log = logging.getLogger(__name__)

# What may still make sense when it comes late, by heartbeat.
LATE = frozenset({CommandType.APPLY_CONFIG, CommandType.RESTART, CommandType.INSTALL_FIRMWARE})
SUPPORTED = frozenset({CommandType.CANCEL, CommandType.IDENTIFY, CommandType.RESTART, CommandType.APPLY_CONFIG})


class Host(Protocol):
    """What the daemon can do about itself."""

    def restart(self) -> None: ...
    def refresh_config(self, done: Callable[[bool], None]) -> None:
        """Fetch and apply the configuration on another thread, then call `done` with whether it worked."""
        ...


class DeviceDesk:
    """Used by the main loop only, but for the answer to `apply_config`."""

    def __init__(
        self,
        session: Session,
        journal: Journal,
        outbox: Outbox,
        uplink: Uplink,
        host: Host,
        *,
        stamp: Callable[[], datetime],
        counters: Counters,
    ) -> None:
        self._session = session
        self._journal = journal
        self._outbox = outbox
        self._uplink = uplink
        self._host = host
        self._stamp = stamp
        self._counters = counters

    def handle(
        self, device_id: UUID, topic: str, payload: bytes, *, retained: bool = False, late: bool = False
    ) -> None:
        """Decide and carry out one message; `topic` is the device's status topic."""
        try:
            command = decode(Command, payload)
        except ContractError as error:
            self._counters.add("mqtt_malformed")
            log.debug("dropped a device command: %s", error)
            return
        try:
            decision = self._session.receive(
                command,
                retained=retained,
                target_id=device_id,
                topic=topic,
                numbered=False,
                misplaced=command.type not in SUPPORTED or (late and command.type not in LATE),
                late=late,
            )
            if isinstance(decision, Accepted):
                self._carry_out(command, topic, late)
            elif isinstance(decision, Repeated):
                self._repeat(command, decision)
            else:
                self._refuse(command, topic, decision.reason)
        except StoreError as error:
            self._counters.add("store_errors")
            log.warning("command %s refused: the journal does not work (%s)", command.command_id, error)
            self._uplink.send_now(topic, self._answer(command, Outcome.REFUSED, Reason.BUSY))

    def handle_late(self, device_id: UUID, topic: str, commands: Any) -> None:
        """The `commands` of a heartbeat's answer: commands without the envelope that only makes sense on MQTT."""
        for value in commands if isinstance(commands, list) else []:
            if isinstance(value, Mapping):
                envelope = {
                    "v": VERSION,
                    "message_id": value.get("command_id"),
                    "sent_at": value.get("issued_at"),
                    "connection_id": str(UUID(int=0)),
                }
                self.handle(device_id, topic, json.dumps(envelope | dict(value)).encode(), late=True)

    def _repeat(self, command: Command, decision: Repeated) -> None:
        self._counters.add("commands_duplicate")
        if decision.entry.payload is not None:
            self._outbox.put_answer(decision.entry.topic, decision.entry.payload)
            self._uplink.flush()
        else:
            self._uplink.send_now(decision.entry.topic, self._answer(command, Outcome.ACKED))

    def _refuse(self, command: Command, topic: str, reason: Reason) -> None:
        log.warning("command %s (%s) refused: %s", command.command_id, command.type, reason)
        self._counters.add(f"commands_refused_{reason}")
        answer = self._answer(command, Outcome.REFUSED, reason)
        if reason is Reason.RETAINED:
            self._outbox.put_answer(topic, answer)
        else:
            self._journal.finish(command.command_id, outcome=Outcome.REFUSED, topic=topic, payload=answer)
        self._uplink.flush()

    def _carry_out(self, command: Command, topic: str, late: bool) -> None:
        self._uplink.send_now(topic, self._answer(command, Outcome.ACKED))
        reason = self._session.clear_to_fire(command, late=late)
        if reason is not None:
            self._settle(command, topic, Outcome.REFUSED, reason)
        elif command.type is CommandType.CANCEL:
            self._cancel(command, topic)
        elif command.type is CommandType.IDENTIFY:
            log.warning("identify: this is the device that was asked for")
            self._uplink.record("identify", {"command_id": str(command.command_id)})
            self._settle(command, topic, Outcome.DONE)
        elif command.type is CommandType.RESTART:
            # Answered first: the next start must find it answered, or it would be called unknown.
            self._settle(command, topic, Outcome.DONE)
            self._host.restart()
        else:
            self._host.refresh_config(
                lambda worked: self._settle(
                    command, topic, Outcome.DONE if worked else Outcome.FAILED, None if worked else Reason.NO_REPLY
                )
            )

    def _cancel(self, command: Command, topic: str) -> None:
        target = command.args.get("command_id")
        try:
            stopped = isinstance(target, str) and self._session.cancel(UUID(target))
        except ValueError:
            stopped = False
        # `busy`: it has fired already, or has had its answer.
        self._settle(command, topic, Outcome.DONE if stopped else Outcome.FAILED, None if stopped else Reason.BUSY)

    def _settle(self, command: Command, topic: str, outcome: Outcome, reason: Reason | None = None) -> None:
        answer = self._answer(command, outcome, reason)
        try:
            self._journal.finish(command.command_id, outcome=outcome, topic=topic, payload=answer)
        except StoreError as error:
            self._counters.add("store_errors")
            log.warning("answer of %s could not be stored (%s)", command.command_id, error)
            self._uplink.send_now(topic, answer)
        self._uplink.flush()
        self._counters.add(f"commands_{outcome}")

    def _answer(self, command: Command, outcome: Outcome, reason: Reason | None = None) -> bytes:
        return encode(
            Result(
                message_id=uuid4(),
                sent_at=self._stamp(),
                command_id=command.command_id,
                outcome=outcome,
                reason=reason,
            )
        )
