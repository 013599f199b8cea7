from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, ProgrammingError
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from core import health
from core.models import ComponentPulse
from core.tests.fixtures import DEAD_ADDRESS

pytestmark = pytest.mark.django_db
PROCESSES = ("bridge", "broker", "worker", "beat")
OK = {"status": "ok", "detail": ""}


@pytest.fixture(autouse=True)
def _everything_lives() -> None:
    for name in PROCESSES:
        health.record_pulse(name)


def ask() -> tuple[int, dict[str, Any]]:
    response = Client().get("/healthz")
    return response.status_code, response.json()


def test_everything_works() -> None:
    everything = dict.fromkeys(("web", "database", "redis", *PROCESSES), OK)

    assert ask() == (200, {"status": "ok", "components": everything})


@pytest.mark.parametrize("name", PROCESSES)
@pytest.mark.parametrize(
    ("change", "detail"),
    [
        pytest.param(lambda pulse: pulse.delete(), "never seen", id="never-seen"),
        pytest.param(
            lambda pulse: pulse.update(at=timezone.now() - timedelta(minutes=2)), "silent for 120 s", id="silent"
        ),
        pytest.param(lambda pulse: pulse.update(ok=False, detail="no broker"), "no broker", id="says-so-itself"),
    ],
)
def test_process_that_does_not_work_is_named(name: str, change: Any, detail: str) -> None:
    change(ComponentPulse.objects.filter(name=name))

    status, body = ask()

    assert (status, body["status"]) == (503, "degraded")
    assert {key: value for key, value in body["components"].items() if value != OK} == {
        name: {"status": "down", "detail": detail}
    }


def test_database_without_tables_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_such_table(name: str) -> None:
        raise ProgrammingError("relation does not exist")

    monkeypatch.setattr(health, "_pulse_of", no_such_table)

    assert (ask()[0], ask()[1]["components"]["database"]["status"]) == (503, "down")


def test_redis_that_is_down_is_named(settings: Settings) -> None:
    settings.REDIS_URL = f"redis://user:secret@{DEAD_ADDRESS}/0"

    status, body = ask()

    assert (status, body["status"]) == (503, "degraded")
    assert body["components"]["redis"] == {"status": "down", "detail": "ConnectionError"}
    assert "secret" not in str(body)


def test_database_that_is_down_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise OperationalError("could not connect to secret-host")

    monkeypatch.setattr(health, "_ask_database", fail)

    status, body = ask()

    assert (status, body["status"]) == (503, "degraded")
    assert body["components"] == {"web": OK, "redis": OK, "database": {"status": "down", "detail": "OperationalError"}}


def test_a_new_sign_of_life_heals() -> None:
    health.record_pulse("bridge", ok=False, detail="x" * 500)
    ill = ask()[0]

    health.record_pulse("bridge")

    assert (ill, ask()[0]) == (503, 200)


def two_bridges(*, silent_for: timedelta) -> dict[str, str]:
    """What is told of two bridges one of which fell silent."""
    ComponentPulse.objects.filter(name="bridge").delete()
    for process in ("one", "two"):
        health.record_pulse("bridge", process=process)
    ComponentPulse.objects.filter(name="bridge:two").update(at=timezone.now() - silent_for)
    status, body = ask()
    assert status == 200
    told: dict[str, str] = body["components"]["bridge"]
    return told


def test_one_of_two_that_fell_silent_is_told_and_the_other_works() -> None:
    assert two_bridges(silent_for=timedelta(minutes=2)) == {"status": "ok", "detail": "bridge:two: silent for 120 s"}


def test_one_of_two_that_was_taken_away_is_forgotten() -> None:
    assert two_bridges(silent_for=timedelta(days=2)) == OK


def test_two_that_do_not_work_are_both_told() -> None:
    ComponentPulse.objects.filter(name="broker").delete()
    for process in ("one", "two"):
        health.record_pulse("broker", ok=False, detail="not connected", process=process)

    status, body = ask()

    told = {"status": "down", "detail": "broker:one: not connected; broker:two: not connected"}
    assert (status, body["components"]["broker"]) == (503, told)


def test_health_is_only_asked() -> None:
    assert Client().post("/healthz").status_code == 405
