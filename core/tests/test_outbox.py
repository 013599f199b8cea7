from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from threading import Event
from uuid import UUID, uuid4

import pytest
from django.db import transaction
from django.utils import timezone

from core import outbox
from core.models import OutboxMessage, StateChange
from core.tests.race import DEADLINE_S, race, race_each


@dataclass(frozen=True)
class Happened:
    thing_id: UUID
    word: str = "tock"


@pytest.fixture(autouse=True)
def _no_receivers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "_receivers", {})
    monkeypatch.setattr(outbox, "_event_classes", {})


def note(event: Happened) -> None:
    """An effect that can be counted."""
    StateChange.objects.create(
        entity="core.test", entity_id=event.thing_id, field="", from_state="", to_state=event.word
    )


def effects(thing_id: UUID | None = None) -> int:
    rows = StateChange.objects.filter(entity="core.test")
    return (rows.filter(entity_id=thing_id) if thing_id else rows).count()


def publish(event: Happened) -> None:
    with transaction.atomic():
        outbox.publish(event)


@contextmanager
def dying_process() -> Iterator[None]:
    """Whoever publishes here dies right after its commit."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("core.outbox.transaction.on_commit", lambda *args, **kwargs: None)
        yield


def time_passes() -> None:
    """Every retry is due."""
    OutboxMessage.objects.update(available_at=timezone.now() - timedelta(seconds=1))


@pytest.mark.django_db(transaction=True)
def test_publish_outside_a_transaction_is_refused() -> None:
    outbox.receives(Happened)(note)

    with pytest.raises(RuntimeError):
        outbox.publish(Happened(uuid4()))

    assert not OutboxMessage.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_event_of_a_rolled_back_change_is_never_told() -> None:
    outbox.receives(Happened)(note)

    with transaction.atomic():
        outbox.publish(Happened(uuid4()))
        transaction.set_rollback(True)
    outbox.sweep()

    assert (OutboxMessage.objects.count(), effects()) == (0, 0)


@pytest.mark.django_db(transaction=True)
def test_event_is_delivered_after_the_commit_and_not_before() -> None:
    outbox.receives(Happened)(note)
    event = Happened(uuid4(), "told")

    with transaction.atomic():
        outbox.publish(event)
        before = effects()

    assert (before, effects(event.thing_id)) == (0, 1)
    assert StateChange.objects.get().to_state == "told"
    assert OutboxMessage.objects.get().done_at is not None


@pytest.mark.django_db(transaction=True)
def test_each_receiver_gets_the_event() -> None:
    def also(event: Happened) -> None:
        note(event)

    outbox.receives(Happened)(note)
    outbox.receives(Happened)(also)

    publish(event := Happened(uuid4()))

    assert (OutboxMessage.objects.count(), effects(event.thing_id)) == (2, 2)


@pytest.mark.django_db(transaction=True)
def test_crash_between_commit_and_delivery_loses_nothing() -> None:
    outbox.receives(Happened)(note)
    event = Happened(uuid4())
    with dying_process():
        publish(event)
    after_the_crash = effects()

    outbox.sweep()
    outbox.sweep()

    assert (after_the_crash, effects(event.thing_id)) == (0, 1)


@pytest.mark.django_db(transaction=True)
def test_failing_receiver_is_tried_again_later_and_leaves_nothing_half_done() -> None:
    answers = iter([ValueError("first"), ValueError("second"), None])

    def stumble(event: Happened) -> None:
        note(event)
        if error := next(answers):
            raise error

    outbox.receives(Happened)(stumble)

    publish(event := Happened(uuid4()))
    first = OutboxMessage.objects.get()
    seen = [effects(), outbox.sweep()]
    time_passes()
    seen.append(outbox.sweep())
    second = OutboxMessage.objects.get()
    time_passes()
    seen.append(outbox.sweep())

    assert seen == [0, 0, 0, 1]
    assert effects(event.thing_id) == 1
    assert (first.attempts, first.last_error) == (1, "ValueError: first")
    assert second.available_at - timezone.now() > (first.available_at - first.created_at)


@pytest.mark.django_db(transaction=True)
def test_poison_is_parked_and_others_flow() -> None:
    poison, good = uuid4(), uuid4()

    def choke(event: Happened) -> None:
        if event.thing_id == poison:
            raise ValueError("poison")
        note(event)

    outbox.receives(Happened)(choke)

    publish(Happened(poison))
    for _ in range(outbox.MAX_ATTEMPTS + 2):
        time_passes()
        outbox.sweep()
    publish(Happened(good))

    parked = OutboxMessage.objects.get(payload__thing_id=str(poison))
    assert (parked.attempts, parked.done_at) == (outbox.MAX_ATTEMPTS, None)
    assert parked.parked_at is not None
    assert (effects(poison), effects(good)) == (0, 1)


@pytest.mark.django_db(transaction=True)
def test_delivery_that_breaks_altogether_hinders_neither_the_change_nor_others(monkeypatch: pytest.MonkeyPatch) -> None:
    deliver, told = outbox.deliver, []

    def break_first(message_id: int) -> bool:
        told.append(message_id)
        if len(told) == 1:
            raise ConnectionError
        return deliver(message_id)

    monkeypatch.setattr(outbox, "deliver", break_first)
    outbox.receives(Happened)(note)

    with transaction.atomic():
        outbox.publish(Happened(uuid4()))
        outbox.publish(Happened(uuid4()))
    before_the_sweep = effects()
    outbox.sweep()

    assert (before_the_sweep, effects()) == (1, 2)


@pytest.mark.django_db(transaction=True)
def test_row_of_a_receiver_that_is_gone_is_kept_as_a_failure() -> None:
    outbox.receives(Happened)(note)
    with transaction.atomic():
        outbox.publish(Happened(uuid4()))
        outbox._receivers.clear()

    assert OutboxMessage.objects.get().last_error.startswith("KeyError")


@pytest.mark.django_db(transaction=True)
def test_two_sweepers_at_once_cause_each_effect_once() -> None:
    outbox.receives(Happened)(note)
    with dying_process():
        for _ in range(40):
            publish(Happened(uuid4()))

    delivered = race(outbox.sweep, times=4)

    assert sum(delivered) == 40
    assert effects() == 40


def deliver_twice_at_once() -> int:
    """Two processes deliver one row, the second while the first is inside the receiver. How many effects it had."""
    inside, leave = Event(), Event()

    def linger(event: Happened) -> None:
        if not inside.is_set():
            inside.set()
            assert leave.wait(DEADLINE_S)
        note(event)

    outbox.receives(Happened)(linger)
    row = OutboxMessage.objects.create(
        event="core.Happened",
        payload={"thing_id": str(uuid4()), "word": "tick"},
        receiver=f"{linger.__module__}.linger",
        available_at=timezone.now(),
    )

    def second() -> bool:
        assert inside.wait(DEADLINE_S)
        try:
            return outbox.deliver(row.pk)
        finally:
            leave.set()

    race_each([lambda: outbox.deliver(row.pk), second])
    return effects()


@pytest.mark.django_db(transaction=True)
def test_row_being_delivered_is_left_alone() -> None:
    assert deliver_twice_at_once() == 1


@pytest.mark.django_db(transaction=True)
def test_row_being_delivered_is_left_alone_control(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the row's lock the effect doubles."""

    def look(message_id: int) -> tuple[str, str, dict[str, object]]:
        return OutboxMessage.objects.values_list("event", "receiver", "payload").get(pk=message_id)

    monkeypatch.setattr(outbox, "_claim", look)

    assert deliver_twice_at_once() == 2


@pytest.mark.parametrize(("seeded_bug", "expected"), [(False, 1), (True, 2)], ids=["mark", "control-without-mark"])
@pytest.mark.django_db(transaction=True)
def test_delivered_row_is_not_delivered_again(seeded_bug: bool, expected: int) -> None:
    outbox.receives(Happened)(note)
    publish(Happened(uuid4()))

    if seeded_bug:
        OutboxMessage.objects.update(done_at=None)
    outbox.deliver(OutboxMessage.objects.get().pk)
    outbox.sweep()

    assert effects() == expected
