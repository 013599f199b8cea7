"""Database connections that threads keep from one request to the next."""

import select

from django.core.signals import request_started
from django.db import connection
from django.dispatch import receiver


@receiver(request_started)
def drop_dead_connection(**_: object) -> None:
    """Close this thread's connection where the server has ended it: the request then opens a new one.

    Nothing is to be read from an idle connection unless the server said goodbye. Django's own check costs a statement.
    """
    if connection.connection is None or connection.in_atomic_block:
        return
    if connection.connection.closed or _is_readable(connection.connection.fileno()):
        connection.close()
    connection.health_check_done = True  # type: ignore[attr-defined]


def _is_readable(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))
