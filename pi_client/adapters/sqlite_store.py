"""Journal and outbox in one SQLite file (WAL), so that an answer and its place in the outbox are one commit.

What is flushed to the disk (`synchronous=FULL`) and what only survives the process (`NORMAL`):

- FULL: accepting a command, before it fires, together with the number (`seq`) its answer will carry; and a cart's state
  change, with its `seq`. Whatever was fired, or numbered and sent, is known after a power cut.
- NORMAL: the answer, refusals, cancels, PUBACKs, telemetry. A power cut right after may lose them: the command is then
  reported `unknown`, never fired again, and a message is at worst sent twice with the same id. That saves an fsync
  (5 to 50 ms on an SD card) between the latch and the customer's page.
"""

import contextlib
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from uuid import UUID

from ..contract import Outcome
from ..ports import ANSWERS, TELEMETRY, Entry, Parcel, State, StoreError

log = logging.getLogger(__name__)

JOURNAL_KEPT_S = 48 * 3600.0
MAX_EVENTS_KEPT = 50_000
MAX_STATES_KEPT = 50_000

_SCHEMA = """
CREATE TABLE IF NOT EXISTS journal (command_id TEXT PRIMARY KEY, target_id TEXT NOT NULL, topic TEXT NOT NULL,
    seq INTEGER, accepted_at REAL NOT NULL, outcome TEXT, payload BLOB) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS journal_unfinished ON journal (accepted_at) WHERE outcome IS NULL;
CREATE TABLE IF NOT EXISTS cancelled (command_id TEXT PRIMARY KEY, cancelled_at REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sequence (cart_id TEXT PRIMARY KEY, seq INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS outbox (id INTEGER PRIMARY KEY AUTOINCREMENT, lane INTEGER NOT NULL,
    droppable INTEGER NOT NULL, topic TEXT NOT NULL, payload BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS outbox_lane ON outbox (lane, id);
CREATE TABLE IF NOT EXISTS event (id INTEGER PRIMARY KEY AUTOINCREMENT, body BLOB NOT NULL);
"""
_FORGETTABLE = {
    "journal": "outcome IS NOT NULL AND accepted_at < ?",
    "cancelled": "cancelled_at < ?",
}


class SqliteStore:
    """Implements ports.Journal and ports.Outbox; thread-safe, one writer at a time.

    A file that cannot be opened does not stop the daemon: every method raises StoreError until `reopen` succeeds.
    """

    def __init__(
        self,
        path: Path,
        *,
        wall: Callable[[], float] = time.time,
        max_events: int = MAX_EVENTS_KEPT,
        max_states: int = MAX_STATES_KEPT,
    ) -> None:
        self._path = path
        self._wall = wall
        self._max_events = max_events
        self._max_states = max_states
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._broken = False
        self._durable = False
        self._too_old: dict[str, list[tuple[str]]] = {table: [] for table in _FORGETTABLE}
        self.dropped = 0
        self.recreated = 0
        self.reopen()

    @property
    def healthy(self) -> bool:
        return self._connection is not None and not self._broken

    def reopen(self) -> bool:
        """Open the file, or set a corrupt one aside and make a new one. False (and logged) when neither works."""
        with self._lock:
            self.close()
            try:
                self._connection = self._open()
            except sqlite3.OperationalError as error:
                log.warning("store %s cannot be opened: %s; nothing will be unlocked until it can", self._path, error)
            except sqlite3.DatabaseError as error:
                self._set_aside(error)
            self._broken = self._connection is None
            return not self._broken

    def close(self) -> None:
        with self._lock:
            if self._connection is not None:
                with contextlib.suppress(sqlite3.Error):
                    self._connection.close()
            self._connection = None

    def _open(self) -> sqlite3.Connection:
        # Made here so that it is private from its first byte; sqlite gives -wal and -shm the same mode.
        with contextlib.suppress(OSError):
            self._path.touch(mode=0o600)
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=2)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            if connection.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
                raise sqlite3.DatabaseError("quick_check failed")
            connection.executescript(_SCHEMA)
            # A write, so that a read-only file is found now and not at the first unlock.
            connection.execute("PRAGMA user_version=1")
        except sqlite3.Error:
            connection.close()
            raise
        self._durable = True
        return connection

    def _set_aside(self, why: Exception) -> None:
        aside = self._path.with_name(f"{self._path.name}.corrupt-{int(self._wall())}")
        log.warning("store %s is corrupt (%s): set aside as %s, starting empty", self._path, why, aside.name)
        try:
            self._path.replace(aside)
            for suffix in ("-wal", "-shm"):
                self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
            self._connection = self._open()
            self.recreated += 1
        except (OSError, sqlite3.Error) as error:
            log.error("store %s cannot be recreated: %s", self._path, error)

    @contextlib.contextmanager
    def _transaction(self, *, durable: bool) -> Iterator[sqlite3.Connection]:
        with self._lock:
            connection = self._connection
            if connection is None:
                raise StoreError("the store is not open")
            try:
                if durable != self._durable:
                    connection.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
                    self._durable = durable
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
            except sqlite3.Error as error:
                self._roll_back(connection)
                self._broken = True
                raise StoreError(str(error)) from error
            except BaseException:
                self._roll_back(connection)
                raise

    @staticmethod
    def _roll_back(connection: sqlite3.Connection) -> None:
        with contextlib.suppress(sqlite3.Error):
            if connection.in_transaction:
                connection.execute("ROLLBACK")

    def _query(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[object, ...]]:
        with self._lock:
            if self._connection is None:
                raise StoreError("the store is not open")
            try:
                return self._connection.execute(sql, parameters).fetchall()
            except sqlite3.Error as error:
                self._broken = True
                raise StoreError(str(error)) from error

    # Journal

    def find(self, command_id: UUID) -> Entry | None:
        rows = self._query(f"{_ENTRY} WHERE command_id = ?", (str(command_id),))
        return _entry(rows[0]) if rows else None

    def unfinished(self) -> list[Entry]:
        return [_entry(row) for row in self._query(f"{_ENTRY} WHERE outcome IS NULL ORDER BY accepted_at")]

    def accept(self, command_id: UUID, *, target_id: UUID, topic: str, numbered: bool) -> int | None:
        with self._transaction(durable=True) as connection:
            seq = self._next_seq(connection, target_id) if numbered else None
            connection.execute(
                "INSERT INTO journal (command_id, target_id, topic, seq, accepted_at) VALUES (?, ?, ?, ?, ?)",
                (str(command_id), str(target_id), topic, seq, self._wall()),
            )
        return seq

    def finish(self, command_id: UUID, *, outcome: Outcome, topic: str, payload: bytes, copies: int = 1) -> None:
        with self._transaction(durable=False) as connection:
            connection.execute(
                "INSERT INTO journal (command_id, target_id, topic, accepted_at, outcome, payload)"
                " VALUES (?1, ?1, ?2, ?3, ?4, ?5)"
                " ON CONFLICT (command_id) DO UPDATE SET outcome = excluded.outcome, payload = excluded.payload",
                (str(command_id), topic, self._wall(), str(outcome), payload),
            )
            for _ in range(copies):
                _insert(connection, ANSWERS, False, topic, payload)

    def cancel(self, command_id: UUID) -> None:
        with self._transaction(durable=False) as connection:
            connection.execute("INSERT OR IGNORE INTO cancelled VALUES (?, ?)", (str(command_id), self._wall()))

    def is_cancelled(self, command_id: UUID) -> bool:
        return bool(self._query("SELECT 1 FROM cancelled WHERE command_id = ?", (str(command_id),)))

    def prune(self) -> None:
        """Forget commands that were answered and looked 48 hours old at the call before this one. Call it hourly.

        Whichever way the clock was set meanwhile, they are an hour old then, and their expiry guards them.
        """
        limit = self._wall() - JOURNAL_KEPT_S
        with self._transaction(durable=False) as connection:
            for table, looks_old in _FORGETTABLE.items():
                connection.executemany(f"DELETE FROM {table} WHERE command_id = ?", self._too_old[table])  # noqa: S608
                rows = connection.execute(f"SELECT command_id FROM {table} WHERE {looks_old}", (limit,))  # noqa: S608
                self._too_old[table] = rows.fetchall()

    def _next_seq(self, connection: sqlite3.Connection, cart_id: UUID) -> int:
        """One more than the cart's last number in this file; its first is the system's date in milliseconds.

        So a file made anew goes on above the lost one, which can't have used a number each millisecond. Only a date
        before the lost file's first defeats it: the cloud then ignores the cart's reports until the device is enrolled
        again.
        """
        first = max(1, int(self._wall() * 1000))
        ((seq,),) = connection.execute(
            "INSERT INTO sequence VALUES (?, ?) ON CONFLICT (cart_id) DO UPDATE SET seq = seq + 1 RETURNING seq",
            (str(cart_id), first),
        ).fetchall()
        return int(seq)

    # Outbox

    def put_answer(self, topic: str, payload: bytes) -> None:
        with self._transaction(durable=False) as connection:
            _insert(connection, ANSWERS, False, topic, payload)

    def put_states(self, states: Sequence[State]) -> None:
        with self._transaction(durable=True) as connection:
            for state in states:
                payload = state.build(self._next_seq(connection, state.cart_id))
                row = _insert(connection, ANSWERS, True, state.topic, payload)
                # Counted only now and then: a count reads the whole index.
                if row % 1000 == 0:
                    self._drop_states(connection)

    def _drop_states(self, connection: sqlite3.Connection) -> None:
        (kept,) = connection.execute("SELECT count(*) FROM outbox WHERE droppable").fetchone()
        if kept > self._max_states:
            self.dropped += connection.execute(
                "DELETE FROM outbox WHERE id IN (SELECT id FROM outbox WHERE droppable ORDER BY id LIMIT ?)",
                (kept - self._max_states,),
            ).rowcount

    def put_event(self, event: bytes) -> None:
        with self._transaction(durable=False) as connection:
            row = connection.execute("INSERT INTO event (body) VALUES (?)", (event,)).lastrowid or 0
            self.dropped += connection.execute("DELETE FROM event WHERE id <= ?", (row - self._max_events,)).rowcount

    def batch_events(self, limit: int, max_bytes: int, topic: str, build: Callable[[Sequence[bytes]], bytes]) -> int:
        with self._transaction(durable=False) as connection:
            bodies: list[bytes] = []
            size, last = 0, 0
            for row, body in connection.execute("SELECT id, body FROM event ORDER BY id LIMIT ?", (limit,)):
                size += len(body)
                if bodies and size > max_bytes:
                    break
                bodies.append(body)
                last = row
            if bodies:
                _insert(connection, TELEMETRY, False, topic, build(bodies))
                connection.execute("DELETE FROM event WHERE id <= ?", (last,))
        return len(bodies)

    def pending(self, lane: int, *, after: int, limit: int) -> list[Parcel]:
        rows = self._query(
            "SELECT id, topic, payload FROM outbox WHERE lane = ? AND id > ? ORDER BY id LIMIT ?", (lane, after, limit)
        )
        return [Parcel(*row) for row in rows]  # type: ignore[arg-type]  # columns are typed by the schema

    def remove(self, ids: Iterable[int]) -> None:
        with self._transaction(durable=False) as connection:
            connection.executemany("DELETE FROM outbox WHERE id = ?", [(row,) for row in ids])

    def depth(self) -> int:
        ((count,),) = self._query("SELECT (SELECT count(*) FROM outbox) + (SELECT count(*) FROM event)")
        return int(str(count))


_ENTRY = "SELECT command_id, target_id, topic, seq, outcome, payload FROM journal"


def _entry(row: tuple[object, ...]) -> Entry:
    command_id, target_id, topic, seq, outcome, payload = row
    return Entry(
        command_id=UUID(str(command_id)),
        target_id=UUID(str(target_id)),
        topic=str(topic),
        seq=seq if isinstance(seq, int) else None,
        outcome=None if outcome is None else Outcome(str(outcome)),
        payload=payload if isinstance(payload, bytes) else None,
    )


def _insert(connection: sqlite3.Connection, lane: int, droppable: bool, topic: str, payload: bytes) -> int:
    row = connection.execute(
        "INSERT INTO outbox (lane, droppable, topic, payload) VALUES (?, ?, ?, ?)", (lane, droppable, topic, payload)
    )
    return row.lastrowid or 0
