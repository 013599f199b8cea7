"""PostgreSQL NOTIFY: wakes the bridge when a transaction commits.

A wake-up that is lost delays a command until the bridge's next tick (`TICK_S`), and a change of the broker's rights
until all of them are next brought in line (`RIGHTS_EVERY_S`, and as long as that takes).
"""

from django.db import connection

COMMANDS = "device_commands"
RIGHTS = "broker_rights"


def wake(channel: str, payload: object) -> None:
    """Notify in the current transaction; listeners hear it on commit and never on rollback."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, %s)", [channel, str(payload)])
