"""Writing a row tells the audit what changed: those fields, as they were and as they are, in the same transaction."""

from decimal import Decimal

import pytest
from django.db import transaction
from django.utils import timezone

from core.audit import HIDDEN
from core.errors import DomainError, InvalidInput
from core.models import AuditEntry
from core.rows import delete_row, note, save_row
from devices.models import KnownMac
from tenants.models import Branch, SignInLink, User
from tenants.tests.factories import make_branch, make_chain, make_user

pytestmark = pytest.mark.django_db


def last() -> AuditEntry:
    return AuditEntry.objects.latest("pk")


def test_new_row_is_told_with_what_it_was_made_with() -> None:
    chain, erin = make_chain(), make_user()

    branch = save_row(Branch(), changes={"chain": chain, "code": "NEW", "name": "New"}, actor=erin)

    told = last()
    assert (told.action, told.entity, told.entity_id) == ("created", "tenants.branch", str(branch.pk))
    assert (told.before, told.after) == (None, {"chain": str(chain.pk), "code": "NEW", "name": "New"})
    assert (told.chain_id, told.branch_id, told.actor_id) == (chain.pk, branch.pk, erin.pk)


def test_only_changed_fields_are_told_as_they_were_and_are() -> None:
    branch = make_branch(name="Old", city="Haifa", latitude=Decimal("32.10000000"))

    save_row(branch, changes={"name": "New", "city": "Haifa", "latitude": Decimal("32.5")}, actor="test")

    assert last().before == {"name": "Old", "latitude": "32.10000000"}
    assert last().after == {"name": "New", "latitude": "32.5"}


def test_form_that_wrote_into_the_row_before_hides_nothing() -> None:
    """The admin's forms set the new values on the row they were given."""
    branch = make_branch(name="Old")
    branch.name = "New"

    save_row(branch, changes={"name": "New"}, actor="test")

    assert (last().before, last().after) == ({"name": "Old"}, {"name": "New"})


def test_foreign_key_is_told_by_key() -> None:
    first, second = make_chain(), make_chain()
    known = KnownMac.objects.create(chain=first, mac_address="02:00:00:00:00:AA")

    save_row(known, changes={"chain": second}, actor="test")

    assert (last().before, last().after) == ({"chain": str(first.pk)}, {"chain": str(second.pk)})
    assert last().chain_id == second.pk


def test_nothing_changed_is_nothing_told() -> None:
    branch = make_branch(name="Same")

    save_row(branch, changes={"name": "Same"}, actor="test")

    assert not AuditEntry.objects.exists()


def test_personal_fields_are_told_as_changed_and_not_what_they_were() -> None:
    user = make_user(email="old@example.com", name="")

    save_row(user, changes={"email": "new@example.com", "name": "Dora", "language": "he"}, actor="test")

    assert last().before == {"email": HIDDEN, "name": "", "language": "en"}
    assert last().after == {"email": HIDDEN, "name": HIDDEN, "language": "he"}


def test_deleted_row_is_told_with_all_it_was_but_secrets() -> None:
    user = make_user(password="a password that is long")
    key = str(user.pk)
    link = SignInLink.objects.create(token_hash="f" * 64, user=user, expires_at=timezone.now())

    delete_row(link, actor="test")
    delete_row(user, actor="test")

    of_link, of_user = AuditEntry.objects.order_by("pk")
    assert of_link.before["token_hash"] == HIDDEN
    assert of_link.before["user"] == key
    assert of_link.before["expires_at"].endswith("Z")
    assert (of_user.before["password"], of_user.before["email"]) == (HIDDEN, HIDDEN)
    assert not User.objects.filter(pk=key).exists()


def test_row_that_others_need_is_not_told_as_deleted() -> None:
    branch = make_branch()

    with pytest.raises(DomainError):
        delete_row(branch.chain, actor="test")

    assert not AuditEntry.objects.exists()


def test_refused_change_is_not_told() -> None:
    branch = make_branch()

    with pytest.raises(InvalidInput):
        save_row(branch, changes={"time_zone": "Nowhere/At all"}, actor="test")

    assert not AuditEntry.objects.exists()


class Broken(Exception):
    pass


def test_what_is_rolled_back_is_not_told() -> None:
    branch = make_branch()

    def change_and_break() -> None:
        with transaction.atomic():
            save_row(branch, changes={"name": "Never"}, actor="test")
            note("tried", branch, actor="test")
            raise Broken

    with pytest.raises(Broken):
        change_and_break()

    assert not AuditEntry.objects.exists()


def test_note_tells_why_and_what_else(caplog: pytest.LogCaptureFixture) -> None:
    branch = make_branch()

    note("tried", branch, actor="test", reason="because", name="a name the log has too")

    assert (last().reason, last().after) == ("because", {"name": "a name the log has too"})
