"""What is personal over all apps: declared everywhere, told whole and to nobody else, gone after an erasure."""

import json
import os
import resource
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.apps import apps
from django.core.management import CommandError, call_command
from django.db import connection, models
from django.test import Client
from pytest_django import Settings

from carts.enums import RentalStatus
from carts.models import Rental
from carts.tests.factories import make_rental
from core import audit, privacy
from core.errors import DomainError, Unavailable
from core.models import AuditEntry, StateChange
from core.privacy import declared, personal_of
from tenants.models import Erasure, Invitation, User
from tenants.services import erase_person, export_person, reapply_erasures
from tenants.services.privacy import read_journal
from tenants.tests.factories import People, make_people, make_user
from tenants.tests.signing_in import sign_in
from tests.privacy_world import Known, make_known

pytestmark = pytest.mark.django_db

OURS = ("core", "tenants", "devices", "carts", "account", "mfa", "socialaccount", "admin")
# Parts of names of fields in which a person may be meant.
SMELLS = ("email", "phone", "address", "user_agent", "name", "uid", "extra_data", "birth", "ip_")
_SHOP = "of a shop"
_THING = "of a thing or a setting"
_BY_ID = "who did it, by id"
NOT_PERSONAL = {
    "tenants.refreshtoken.by_phone": "a yes or a no",
    "tenants.chain.name": _SHOP,
    "tenants.branch.name": _SHOP,
    "tenants.branch.address": _SHOP,
    "tenants.role.name": _THING,
    "tenants.personaltoken.name": "of a program; told, and goes with its row",
    "tenants.invitation.invited_by": _BY_ID,
    "devices.enrolmentcode.created_by": _BY_ID,
    "devices.device.name": _THING,
    "devices.device.mac_address": _THING,
    "devices.knownmac.mac_address": _THING,
    "devices.controller.address": "of a lock board on its bus",
    "core.auditentry.actor_name": "of a job or a command",
    "core.componentpulse.name": _THING,
    "socialaccount.socialapp.name": _THING,
}

# What they did, as it was written down for others: here the tests put a name into it.
KEPT = {"core_auditentry", "tenants_supportaccess"}


@pytest.fixture(autouse=True)
def journal(tmp_path: Path, settings: Settings) -> Path:
    settings.ERASURE_JOURNAL = str(tmp_path / "erasures.jsonl")
    return tmp_path / "erasures.jsonl"


@pytest.fixture
def people() -> People:
    return make_people()


@pytest.fixture
def dora(people: People) -> Known:
    return make_known("dorothea", branch=people.branch, staff=people.erin)


@pytest.fixture
def neighbour(people: People) -> Known:
    """Somebody of the same shop, with as much in every table."""
    return make_known("nikolaos", branch=people.branch, staff=people.erin)


def smelling() -> Iterator[tuple[type[models.Model], "models.Field[Any, Any]"]]:
    for model in apps.get_models():
        if model._meta.app_label not in OURS:
            continue
        for field in model._meta.local_concrete_fields:
            person = field.remote_field is not None and field.remote_field.model is User
            if person or any(part in field.name for part in SMELLS):
                yield model, field


def undeclared() -> set[str]:
    found = set()
    for model, field in smelling():
        said = personal_of(model)
        known = {*said.fields, *said.known_by, *(path.partition("__")[0] for path in said.subjects)} if said else set()
        if field.name not in known:
            found.add(f"{model._meta.label_lower}.{field.name}")
    return found


def test_every_personal_field_is_declared_or_named_here() -> None:
    assert undeclared() - NOT_PERSONAL.keys() == set()


def test_every_exception_is_still_one() -> None:
    assert NOT_PERSONAL.keys() - undeclared() == set()


def test_field_nobody_declared_is_found_control(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(User, "personal")

    assert {"tenants.user.email", "tenants.user.phone", "tenants.user.name"} <= undeclared()


def test_everything_told_can_be_read_and_is_no_secret() -> None:
    for model, said in declared().items():
        list(model._base_manager.values(*said.told)[:1])
        for name in said.told:
            assert not any(part in name for part in ("hash", "hmac", "password", "secret", "session", "data")) or (
                model._meta.label_lower,
                name,
            ) == ("socialaccount.socialaccount", "extra_data")


def told(person: User) -> tuple[str, dict[str, Any]]:
    text = "".join(export_person(person=person, actor="test"))
    return text, json.loads(text)


def test_export_tells_everything_about_a_person(dora: Known, neighbour: Known) -> None:
    _text, document = told(dora.user)

    data = document["data"]
    empty = {kind for kind, rows in data.items() if not rows}
    assert empty == {"account.emailconfirmation", "socialaccount.socialtoken"}
    assert [each["kind"] for each in document["contents"]] == list(data)
    assert (data["tenants.user"][0]["phone"], data["tenants.user"][0]["name"]) == (dora.user.phone, dora.user.name)
    assert [row["notes"] for row in data["carts.rental"]] == ["dorothea was late"]
    assert {row["email"].lower() for row in data["tenants.invitation"]} == {
        "dorothea@example.com",
        "dorothea.other@example.com",
    }
    assert [row["action"] for row in data["core.auditentry"]] == ["dorothea looked"]
    assert AuditEntry.objects.filter(action="exported", entity_id=str(dora.user.pk)).count() == 1


def test_export_tells_nothing_of_others_and_no_secret(dora: Known, neighbour: Known, people: People) -> None:
    text, _ = told(dora.user)

    for foreign in (*neighbour.marks, str(neighbour.user.pk), people.erin.email, str(people.erin.pk)):
        assert foreign not in text
    for secret in (dora.user.password, "secret-hmac", "dorothea-seed", dora.browser.cookies["sessionid"].value):
        assert secret not in text


def test_export_that_forgot_whose_rows_would_tell_of_others_control(
    dora: Known, neighbour: Known, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(privacy.Personal, "about", lambda said, person: models.Q())

    text, _ = told(dora.user)

    assert all(mark in text for mark in neighbour.marks)


def test_what_staff_did_in_a_persons_name_does_not_tell_from_where(dora: Known, people: People) -> None:
    with audit.origin(audit.Origin(address="198.51.100.9", behind=people.erin.pk)):
        audit.record("done in her name", dora.user, actor=dora.user)

    assert "198.51.100.9" not in told(dora.user)[0]


def test_address_somebody_merely_typed_opens_no_invitation(people: People, dora: Known, neighbour: Known) -> None:
    EmailAddress.objects.create(user=people.alice, email="nikolaos@example.com", verified=False)

    data = told(people.alice)[1]["data"]
    assert (data["tenants.invitation"], data["tenants.registration"]) == ([], [])


def test_account_that_waits_for_its_proof_owns_no_invitation(people: People, neighbour: Known) -> None:
    """Anybody may ask for an account with another's address; what was sent there is not theirs to read or delete."""
    User.objects.filter(pk=neighbour.user.pk).update(email="nikos@example.com")
    EmailAddress.objects.filter(email="nikolaos@example.com").delete()
    waiting = make_user(email="nikolaos@example.com")
    EmailAddress.objects.create(user=waiting, email="nikolaos@example.com", verified=False)

    assert told(waiting)[1]["data"]["tenants.invitation"] == []
    erase_person(user=waiting, actor=people.erin)

    assert Invitation.objects.filter(email="nikolaos@example.com").exists()


def everywhere(marks: tuple[str, ...]) -> set[str]:
    """Tables in which one of these texts stands in any row."""
    found = set()
    with connection.cursor() as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
        for (table,) in cursor.fetchall():
            cursor.execute(f'SELECT count(*) FROM "{table}" AS t WHERE t::text ILIKE ANY (%s)', [_like(marks)])
            if cursor.fetchone()[0]:
                found.add(table)
    return found


def _like(marks: tuple[str, ...]) -> list[str]:
    return [f"%{mark}%" for mark in marks]


def test_nothing_of_an_erased_person_is_left(dora: Known, neighbour: Known, people: People, journal: Path) -> None:
    before = everywhere(dora.marks)

    erase_person(user=dora.user, actor=people.erin)

    assert everywhere(dora.marks) == KEPT
    assert len(before) > 10
    assert everywhere(neighbour.marks) == before
    row = User.objects.get(pk=dora.user.pk)
    assert (row.email, row.phone, row.name, row.is_active, row.has_usable_password()) == (None, None, "", False, False)
    rental = Rental.objects.get(pk=dora.rental.pk)
    assert (rental.customer, rental.notes, rental.status) == (row, "", RentalStatus.RETURNED)
    assert not row.grants.exists()
    assert Erasure.objects.get().user_id == row.pk
    assert ids_in(journal) == [str(row.pk)]
    assert journal.stat().st_mode & 0o777 == 0o600
    assert "dorothea" not in journal.read_text()


def ids_in(journal: Path) -> list[str]:
    return [json.loads(line)["id"] for line in filter(None, journal.read_text().split("\n"))]


def test_erased_person_is_nobody_any_more(dora: Known, people: People) -> None:
    assert dora.browser.get("/me/").context["user"] == dora.user

    erase_person(user=dora.user, actor=people.erin)

    assert not dora.browser.get("/me/").context["user"].is_authenticated
    assert str(User.objects.get(pk=dora.user.pk)) == "erased person"


def test_pages_go_on_without_the_person(dora: Known, people: People) -> None:
    erase_person(user=dora.user, actor=people.erin)
    Rental.objects.filter(pk=dora.rental.pk).update(customer=None)
    browser = Client()
    sign_in(browser, people.erin)

    for page in (
        f"/admin/tenants/user/{dora.user.pk}/change/",
        f"/admin/tenants/user/{dora.user.pk}/history/",
        "/admin/tenants/user/",
        "/admin/carts/rental/",
        f"/admin/carts/rental/{dora.rental.pk}/change/",
        f"/admin/carts/cart/{dora.rental.cart_id}/change/",
        f"/control/branches/{dora.rental.branch_id}",
        f"/control/branches/{dora.rental.branch_id}/carts/{dora.rental.cart_id}",
        f"/api/branches/{dora.rental.branch_id}/rentals/history",
        "/admin/",
    ):
        assert browser.get(page).status_code == 200, page


def test_erasing_twice_is_once(dora: Known, people: People, journal: Path) -> None:
    erase_person(user=dora.user, actor=people.erin)
    erase_person(user=dora.user, actor=people.erin)

    assert len(ids_in(journal)) == 1
    assert StateChange.objects.filter(entity_id=dora.user.pk, to_state="erased").count() == 1


def test_nobody_is_erased_while_a_cart_is_out(dora: Known, people: People, journal: Path) -> None:
    make_rental(customer=dora.user)

    with pytest.raises(DomainError):
        erase_person(user=dora.user, actor=people.erin)

    assert User.objects.get(pk=dora.user.pk).phone == dora.user.phone
    assert not journal.exists()


def test_nobody_is_erased_while_a_cart_is_out_control(
    dora: Known, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(privacy, "_obstacles", [])
    make_rental(customer=dora.user)

    erase_person(user=dora.user, actor=people.erin)

    assert User.objects.get(pk=dora.user.pk).phone is None


Backup = dict[str, list[str]]


def back_up(tables: set[str]) -> Backup:
    with connection.cursor() as cursor:
        found = {}
        for table in sorted(tables):
            cursor.execute(f'SELECT row_to_json(t)::text FROM "{table}" AS t')
            found[table] = [text for (text,) in cursor.fetchall()]
        return found


def restore(backup: Backup) -> None:
    """As a restored dump would: what these tables hold now goes, what they held then comes back."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")
        for table, rows in backup.items():
            cursor.execute(f'DELETE FROM "{table}"')
            for row in rows:
                cursor.execute(
                    f'INSERT INTO "{table}" OVERRIDING SYSTEM VALUE'
                    f' SELECT * FROM json_populate_record(NULL::"{table}", %s)',
                    [row],
                )
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")


def test_restored_backup_forgets_again(dora: Known, neighbour: Known, people: People, journal: Path) -> None:
    before = everywhere(dora.marks)
    backup = back_up(before | {"tenants_erasure", "tenants_grant"})
    erase_person(user=dora.user, actor=people.erin)
    restore(backup)
    assert (everywhere(dora.marks), Erasure.objects.count()) == (before, 0)  # control: everything is back

    call_command("reapply_erasures", stdout=StringIO())

    assert everywhere(dora.marks) == KEPT
    assert everywhere(neighbour.marks) == before
    assert Erasure.objects.get().user_id == dora.user.pk
    assert len(ids_in(journal)) == 1
    assert reapply_erasures() == 0


def test_restored_rental_that_ran_does_not_keep_a_name(dora: Known, people: People) -> None:
    backup = back_up({"tenants_user", "tenants_erasure"})
    erase_person(user=dora.user, actor=people.erin)
    restore(backup)
    running = make_rental(customer=dora.user)

    assert reapply_erasures() == 1

    assert Rental.objects.get(pk=running.pk).customer.phone is None


def test_lost_journal_is_written_again_from_the_table(dora: Known, people: People, journal: Path) -> None:
    erase_person(user=dora.user, actor=people.erin)
    line = journal.read_text()
    journal.unlink()

    assert reapply_erasures() == 0

    assert json.loads(journal.read_text())["id"] == json.loads(line)["id"]


def test_torn_line_of_the_journal_is_passed_over(dora: Known, people: People, journal: Path) -> None:
    backup = back_up({"tenants_user", "tenants_erasure"})
    erase_person(user=dora.user, actor=people.erin)
    restore(backup)
    journal.write_text(f'{{"id": "7c9e\n{journal.read_text()}{{"id": "7c')

    assert reapply_erasures() == 1


def test_torn_line_swallows_no_later_erasure(dora: Known, neighbour: Known, people: People, journal: Path) -> None:
    erase_person(user=dora.user, actor=people.erin)
    journal.write_bytes(journal.read_bytes() + b'{"id": "7c\xd7')

    erase_person(user=neighbour.user, actor=people.erin)

    assert read_journal() == {dora.user.pk, neighbour.user.pk}


def test_nobody_is_erased_where_the_disk_takes_half_a_line(
    dora: Known, neighbour: Known, people: People, journal: Path
) -> None:
    room = 2**20  # more than anything else this process writes meanwhile
    journal.write_text("\n" * room)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room + 20, hard))
    try:
        with pytest.raises(Unavailable):
            erase_person(user=dora.user, actor=people.erin)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    erase_person(user=neighbour.user, actor=people.erin)

    assert User.objects.get(pk=dora.user.pk).phone == dora.user.phone
    assert read_journal() == {neighbour.user.pk}


def test_new_journal_is_on_the_disk_with_its_name(
    dora: Known, people: People, journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_ino))

    erase_person(user=dora.user, actor=people.erin)

    assert synced == [journal.stat().st_ino, journal.parent.stat().st_ino]


def test_nobody_is_erased_without_the_journal(dora: Known, people: People, settings: Settings, tmp_path: Path) -> None:
    settings.ERASURE_JOURNAL = str(tmp_path / "no such folder" / "erasures.jsonl")

    with pytest.raises(Unavailable):
        erase_person(user=dora.user, actor=people.erin)

    assert User.objects.get(pk=dora.user.pk).phone == dora.user.phone
    assert not Erasure.objects.exists()


def test_commands_tell_and_forget(dora: Known, tmp_path: Path) -> None:
    target = tmp_path / "dora.json"
    call_command("export_person", phone=dora.user.phone, to=str(target))
    call_command("erase_person", id=str(dora.user.pk), yes=True, stdout=StringIO())

    assert json.loads(target.read_text())["data"]["tenants.user"][0]["phone"] == dora.user.phone
    assert target.stat().st_mode & 0o777 == 0o600
    assert User.objects.get(pk=dora.user.pk).erased_at


@pytest.mark.parametrize("named", [{"email": "nobody@example.com"}, {"phone": "12"}, {"id": "x"}])
def test_command_for_nobody_says_so(named: dict[str, str]) -> None:
    with pytest.raises(CommandError, match="nobody is known by that"):
        call_command("erase_person", yes=True, **named)


def test_command_refuses_while_a_cart_is_out(dora: Known) -> None:
    make_rental(customer=dora.user)

    with pytest.raises(CommandError, match="still runs"):
        call_command("erase_person", email=dora.user.email, yes=True)
