"""What a model says about people, taken at its word."""

import json
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from django.db.models import Q

from core import privacy
from core.models import AuditEntry
from core.privacy import OnErasure, Personal, declared, erase, export, personal_of, run_retention

pytestmark = pytest.mark.django_db


@pytest.fixture
def person() -> Any:
    return SimpleNamespace(pk=uuid4(), address="192.0.2.7", names=("deed", "Another"), nothing=None)


def make_entry(**fields: Any) -> AuditEntry:
    return AuditEntry.objects.create(
        **{"actor_kind": "person", "action": "deed", "entity": "x", "entity_id": "1", **fields}
    )


def said(monkeypatch: pytest.MonkeyPatch, **about: Any) -> Personal:
    """The only model that says anything says this."""
    personal = Personal(**{"told": ("action", "address"), **about})
    monkeypatch.setattr(privacy, "declared", lambda: {AuditEntry: personal})
    return personal


def found(personal: Personal, person: Any) -> set[AuditEntry]:
    return set(AuditEntry.objects.filter(personal.about(person)))


def test_rows_are_found_by_key_and_by_value_in_any_case(person: Any) -> None:
    by_key, by_value = make_entry(actor_id=person.pk), make_entry(action="ANOTHER")
    make_entry(actor_id=uuid4(), action="other")

    assert found(Personal(told=(), subjects=("actor_id",)), person) == {by_key}
    assert found(Personal(told=(), known_by={"action": "names"}), person) == {by_key, by_value}


def test_person_without_a_value_is_not_everybody_without_one(person: Any) -> None:
    make_entry(reason="")

    assert found(Personal(told=(), known_by={"reason": "nothing"}), person) == set()
    assert found(Personal(told=()), person) == set()


def test_erasing_leaves_deletes_or_empties_as_said(person: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    other = make_entry(actor_id=uuid4(), address="192.0.2.8", reason="why")
    for kind, left in (
        (OnErasure.KEEP, [("192.0.2.7", "why")]),
        (OnErasure.BLANK, [(None, "")]),
        (OnErasure.DELETE, []),
    ):
        AuditEntry.objects.exclude(pk=other.pk).delete()
        make_entry(actor_id=person.pk, address="192.0.2.7", reason="why")
        said(monkeypatch, subjects=("actor_id",), fields=frozenset({"address", "reason"}), on_erasure=kind)

        erase(person)

        assert list(AuditEntry.objects.exclude(pk=other.pk).values_list("address", "reason")) == left
    other.refresh_from_db()
    assert (other.address, other.reason) == ("192.0.2.8", "why")


def test_export_is_one_document_with_a_list_of_contents(person: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        make_entry(actor_id=person.pk, action=f'"{number}" ב', reason="left out")
    make_entry(actor_id=person.pk, action="not told")
    said(monkeypatch, subjects=("actor_id",), only=~Q(action="not told"))

    pieces = list(export(person))

    document = json.loads("".join(pieces))
    assert len(pieces) > 4
    assert document["person"] == str(person.pk)
    assert document["contents"] == [
        {"kind": "core.auditentry", "title": "Audit entries", "fields": ["action", "address"]}
    ]
    assert document["data"] == {
        "core.auditentry": [{"action": f'"{number}" ב', "address": None} for number in range(3)]
    }


def test_library_models_are_declared_like_ours() -> None:
    assert all(personal_of(model) is said for model, said in declared().items())
    assert {"tenants.user", "account.emailaddress", "mfa.authenticator"} <= {
        model._meta.label_lower for model in declared()
    }


def test_sweeps_of_the_apps_above_run_first(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    monkeypatch.setattr(privacy, "_sweeps", {})
    for name in ("tenants", "carts"):
        privacy.retention(name, lambda name=name: order.append(name) or len(order))

    assert (run_retention(), order) == ({"carts": 1, "tenants": 2}, ["carts", "tenants"])
