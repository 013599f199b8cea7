"""Starts the servers tests run against, then Django; offers their addresses as fixtures.

Order matters: the settings read the addresses when they are imported, and conftests below import models.
"""

import fcntl
import os
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest

from deploy.stack import testing

testing.ensure_servers()
os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"

import django  # noqa: E402

django.setup()
# Workers would inherit it, and pytest-django would then read the settings before their servers' addresses are set.
del os.environ["DJANGO_SETTINGS_MODULE"]

from django.contrib.auth.hashers import Argon2PasswordHasher  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection, connections  # noqa: E402
from pytest_django.plugin import DjangoDbBlocker  # noqa: E402

from core.tests.template_names import fail_on_unresolved_names  # noqa: E402

fail_on_unresolved_names()
# Passwords are hashed as in production, but in a millisecond: nobody steals those of tests.
Argon2PasswordHasher.time_cost, Argon2PasswordHasher.memory_cost = 1, 64

TEMPLATE_DATABASE = "cartwise_template"


class MqttBroker(NamedTuple):
    """The broker of this test run. `url` is the bridge's, `admin_url` may provision others."""

    host: str
    port: int
    url: str
    admin_url: str


@pytest.fixture(scope="session")
def django_db_setup(django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """One template database for the run, migrated by the first worker that needs it; each worker clones it."""
    with django_db_blocker.unblock():
        _migrate_template()
        _use_database(name := f"cartwise_test_{testing.worker_number()}", template=TEMPLATE_DATABASE)
    yield
    with django_db_blocker.unblock():
        assert connection.settings_dict["NAME"] == name
        connections.close_all()


def _migrate_template() -> None:
    with (testing.shared_folder() / "template.lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        done = testing.shared_folder() / "template.done"
        if done.exists():
            return
        _use_database(TEMPLATE_DATABASE, template="template1")
        call_command("migrate", interactive=False, verbosity=0)
        connection.close()
        done.touch()


def _use_database(name: str, *, template: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            f"CREATE DATABASE {connection.ops.quote_name(name)} TEMPLATE {connection.ops.quote_name(template)}"
        )
    connection.close()
    connection.settings_dict["NAME"] = name


@pytest.fixture(scope="session")
def redis_url() -> str:
    """This worker's own Redis number."""
    return os.environ["REDIS_URL"]


@pytest.fixture(scope="session")
def mqtt_broker() -> MqttBroker:
    """One broker for all workers: tests use devices and topics of their own."""
    url, admin_url = os.environ["MQTT_URL"], os.environ["MQTT_ADMIN_URL"]
    address = urlsplit(url)
    assert address.hostname is not None
    assert address.port is not None
    return MqttBroker(host=address.hostname, port=address.port, url=url, admin_url=admin_url)


@pytest.fixture(scope="session")
def stack_env(django_db_setup: None) -> dict[str, str]:
    """The environment a child process needs to work on this worker's database, Redis and broker."""
    address = urlsplit(os.environ["DATABASE_URL"])
    database_url = address._replace(path=f"/{connection.settings_dict['NAME']}").geturl()
    return {**os.environ, "DATABASE_URL": database_url}
