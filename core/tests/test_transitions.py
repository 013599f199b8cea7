from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection, models, transaction

from core import transitions
from core.models import StateChange
from core.tests.race import race, race_each
from core.transitions import IllegalTransition, transition

TABLE = {"shut": frozenset({"open", "broken"}), "open": frozenset({"shut"})}


class Door(models.Model):
    """Something with a life cycle, in a table these tests make."""

    id = models.UUIDField(primary_key=True, default=uuid4)
    status = models.CharField(max_length=10, default="shut")
    note = models.CharField(max_length=20, default="")

    class Meta:
        app_label = "core_tests"
        managed = False

    def __str__(self) -> str:
        return self.status


@pytest.fixture
def committed_door(transactional_db: None) -> Iterator[Door]:
    """A door other threads see."""
    with connection.schema_editor() as editor:
        editor.create_model(Door)
    yield Door.objects.create()
    with connection.schema_editor() as editor:
        editor.delete_model(Door)


@pytest.fixture
def door(db: None) -> Door:
    with connection.schema_editor() as editor:
        editor.create_model(Door)
    return Door.objects.create()


def history() -> list[tuple[str, str, str, str]]:
    rows = StateChange.objects.filter(entity="core_tests.door").order_by("pk")
    return list(rows.values_list("from_state", "to_state", "reason", "actor"))


def move(door: Door, to: str, **arguments: Any) -> bool:
    with transaction.atomic():
        return transition(door, to=to, table=TABLE, **arguments)


def test_legal_step_writes_the_state_and_its_history(door: Door) -> None:
    moved = move(door, "open", reason="asked for", actor="clock", also={"note": "wide"})

    stored = Door.objects.get()
    assert moved is True
    assert (stored.status, stored.note) == (door.status, door.note) == ("open", "wide")
    assert history() == [("shut", "open", "asked for", "clock")]
    assert StateChange.objects.get().entity_id == door.pk


def test_illegal_step_writes_nothing(door: Door) -> None:
    move(door, "broken")

    with pytest.raises(IllegalTransition) as caught:
        move(door, "open", also={"note": "wide"})

    assert caught.value.current == "broken"
    assert (Door.objects.get().status, Door.objects.get().note) == ("broken", "")
    assert history() == [("shut", "broken", "", "")]


def test_same_state_is_no_step(door: Door) -> None:
    moved = move(door, "shut", reason="again", also={"note": "changed"})

    assert moved is False
    assert (Door.objects.get().note, history()) == ("", [])


def test_duplicate_from_a_stale_copy_is_no_step(door: Door) -> None:
    stale = Door.objects.get()
    move(door, "open")

    moved = move(stale, "open")

    assert (moved, stale.status, len(history())) == (False, "open", 1)


def test_stale_copy_is_told_what_it_finds(door: Door) -> None:
    stale = Door.objects.get()
    move(door, "broken")

    with pytest.raises(IllegalTransition) as caught:
        move(stale, "open")

    assert (caught.value.current, len(history())) == ("broken", 1)


def test_long_reason_and_a_model_as_actor_fit_the_history(door: Door) -> None:
    move(door, "open", reason="x" * 500, actor=door)

    assert history() == [("shut", "open", "x" * 200, str(door.pk))]


def test_history_goes_with_a_rollback(door: Door) -> None:
    with transaction.atomic():
        transition(door, to="open", table=TABLE)
        transaction.set_rollback(True)

    assert (Door.objects.get().status, history()) == ("shut", [])


def test_transition_outside_a_transaction_is_refused(committed_door: Door) -> None:
    with pytest.raises(RuntimeError):
        transition(committed_door, to="open", table=TABLE)


def test_of_many_racers_to_one_state_one_moves(committed_door: Door) -> None:
    def step() -> bool:
        return move(Door(id=committed_door.pk, status="shut"), "open")

    outcomes = race(step, times=8)

    assert sorted(outcomes) == [False] * 7 + [True]
    assert len(history()) == 1


def race_to_different_states(door: Door) -> list[bool | Exception]:
    """From one state to two that exclude each other."""

    def step(to: str) -> bool:
        return move(Door(id=door.pk, status="shut"), to)

    return race_each([lambda: step("open"), lambda: step("broken")])


def test_of_two_racers_to_different_states_one_moves(committed_door: Door) -> None:
    outcomes = race_to_different_states(committed_door)

    assert [type(outcome) for outcome in outcomes].count(bool) == 1
    assert [type(outcome) for outcome in outcomes].count(IllegalTransition) == 1
    assert [to for _, to, _, _ in history()] == [Door.objects.get().status]


def test_of_two_racers_to_different_states_one_moves_control(
    committed_door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the comparison both move, over each other."""
    blind = transitions._MOVE.replace('AND "{field}" = %s', "AND %s::text IS NOT NULL")
    monkeypatch.setattr(transitions, "_MOVE", blind)
    monkeypatch.setattr(transitions, "_statement", transitions._statement.__wrapped__)

    outcomes = race_to_different_states(committed_door)

    assert outcomes == [True, True]
    assert len(history()) == 2
