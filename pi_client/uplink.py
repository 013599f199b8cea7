"""The way up: what is stored is published in order, in a small window, and forgotten on PUBACK."""

import json
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import uuid4

from .contract import MAX_EVENTS, ContractError, Telemetry, TelemetryEvent, encode
from .contract.fields import record_field
from .counters import Counters
from .ports import ANSWERS, TELEMETRY, BrokerConnection, Outbox, StoreError

log = logging.getLogger(__name__)

# AWS IoT Core allows 100 unacknowledged messages; answers must not wait behind telemetry.
WINDOW = {ANSWERS: 20, TELEMETRY: 4}
MAX_EVENT_BYTES = 2048
# Leaves room for the envelope and the commas below the 128 KB of a message.
BATCH_BYTES = 100_000


class Uplink:
    """Thread-safe: answers come from bus threads, PUBACKs and telemetry from the main loop."""

    def __init__(self, outbox: Outbox, stamp: Callable[[], datetime], counters: Counters) -> None:
        self._outbox = outbox
        self._stamp = stamp
        self._counters = counters
        self._lock = threading.RLock()
        self._connection: BrokerConnection | None = None
        self._sent_up_to = dict.fromkeys(WINDOW, 0)
        self._in_flight: dict[int, tuple[int, int]] = {}

    @property
    def online(self) -> bool:
        return self._connection is not None

    def attach(self, connection: BrokerConnection) -> None:
        """Everything unacknowledged goes out again, oldest first, on `connection`."""
        with self._lock:
            self._restart(connection)
        self.flush()

    def detach(self) -> None:
        with self._lock:
            self._restart(None)

    def _restart(self, connection: BrokerConnection | None) -> None:
        self._connection = connection
        self._in_flight.clear()
        self._sent_up_to = dict.fromkeys(WINDOW, 0)

    def send_now(self, topic: str, payload: bytes) -> None:
        """Publish without storing: for what means nothing later, or when storing is impossible."""
        with self._lock:
            if self._connection is not None:
                self._connection.publish(topic, payload)

    def flush(self) -> None:
        """Publish what is stored and fits into the windows. A broken store is logged; the next flush tries again."""
        with self._lock:
            try:
                for lane in WINDOW:
                    self._flush_lane(lane)
            except StoreError as error:
                self._counters.add("store_errors")
                log.debug("outbox not readable: %s", error)

    def _flush_lane(self, lane: int) -> None:
        room = WINDOW[lane] - sum(1 for sent_lane, _ in self._in_flight.values() if sent_lane == lane)
        if self._connection is None or room <= 0:
            return
        for parcel in self._outbox.pending(lane, after=self._sent_up_to[lane], limit=room):
            number = self._connection.publish(parcel.topic, parcel.payload)
            if number is None:
                return
            self._in_flight[number] = (lane, parcel.id)
            self._sent_up_to[lane] = parcel.id

    def acknowledged(self, numbers: Sequence[int]) -> None:
        """PUBACKs: the parcels behind them are forgotten and the next ones go out."""
        with self._lock:
            rows = [self._in_flight.pop(number)[1] for number in numbers if number in self._in_flight]
            if not rows:
                return
            try:
                self._outbox.remove(rows)
            except StoreError as error:
                # They go out once more after the next start; the cloud drops them by message id.
                self._counters.add("store_errors")
                log.debug("outbox not writable: %s", error)
            self.flush()

    def record(self, event_type: str, event_data: Mapping[str, Any]) -> None:
        """Keep a telemetry event; dropped and counted when it is oversized or the store is broken."""
        event = TelemetryEvent(event_id=uuid4(), event_type=event_type, timestamp=self._stamp(), event_data=event_data)
        try:
            body = json.dumps(record_field(TelemetryEvent).write(event), separators=(",", ":")).encode()
            if len(body) > MAX_EVENT_BYTES:
                raise ContractError("event too large")
            self._outbox.put_event(body)
        except (ContractError, StoreError) as error:
            self._counters.add("events_lost")
            log.debug("telemetry event %s lost: %s", event_type, error)

    def batch(self, topic: str) -> None:
        """Turn stored events into messages while there is a connection and room; the rest stays events."""
        with self._lock:
            try:
                while self._connection is not None and self._room_for_batch():
                    if self._outbox.batch_events(MAX_EVENTS, BATCH_BYTES, topic, self._build) == 0:
                        break
            except StoreError as error:
                self._counters.add("store_errors")
                log.debug("telemetry not batched: %s", error)
        self.flush()

    def _room_for_batch(self) -> bool:
        return len(self._outbox.pending(TELEMETRY, after=0, limit=WINDOW[TELEMETRY])) < WINDOW[TELEMETRY]

    def _build(self, bodies: Sequence[bytes]) -> bytes:
        events = tuple(record_field(TelemetryEvent).read(json.loads(body)) for body in bodies)
        return encode(Telemetry(message_id=uuid4(), sent_at=self._stamp(), events=events))
