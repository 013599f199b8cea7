"""What the application's role may do in the database: everything to rows, but for what is only ever appended to.

The role that migrates owns the tables and gives the rights anew after each migration (decision 12). Nothing here runs
where one role does both, which `check --deploy --database default` tells production about.
"""

from collections.abc import Sequence
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.db import connections, models, transaction
from django.db.backends.utils import CursorWrapper
from django.db.migrations.recorder import MigrationRecorder

# Functions that run in their owner's name exist for the application: each does one thing it may not do by itself.
_OWN_FUNCTIONS = """
SELECT format('GRANT EXECUTE ON FUNCTION %%s TO %%I', p.oid::regprocedure, %s::text)
FROM pg_proc p JOIN pg_roles r ON r.oid = p.proowner
WHERE r.rolname = current_user AND p.prosecdef AND p.pronamespace = current_schema()::regnamespace
"""
_MIGRATIONS = MigrationRecorder.Migration._meta.db_table
_TOO_MUCH = ("UPDATE", "DELETE", "TRUNCATE", "TRIGGER")


def append_only_models() -> list[type[models.Model]]:
    """Models that say so with `append_only = True`."""
    return [model for model in apps.get_models() if getattr(model, "append_only", False)]


def grant_rights(using: str = "default", **kwargs: Any) -> None:
    """Give `DATABASE_APP_ROLE` its rights, all at once; nothing without a role. Run by the owner after each migrate."""
    role = settings.DATABASE_APP_ROLE
    if not role:
        return
    connection = connections[using]
    known = set(connection.introspection.table_names())
    ledgers = [table for model in append_only_models() if (table := model._meta.db_table) in known]
    quote = connection.ops.quote_name
    with transaction.atomic(using=using), connection.cursor() as cursor:
        cursor.execute("SELECT current_schema()")
        schema = quote(cursor.fetchone()[0])
        for statement in _statements(schema, quote(role), [quote(table) for table in ledgers]):
            cursor.execute(statement)
        _grant_functions(cursor, role)


def _statements(schema: str, role: str, ledgers: Sequence[str]) -> Sequence[str]:
    return [
        f"GRANT USAGE ON SCHEMA {schema} TO {role}",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {role}",
        f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO {role}",
        # Whoever could write there could make the owner skip a migration.
        f"REVOKE INSERT, UPDATE, DELETE ON {_MIGRATIONS} FROM {role}",
        *(f"REVOKE ALL ON {table} FROM PUBLIC, {role}" for table in ledgers),
        *(f"GRANT SELECT, INSERT ON {table} TO {role}" for table in ledgers),
    ]


def _grant_functions(cursor: CursorWrapper, role: str) -> None:
    cursor.execute(_OWN_FUNCTIONS, [role])
    for (statement,) in cursor.fetchall():
        cursor.execute(statement)


@register(Tags.database, deploy=True)
def ledgers_are_out_of_reach(databases: Sequence[str] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """An error for each append-only table that this process's own role could change. For production; one query each."""
    if not settings.PRODUCTION:
        return []
    return [
        Error(
            f"This process's database role may {', '.join(rights)} {model._meta.db_table}, which only grows",
            hint="Migrate as another role, named in DATABASE_URL there, and set DATABASE_APP_ROLE to this one.",
            id="cartwise.E010",
        )
        for using in databases or ()
        for model in append_only_models()
        if (rights := _rights_on(model._meta.db_table, using))
    ]


def _rights_on(table: str, using: str) -> list[str]:
    """Those too many, also by being a member of another role or by owning the table."""
    with connections[using].cursor() as cursor:
        cursor.execute(
            """
            SELECT wanted FROM pg_class, unnest(%s::text[]) AS wanted
            WHERE oid = %s::regclass AND (has_table_privilege(oid, wanted) OR pg_has_role(relowner, 'MEMBER'))
            """,
            [list(_TOO_MUCH), table],
        )
        return [right for (right,) in cursor.fetchall()]
