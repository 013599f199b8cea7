"""PostgreSQL NOTIFY: wakes the bridge when a transaction commits; a lost wake-up costs at most its one-second tick."""

from django.db import connection

COMMANDS = "device_commands"
RIGHTS = "broker_rights"


def wake(channel: str, payload: object) -> None:
    """Notify in the current transaction; listeners hear it on commit and never on rollback."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, %s)", [channel, str(payload)])
