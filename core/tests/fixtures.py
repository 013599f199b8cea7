"""Fixtures every app's tests share; each app's `conftest.py` imports the ones it needs."""

from collections.abc import Iterator
from threading import Barrier

import httpx
import pytest
from pytest_django import Settings
from redis import Redis

from core import limits
from simulators.tests.simulator import run

DEAD_ADDRESS = "127.0.0.1:9"


def lose_counters(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on the Redis that counts for the limits can't be reached."""
    dead = Redis.from_url(f"redis://{DEAD_ADDRESS}", socket_connect_timeout=1)
    monkeypatch.setattr(limits, "_TAKE", dead.register_script("return -1"))


def count_in_two_steps(monkeypatch: pytest.MonkeyPatch, redis_url: str, *, parties: int) -> None:
    """A seeded bug: all ask for the counts of the limits, and only then count themselves."""
    all_asked = Barrier(parties)

    def ask_then_count(*, keys: list[str], args: list[int]) -> int:
        with Redis.from_url(redis_url) as redis:
            full = [int(redis.get(key) or 0) >= most for key, most in zip(keys, args[::2], strict=True)]
            all_asked.wait(10)
            for key in keys:
                redis.incr(key)
        return 1 if any(full) else -1

    monkeypatch.setattr(limits, "_TAKE", ask_then_count)


@pytest.fixture(autouse=True)
def clean_redis(redis_url: str) -> None:
    """Counters of rate limits live in Redis, and no rollback empties it."""
    with Redis.from_url(redis_url) as redis:
        redis.flushdb()


@pytest.fixture(scope="session")
def sms_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """The SMS simulator as a process of its own, on a free port."""
    with (
        run("simulators.sms", tmp_path_factory.mktemp("sms")) as (_, ready),
        httpx.Client(base_url=ready["http"], timeout=5) as client,
    ):
        yield client


@pytest.fixture
def sms(sms_process: httpx.Client, settings: Settings) -> httpx.Client:
    """The simulator the product sends to; its inbox is empty and nothing misbehaves."""
    sms_process.delete("/messages").raise_for_status()
    sms_process.delete("/faults").raise_for_status()
    settings.SMS_BASE_URL = str(sms_process.base_url).rstrip("/")
    return sms_process


@pytest.fixture(scope="session")
def mail_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[httpx.Client, str]]:
    """The mail simulator as a process of its own, on free ports; its inbox and its SMTP address."""
    with (
        run("simulators.mail", tmp_path_factory.mktemp("mail")) as (_, ready),
        httpx.Client(base_url=ready["http"], timeout=5) as client,
    ):
        yield client, ready["smtp"]


@pytest.fixture
def mail(mail_process: tuple[httpx.Client, str], settings: Settings) -> httpx.Client:
    """The mail server the product sends to, over SMTP; its inbox is empty and nothing misbehaves."""
    inbox, smtp = mail_process
    inbox.delete("/messages").raise_for_status()
    inbox.delete("/faults").raise_for_status()
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    host, _, port = smtp.partition(":")
    settings.EMAIL_HOST, settings.EMAIL_PORT = host, int(port)
    return inbox


@pytest.fixture(scope="session")
def google_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Simulated Google as a process of its own, on a free port."""
    with (
        run("simulators.google", tmp_path_factory.mktemp("google")) as (_, ready),
        httpx.Client(base_url=ready["http"], timeout=10) as client,
    ):
        yield client
