"""Power cuts at every point of an unlock: at most one firing, and `unknown` where nobody can know."""

from collections.abc import Callable
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from pi_client.adapters.simulated import SimulatedBoard, SimulatedLine
from pi_client.adapters.sqlite_store import SqliteStore
from pi_client.adapters.system_clock import SystemClock
from pi_client.contract import Command, Outcome
from pi_client.ports import SerialLine

from .lines import CutLine, PowerCut
from .rig import Rig


class CutBeforeJournal(SqliteStore):
    def accept(self, command_id: UUID, *, target_id: UUID, topic: str, numbered: bool) -> int | None:
        raise PowerCut


class CutAfterJournal(SqliteStore):
    def accept(self, command_id: UUID, *, target_id: UUID, topic: str, numbered: bool) -> int | None:
        super().accept(command_id, target_id=target_id, topic=topic, numbered=numbered)
        raise PowerCut


class CutBeforeAnswer(SqliteStore):
    def finish(self, command_id: UUID, *, outcome: Outcome, topic: str, payload: bytes, copies: int = 1) -> None:
        raise PowerCut


class CutAfterAnswer(SqliteStore):
    def finish(self, command_id: UUID, *, outcome: Outcome, topic: str, payload: bytes, copies: int = 1) -> None:
        super().finish(command_id, outcome=outcome, topic=topic, payload=payload, copies=copies)
        raise PowerCut


class JournalAfterFiring(SqliteStore):
    """The seeded bug: the command is written down only with its answer."""

    def accept(self, command_id: UUID, *, target_id: UUID, topic: str, numbered: bool) -> int | None:
        return 1


class NoJournal(JournalAfterFiring):
    """Another: nothing is ever found again."""

    def find(self, command_id: UUID) -> None:
        return None


CONNECTION = UUID(int=7)


def _cut_line(board: SimulatedBoard, *, before: bool) -> Callable[[], SerialLine]:
    return lambda: CutLine(SimulatedLine([board], SystemClock()), before=before)


def _run(
    tmp_path: Path,
    board: SimulatedBoard,
    make_store: Callable[[Path], SqliteStore],
    line: Callable[[], SerialLine] | None = None,
) -> tuple[Command, Rig]:
    """Cut off during one unlock, start again on the same disk, and have the same message delivered again."""
    first = Rig(tmp_path, boards=[board], make_store=make_store, line=line, connection_id=CONNECTION)
    command = first.command()
    first.deliver(command)
    with pytest.raises(PowerCut):
        first.run_to_answer(command)
    first.store.close()
    # The same connection id, which the daemon itself never uses twice: only the journal stands in the way here.
    after = SqliteStore if not issubclass(make_store, JournalAfterFiring) else make_store
    second = Rig(tmp_path, boards=[board], make_store=after, connection_id=CONNECTION)
    second.deliver(command)
    second.run_to_answer(command)
    second.run_until(lambda: second.bus._queue.empty() and not second.bus._active)
    return command, second


@pytest.mark.parametrize(
    ("make_store", "cut", "answer", "pulses"),
    [
        (CutBeforeJournal, None, ("done", None), 1),
        (CutAfterJournal, None, ("unknown", None), 0),
        (SqliteStore, "before", ("unknown", None), 0),
        (SqliteStore, "after", ("unknown", None), 1),
        (CutBeforeAnswer, None, ("unknown", None), 1),
        (CutAfterAnswer, None, ("done", None), 1),
    ],
)
def test_unlock_cut_off_fires_at_most_once(
    tmp_path: Path, make_store: type[SqliteStore], cut: str | None, answer: tuple[str, None], pulses: int
) -> None:
    board = SimulatedBoard()
    line = _cut_line(board, before=cut == "before") if cut else None

    command, device = _run(tmp_path, board, make_store, line)

    try:
        assert set(device.connection.answers(command.command_id)) - {("acked", None)} == {answer}
        assert len(board.pulses) == pulses
    finally:
        device.close()


def test_seeded_bug_of_journalling_after_firing_fires_twice(tmp_path: Path) -> None:
    board = SimulatedBoard()

    _, device = _run(tmp_path, board, JournalAfterFiring, _cut_line(board, before=False))

    device.close()
    assert len(board.pulses) == 2


def test_seeded_bug_of_forgetting_commands_fires_duplicates(tmp_path: Path) -> None:
    device = Rig(tmp_path, make_store=NoJournal)
    command = device.command()
    for _ in range(2):
        device.deliver(command)
        device.run_until(lambda: device.bus._queue.empty() and not device.bus._active)

    device.close()
    assert device.boards[0].pulses == [0, 0]


def test_unknown_is_told_once_and_numbered_before_later_states(tmp_path: Path) -> None:
    board = SimulatedBoard()
    command, device = _run(tmp_path, board, CutBeforeAnswer)
    device.close()

    third = Rig(tmp_path, boards=[board], connection_id=uuid4())
    third.run_until(lambda: len(third.connection.states()) == 3)
    third.close()

    assert device.recovered == 1
    assert third.recovered == 0
    (unknown, *_) = device.connection.results(command.command_id)
    later = [state.seq for state in third.connection.states() if state.seq is not None]
    assert unknown.seq is not None
    assert unknown.seq < max(later)
