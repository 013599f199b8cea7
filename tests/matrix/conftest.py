"""One world of shops for a module, undone at its end; every request in it is undone at once."""

from collections.abc import Iterator

import httpx
import pytest
from django.db import connection, transaction
from pytest_django import Settings
from pytest_django.plugin import DjangoDbBlocker

from core import limits, rates
from core.tests.fixtures import clean_redis
from tests.matrix.askers import ASKERS, World, asker, build_world

__all__ = ["clean_redis"]


@pytest.fixture(scope="module")
def world(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[World]:
    with django_db_blocker.unblock():
        block = transaction.atomic()
        block._from_testcase = True
        with block:
            made = build_world()
            for name in ASKERS:
                asker(made, name)
            yield made
            transaction.set_rollback(True)
        connection.close()


@pytest.fixture
def unlimited(monkeypatch: pytest.MonkeyPatch, settings: Settings, sms: httpx.Client) -> None:
    """Thousands of requests of one person in a minute: how many they may send is tested elsewhere."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    settings.BROKER_WAIT_S = 0
    monkeypatch.setattr(limits, "take", lambda limits, *, fail_closed: None)
    monkeypatch.setattr(rates, "meter", lambda counted: rates.Verdict(None, ()))
