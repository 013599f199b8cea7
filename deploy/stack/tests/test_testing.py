"""What the root conftest promises to every test: a migrated database of one's own, and servers nobody else uses."""

import os

import psycopg
import pytest
import redis
from django.contrib.contenttypes.models import ContentType
from django.db import connection

from deploy.stack import testing


@pytest.mark.django_db
def test_database_is_a_migrated_clone_for_this_worker() -> None:
    assert connection.settings_dict["NAME"] == f"cartwise_test_{testing.worker_number()}"
    assert ContentType.objects.exists()


def test_stack_env_leads_a_child_to_the_same_database(stack_env: dict[str, str]) -> None:
    with psycopg.connect(stack_env["DATABASE_URL"]) as child:
        assert child.execute("SELECT current_database()").fetchone() == (connection.settings_dict["NAME"],)


def test_redis_number_is_this_workers(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert client.ping()
    assert redis_url.endswith(f"/{2 * testing.worker_number()}")


def test_servers_are_not_those_of_a_running_stack() -> None:
    assert "cartwise-test-" in os.environ["VAR_DIR"]


def test_outside_environment_knows_no_test_server() -> None:
    outside = testing.outside_environment()

    assert outside["PATH"] == os.environ["PATH"]
    assert not any(os.environ["REDIS_URL"].rpartition("/")[0] in value for value in outside.values())
    assert "DATABASE_URL" not in outside
