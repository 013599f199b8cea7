"""The application's role in the database: everything to rows, nothing to what only grows, nothing to the tables."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
import pytest
from django.core.checks import run_checks
from django.db import ProgrammingError, connection, transaction
from psycopg.errors import InsufficientPrivilege
from pytest_django import Settings

from core import audit
from core.database_rights import append_only_models, grant_rights
from core.models import AuditEntry, StateChange
from core.transitions import forget_actors
from deploy.stack.postgres import APPLICATION
from deploy.stack.testing import APP_LOGIN
from devices.services.telemetry import drop_old_partitions, ensure_partitions
from tenants.tests.factories import make_chain

pytestmark = pytest.mark.django_db

INSERT = (
    "INSERT INTO core_auditentry (at, actor_kind, actor_name, action, entity, entity_id, reason, request_id)"
    " VALUES (now(), 'job', 'test', 'tried', 'core.test', '1', '', '')"
)
FORBIDDEN = {
    "update": "UPDATE {table} SET at = now()",
    "delete": "DELETE FROM {table}",
    "truncate": "TRUNCATE {table}",
    "lock for update": "SELECT 1 FROM {table} FOR UPDATE",
    "add a column": "ALTER TABLE {table} ADD COLUMN more text",
    "rename": "ALTER TABLE {table} RENAME TO gone",
    "drop": "DROP TABLE {table}",
    "disable triggers": "ALTER TABLE {table} DISABLE TRIGGER ALL",
    "make a trigger": "CREATE TRIGGER eat BEFORE INSERT ON {table} EXECUTE FUNCTION tsvector_update_trigger()",
    "make a rule": "CREATE RULE eat AS ON INSERT TO {table} DO INSTEAD NOTHING",
    "hide rows": "ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
    "take it over": "ALTER TABLE {table} OWNER TO CURRENT_USER",
    "give oneself the right": "GRANT UPDATE ON {table} TO CURRENT_USER; UPDATE {table} SET at = now()",
    "become the owner": "SET ROLE cartwise",
    "write around the server": "COPY {table} TO '/tmp/out'",
}
# A role that may do nothing but this is enough to see that a test can fail.
HANDED_OUT = ("update", "delete", "truncate", "lock for update")


@pytest.fixture
def as_application() -> Iterator[None]:
    """The rest of the test in the application's role, over the test's own connection."""
    with connection.cursor() as cursor:
        cursor.execute(f"SET ROLE {APPLICATION}")
    yield
    with connection.cursor() as cursor:
        cursor.execute("RESET ROLE")


@contextmanager
def login() -> Iterator["psycopg.Connection[tuple[object, ...]]"]:
    """A real sign-in of the application's role to this worker's database; what it does is rolled back."""
    address = urlsplit(os.environ[APP_LOGIN])._replace(path=f"/{connection.settings_dict['NAME']}")
    with psycopg.connect(address.geturl()) as own:
        yield own
        own.rollback()


def test_audit_and_state_changes_only_grow() -> None:
    assert set(append_only_models()) >= {AuditEntry, StateChange}


@pytest.mark.parametrize("model", [AuditEntry, StateChange])
@pytest.mark.parametrize("deed", FORBIDDEN)
def test_application_that_signed_in_is_refused(model: type[AuditEntry], deed: str) -> None:
    with login() as own, pytest.raises(InsufficientPrivilege):
        own.execute(FORBIDDEN[deed].format(table=model._meta.db_table))


@pytest.mark.parametrize("deed", HANDED_OUT)
def test_application_that_signed_in_is_refused_control(deed: str) -> None:
    """Without the REVOKE the same role may."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"GRANT ALL ON core_auditentry TO {APPLICATION}")
        cursor.execute(f"SET LOCAL ROLE {APPLICATION}")
        cursor.execute(FORBIDDEN[deed].format(table="core_auditentry"))
        cursor.execute("RESET ROLE")


@pytest.mark.parametrize("deed", ["update", "delete", "truncate"])
def test_application_over_the_products_own_connection_is_refused(as_application: None, deed: str) -> None:
    with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
        connection.cursor().execute(FORBIDDEN[deed].format(table="core_auditentry"))


@pytest.mark.parametrize(
    "deed",
    ["INSERT INTO {} (app, name, applied) VALUES ('a', 'b', now())", "DELETE FROM {}", "UPDATE {} SET applied = now()"],
)
def test_application_makes_the_owner_skip_no_migration(deed: str) -> None:
    with login() as own:
        assert own.execute("SELECT 1 FROM django_migrations LIMIT 1").fetchone()
        with pytest.raises(InsufficientPrivilege):
            own.execute(deed.format("django_migrations"))


def test_application_adds_and_reads_audit_entries() -> None:
    with login() as own:
        own.execute(INSERT)
        assert own.execute("SELECT count(*) FROM core_auditentry WHERE action = 'tried'").fetchone() == (1,)


def test_service_records_as_the_application(as_application: None) -> None:
    chain = make_chain()

    audit.record("tried", chain, actor="test")

    assert AuditEntry.objects.get().entity_id == str(chain.pk)


def test_application_owns_nothing_and_makes_no_databases_roles_or_tables() -> None:
    with login() as own:
        row = own.execute(
            "SELECT rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls FROM pg_roles"
            " WHERE rolname = current_user"
        ).fetchone()
        owned = own.execute("SELECT count(*) FROM pg_class c JOIN pg_roles r ON r.oid = relowner"
                            " WHERE rolname = current_user").fetchone()  # fmt: skip
        with pytest.raises(InsufficientPrivilege):
            own.execute("CREATE TABLE mine (one int)")

    assert (row, owned) == ((False,) * 5, (0,))


def test_rights_given_twice_stay_the_same() -> None:
    before = rights()

    grant_rights()

    assert rights() == before


def test_rights_taken_away_come_back_with_the_next_migrate() -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"REVOKE ALL ON tenants_chain FROM {APPLICATION}")
        cursor.execute(f"GRANT UPDATE ON core_auditentry TO {APPLICATION}")
    before = rights()

    grant_rights()

    assert rights() != before
    assert rights() == {
        "core_auditentry": {"INSERT", "SELECT"},
        "core_statechange": {"INSERT", "SELECT"},
        "tenants_chain": {"DELETE", "INSERT", "SELECT", "UPDATE"},
    }


def test_nothing_is_granted_without_a_role(settings: Settings) -> None:
    settings.DATABASE_APP_ROLE = ""
    with connection.cursor() as cursor:
        cursor.execute(f"REVOKE ALL ON tenants_chain FROM {APPLICATION}")

    grant_rights()

    assert rights()["tenants_chain"] == set()


def test_application_makes_and_drops_days_of_telemetry(as_application: None) -> None:
    ensure_partitions(today=date(2031, 5, 30))

    assert "devices_telemetryevent_20310530" in drop_old_partitions(today=date(2032, 5, 30))


@pytest.mark.parametrize("name", ["devices_make_telemetry_day", "devices_drop_telemetry_before"])
@pytest.mark.parametrize("day", ["NULL", "'infinity'", "'-infinity'", "'0044-03-15 BC'", "'9999-01-01'"])
def test_functions_about_telemetry_take_no_nonsense(name: str, day: str) -> None:
    with login() as own, pytest.raises(psycopg.errors.InvalidParameterValue):
        own.execute(f"SELECT {name}({day}::date)")


def test_functions_of_the_owner_are_nobody_elses() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT proname, prosecdef, proconfig, has_function_privilege('public', oid, 'EXECUTE')"
            " FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND prosecdef ORDER BY 1"
        )
        found = cursor.fetchall()

    pinned = ["search_path=pg_catalog, pg_temp"]
    assert found == [
        ("core_forget_actors", True, pinned, False),
        ("devices_drop_telemetry_before", True, pinned, False),
        ("devices_make_telemetry_day", True, pinned, False),
    ]


def test_application_forgets_who_and_nothing_else(as_application: None) -> None:
    told = {"entity": "a.b", "entity_id": uuid4(), "field": "f", "from_state": "x", "to_state": "y", "reason": "r"}
    first, second = (StateChange.objects.create(**told, actor=who) for who in ("one", "two"))
    before = StateChange.objects.filter(pk=first.pk).values().get()

    forget_actors(StateChange.objects.filter(actor="one"))

    assert StateChange.objects.filter(pk=first.pk).values().get() == {**before, "actor": ""}
    assert StateChange.objects.get(pk=second.pk).actor == "two"


def test_production_is_told_that_its_role_can_change_the_audit(settings: Settings) -> None:
    settings.PRODUCTION = True

    found = [each for each in _database_checks() if each.id == "cartwise.E010"]

    assert len(found) == len(append_only_models())


def test_production_with_a_role_of_its_own_is_told_nothing(settings: Settings, as_application: None) -> None:
    settings.PRODUCTION = True

    assert _database_checks() == []


def test_development_is_told_nothing() -> None:
    assert _database_checks() == []


def _database_checks() -> list[object]:
    checks = run_checks(include_deployment_checks=True, databases=["default"], tags=["database"])
    return [each for each in checks if each.id.startswith("cartwise.")]


def rights() -> dict[str, set[str]]:
    """What the application's role was given on three tables."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT name, array_agg(privilege_type::text) FILTER (WHERE grantee = %s)
            FROM unnest(ARRAY['core_auditentry', 'core_statechange', 'tenants_chain']) AS name
            LEFT JOIN information_schema.role_table_grants ON table_name = name AND grantee = %s
            GROUP BY name
            """,
            [APPLICATION, APPLICATION],
        )
        return {name: set(found or ()) for name, found in cursor.fetchall()}
