import logging
import threading
import time
from dataclasses import dataclass

import pytest
from asgiref.sync import sync_to_async
from channels.layers import get_channel_layer
from django.db import transaction
from pytest_django import Settings

from core import live
from core.tests.fixtures import DEAD_ADDRESS
from core.tests.race import wait_for


@dataclass(frozen=True)
class Seen:
    word: str


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a listener was told."""
    monkeypatch.setattr(live, "_listeners", {})
    words: list[str] = []
    live.hears(Seen)(lambda event: words.append(event.word))
    return words


async def test_push_reaches_who_listens_to_the_group() -> None:
    layer = get_channel_layer()
    mine, other = await layer.new_channel(), await layer.new_channel()
    await layer.group_add("branch.a", mine)
    await layer.group_add("branch.b", other)

    await sync_to_async(live.push)("branch.a", "carts.changed", cart="7")
    await sync_to_async(live.push)("branch.b", "carts.changed", cart="8")

    assert await layer.receive(mine) == {"type": "carts.changed", "cart": "7"}
    assert await layer.receive(other) == {"type": "carts.changed", "cart": "8"}


def test_push_without_redis_is_logged_and_stops_nobody(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    layer = settings.CHANNEL_LAYERS["default"]
    settings.CHANNEL_LAYERS = {"default": {**layer, "CONFIG": {"hosts": [f"redis://{DEAD_ADDRESS}/0"]}}}
    caplog.set_level(logging.WARNING, logger="core.live")

    live.push("branch.a", "carts.changed", cart="7")

    wait_for(lambda: "live push lost" in caplog.messages, "the failure in the log")


@pytest.mark.django_db(transaction=True)
def test_event_is_shown_once_its_change_is_committed(heard: list[str]) -> None:
    with transaction.atomic():
        live.announce(Seen("committed"))
        before = list(heard)
    with transaction.atomic():
        live.announce(Seen("rolled back"))
        transaction.set_rollback(True)

    assert (before, heard) == ([], ["committed"])


@pytest.mark.django_db(transaction=True)
def test_listener_that_fails_hinders_neither_the_change_nor_the_others(heard: list[str]) -> None:
    def fail(event: Seen) -> None:
        raise ValueError

    live._listeners[Seen].insert(0, fail)

    with transaction.atomic():
        live.announce(Seen("told"))

    assert heard == ["told"]


@pytest.mark.django_db(transaction=True)
def test_late_listener_is_called_after_its_time_in_another_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_listeners", {})
    calls: list[tuple[str, float, int]] = []

    def note(event: Seen) -> None:
        calls.append((event.word, time.monotonic(), threading.get_ident()))
        if event.word == "bad":
            raise ValueError

    live.hears(Seen, late=True)(note)
    began = time.monotonic()
    with transaction.atomic():
        live.announce(Seen("bad"))
        live.announce(Seen("good"))
    at_once = list(calls)
    wait_for(lambda: len(calls) == 2, "both calls")

    assert at_once == []
    assert [word for word, _, _ in calls] == ["bad", "good"]
    assert all(at - began >= live.LATE_S and thread != threading.get_ident() for _, at, thread in calls)
