"""The SQLite store: order, bounds, and what happens when the disk does not play along."""

import sqlite3
import stat
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from pi_client.adapters.sqlite_store import JOURNAL_KEPT_S, SqliteStore
from pi_client.contract import Outcome
from pi_client.ports import ANSWERS, TELEMETRY, State, StoreError

from .rig import RecordingConnection, Rig, rig

CART = UUID(int=1)
TOPIC = "cartwise/demo/BRANCH-001/devices/x/telemetry"


def _number(seq: int) -> bytes:
    return str(seq).encode()


def test_store_file_is_private(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "journal.sqlite3")

    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}
    store.close()


def test_state_numbers_rise_by_one_per_cart_and_survive_restarts(tmp_path: Path) -> None:
    numbers = []
    for _ in range(3):
        store = SqliteStore(tmp_path / "journal.sqlite3", wall=lambda: 5.0)
        store.put_states([State(CART, "t", _number), State(uuid4(), "t", _number)])
        numbers.append(store.accept(uuid4(), target_id=CART, topic="t", numbered=True))
        store.close()

    assert numbers == [5001, 5003, 5005]


def test_journal_made_anew_numbers_above_the_lost_one(tmp_path: Path) -> None:
    now = [1_800_000_000.0]

    last, following = _numbers_around_a_loss(tmp_path, now)

    assert last == 1_800_000_000_499
    assert following > last


def test_seeded_bug_of_a_journal_made_anew_that_counts_from_one_numbers_below_the_lost_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1_800_000_000.0]
    next_seq = SqliteStore._next_seq

    def count_from_one(store: SqliteStore, connection: sqlite3.Connection, cart_id: UUID) -> int:
        connection.execute("INSERT OR IGNORE INTO sequence VALUES (?, 0)", (str(cart_id),))
        return next_seq(store, connection, cart_id)

    monkeypatch.setattr(SqliteStore, "_next_seq", count_from_one)

    last, following = _numbers_around_a_loss(tmp_path, now)

    assert (last, following) == (500, 1)


def _numbers_around_a_loss(tmp_path: Path, now: list[float]) -> tuple[int, int]:
    """The last of five hundred numbers of a journal, and the first of the one that replaces it a second later."""
    path = tmp_path / "journal.sqlite3"
    store = SqliteStore(path, wall=lambda: now[0])
    for _ in range(500):
        store.put_states([State(CART, "t", _number)])
    last = int(store.pending(ANSWERS, after=0, limit=500)[-1].payload)
    store.close()
    path.write_bytes(b"no database any more" * 40)
    now[0] += 1.0

    again = SqliteStore(path, wall=lambda: now[0])
    following = again.accept(uuid4(), target_id=CART, topic="t", numbered=True)
    again.close()

    assert again.recreated == 1
    assert following is not None
    return last, following


def test_outbox_survives_restarts_in_order_until_acknowledged(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "journal.sqlite3")
    for number in range(5):
        store.put_answer("t", str(number).encode())
    store.close()

    again = SqliteStore(tmp_path / "journal.sqlite3")
    parcels = again.pending(ANSWERS, after=0, limit=10)
    again.remove([parcels[0].id])

    assert [parcel.payload for parcel in parcels] == [b"0", b"1", b"2", b"3", b"4"]
    assert [parcel.payload for parcel in again.pending(ANSWERS, after=0, limit=2)] == [b"1", b"2"]
    again.close()


def test_telemetry_drops_the_oldest_first_and_counts(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "journal.sqlite3", max_events=3)
    for number in range(5):
        store.put_event(str(number).encode())

    def build(bodies: Sequence[bytes]) -> bytes:
        return b",".join(bodies)

    assert store.batch_events(500, 10_000, "t", build) == 3
    assert [parcel.payload for parcel in store.pending(TELEMETRY, after=0, limit=9)] == [b"2,3,4"]
    assert store.dropped == 2
    store.close()


def test_states_drop_the_oldest_first_but_answers_never(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "journal.sqlite3", max_states=10, wall=lambda: 0.0)
    store.put_answer("t", b"answer")
    for _ in range(100):
        store.put_states([State(CART, "t", _number)] * 10)

    kept = [parcel.payload for parcel in store.pending(ANSWERS, after=0, limit=1000)]
    assert kept[0] == b"answer"
    assert len(kept) <= 21
    assert kept[-1] == b"1000"
    store.close()


def test_prune_forgets_old_answers_only(tmp_path: Path) -> None:
    now = [1_000_000.0]
    store = SqliteStore(tmp_path / "journal.sqlite3", wall=lambda: now[0])
    old, open_one, young = uuid4(), uuid4(), uuid4()
    store.finish(old, outcome=Outcome.DONE, topic="t", payload=b"")
    store.accept(open_one, target_id=CART, topic="t", numbered=True)
    now[0] += JOURNAL_KEPT_S + 1
    store.finish(young, outcome=Outcome.DONE, topic="t", payload=b"")

    store.prune()
    store.prune()

    assert store.find(old) is None
    assert [entry.command_id for entry in store.unfinished()] == [open_one]
    assert store.find(young) is not None
    store.close()


def test_clock_set_days_ahead_does_not_make_the_journal_forget_what_it_has_just_done(tmp_path: Path) -> None:
    now = [1_000_000.0]
    store = SqliteStore(tmp_path / "journal.sqlite3", wall=lambda: now[0])
    done, cancelled = uuid4(), uuid4()
    store.finish(done, outcome=Outcome.DONE, topic="t", payload=b"")
    store.cancel(cancelled)
    now[0] += 5 * JOURNAL_KEPT_S

    store.prune()

    assert store.find(done) is not None
    assert store.is_cancelled(cancelled)
    store.close()


def test_clock_set_days_back_between_two_calls_does_not_make_the_journal_forget_either(tmp_path: Path) -> None:
    now = [1_000_000.0]
    path = tmp_path / "journal.sqlite3"
    store = SqliteStore(path, wall=lambda: now[0])
    done, cancelled = uuid4(), uuid4()
    store.prune()
    now[0] -= 5 * JOURNAL_KEPT_S
    store.finish(done, outcome=Outcome.DONE, topic="t", payload=b"")
    store.cancel(cancelled)

    store.prune()
    now[0] += 5 * JOURNAL_KEPT_S
    store.reopen()

    assert store.find(done) is not None
    assert store.is_cancelled(cancelled)
    store.close()


@pytest.mark.parametrize(
    "damage", [b"not a database, but long enough to have a header" * 40, b"SQLite format 3\0" * 300]
)
def test_corrupt_file_is_set_aside_and_recreated(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "journal.sqlite3"
    path.write_bytes(damage)

    store = SqliteStore(path)
    store.put_answer("t", b"works")

    assert store.recreated == 1
    assert len(list(tmp_path.glob("*.corrupt-*"))) == 1
    assert store.healthy
    store.close()


def test_unopenable_store_turns_unlocks_away_and_the_bus_lives(tmp_path: Path) -> None:
    (tmp_path / "journal.sqlite3").mkdir()
    with rig(tmp_path) as device:
        _assert_refused(device)


def test_read_only_disk_turns_unlocks_away_until_it_is_writable(tmp_path: Path) -> None:
    with rig(tmp_path) as device:
        connection = device.store._connection
        assert connection is not None
        connection.execute("PRAGMA query_only=ON")
        _assert_refused(device)
        connection.execute("PRAGMA query_only=OFF")

        unlock = device.command()
        device.deliver(unlock)
        assert device.run_to_answer(unlock)[-1] == ("done", None)
        assert device.boards[0].pulses == [0]


def test_full_disk_loses_telemetry_first_and_never_fires_without_a_journal(tmp_path: Path) -> None:
    with rig(tmp_path) as device:
        connection = device.store._connection
        assert connection is not None
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count={pages + 4}")
        for number in range(500):
            device.uplink.record("cart_sensor", {"n": number})

        for _ in range(40):
            unlock = device.command()
            device.deliver(unlock)
            fired = len(device.boards[0].pulses)
            done = device.run_to_answer(unlock)[-1] == ("done", None)
            assert len(device.boards[0].pulses) - fired == done
            assert not done or device.store.find(unlock.command_id) is not None

        assert device.counters["events_lost"] > 0
        assert device.counters["store_errors"] > 0


def _assert_refused(device: Rig) -> None:
    unlock = device.command()
    device.deliver(unlock)
    assert device.run_to_answer(unlock) == [("refused", "busy")]
    assert device.boards[0].pulses == []


def test_answer_that_cannot_be_stored_is_said_at_once(tmp_path: Path) -> None:
    with rig(tmp_path) as device:
        connection = device.store._connection
        assert connection is not None
        clear = device.session.clear_to_fire

        def clear_and_fill(*arguments: object) -> object:
            connection.execute("PRAGMA query_only=ON")
            return clear(*arguments)  # type: ignore[arg-type]

        device.session.clear_to_fire = clear_and_fill  # type: ignore[assignment,method-assign]
        unlock = device.command()
        device.deliver(unlock)

        assert device.run_to_answer(unlock)[-1] == ("done", None)


def test_store_error_leaves_no_transaction_open(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "journal.sqlite3")
    command = uuid4()
    first = store.accept(command, target_id=CART, topic="t", numbered=True)

    with pytest.raises(StoreError):
        store.accept(command, target_id=CART, topic="t", numbered=True)

    assert first is not None
    assert store.accept(uuid4(), target_id=CART, topic="t", numbered=True) == first + 1
    store.close()


def test_uplink_resends_in_order_after_a_reconnect_and_forgets_on_puback(tmp_path: Path) -> None:
    with rig(tmp_path) as device:
        device.auto_acknowledge = False
        for number in range(30):
            device.store.put_answer("a/b", str(number).encode())
        device.uplink.flush()
        assert len(device.connection.published) == 20
        device.uplink.acknowledged([1, 2, 3])

        again = RecordingConnection()
        device.uplink.detach()
        device.uplink.attach(again)

        assert [payload for _, payload in again.published] == [str(number).encode() for number in range(3, 23)]


def test_ten_thousand_offline_events_over_twenty_power_cuts_arrive_once_in_order(tmp_path: Path) -> None:
    for part in range(20):
        device = Rig(tmp_path)
        device.uplink.detach()
        for number in range(500):
            device.uplink.record("cart_sensor", {"n": part * 500 + number})
        # No close: the process just ends, which for SQLite is what a kill is.
        connection = device.store._connection
        assert connection is not None
        sqlite3.Connection.close(connection)

    with rig(tmp_path) as device:
        for _ in range(60):
            device.uplink.batch(TOPIC)
            device.acknowledge()

        assert [event["event_data"]["n"] for event in device.connection.events()] == list(range(10_000))
        assert len({event["event_id"] for event in device.connection.events()}) == 10_000
        assert device.store.depth() == 0
