"""A connection that a thread keeps may have been ended by the server meanwhile."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.core.signals import request_started
from django.db import OperationalError, connection

from core.connections import drop_dead_connection

pytestmark = pytest.mark.django_db(transaction=True)


def backend() -> int:
    """The server's process behind this thread's connection."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


def end(process: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [process])


def close() -> None:
    """This thread's connection, not that of whoever hands the function over."""
    connection.close()


def request() -> int:
    """What a request does first, and one statement."""
    request_started.send(sender=request)
    return backend()


def backends_before_and_after_their_end(ask: Callable[[], int]) -> tuple[int, int]:
    """Of a thread that asks, while the server ends its connection in between."""
    with ThreadPoolExecutor(1) as thread:
        try:
            before = thread.submit(ask).result()
            end(before)
            return before, thread.submit(ask).result()
        finally:
            thread.submit(close).result()


def test_connection_is_kept_from_one_request_to_the_next() -> None:
    with ThreadPoolExecutor(1) as thread:
        first, second = (thread.submit(request).result() for _ in range(2))
        thread.submit(close).result()

    assert first == second


def test_request_after_the_servers_goodbye_gets_a_new_connection() -> None:
    before, after = backends_before_and_after_their_end(request)

    assert before != after


def test_request_after_the_servers_goodbye_gets_a_new_connection_control() -> None:
    """Without the look at the connection the request fails."""
    request_started.disconnect(drop_dead_connection)
    try:
        with pytest.raises(OperationalError):
            backends_before_and_after_their_end(backend)
    finally:
        request_started.connect(drop_dead_connection)


def test_look_costs_no_statement() -> None:
    backend()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connection, "cursor", lambda: pytest.fail("a statement"))
        drop_dead_connection()

    assert connection.health_check_done
