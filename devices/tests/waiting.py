"""Seeing that another transaction waits."""

from django.db import connection


def waits_for_a_lock() -> bool:
    """Whether somebody on this database waits for a row's lock."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        return bool(cursor.fetchone()[0])
