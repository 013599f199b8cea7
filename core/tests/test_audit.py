"""Who did it, from where, and in whose name."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from django.test import Client
from django.utils.translation import gettext_lazy as _

from carts.services import put_in_maintenance
from carts.tests.factories import make_cart
from core import audit
from core.models import ActorKind, AuditEntry
from core.request_id import current_request_id
from devices.tests.factories import make_device
from tenants.models import Chain
from tenants.tests.factories import make_branch, make_chain, make_people, make_user
from tenants.tests.signing_in import sign_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def chain() -> Chain:
    return make_chain()


def last() -> AuditEntry:
    return AuditEntry.objects.latest("pk")


def test_person_is_told_by_id_alone(chain: Chain) -> None:
    erin = make_user(name="Erin")

    audit.record("tried", chain, actor=erin)

    assert (last().actor_kind, last().actor_id, last().actor_name) == (ActorKind.PERSON, erin.pk, "")


def test_program_is_known_by_its_client_id(chain: Chain) -> None:
    program = make_user(client_id="abc.access")

    audit.record("tried", chain, actor=program)

    assert (last().actor_kind, last().actor_id) == (ActorKind.PROGRAM, program.pk)


def test_person_with_a_personal_token_is_a_program(chain: Chain) -> None:
    erin, token = make_user(), uuid4()

    with audit.origin(audit.Origin()):
        audit.amend_origin(token=token)
        audit.record("tried", chain, actor=erin)

    assert (last().actor_kind, last().actor_id, last().token_id) == (ActorKind.PROGRAM, erin.pk, token)


def test_device_is_told_by_its_row_and_by_its_bare_id(chain: Chain) -> None:
    device = make_device()

    audit.record("tried", chain, actor=device)
    audit.record("tried", chain, actor=device.pk)

    rows = AuditEntry.objects.values_list("actor_kind", "actor_id").order_by("pk")
    assert list(rows) == [(ActorKind.DEVICE, device.pk)] * 2


@pytest.mark.parametrize(
    ("actor", "name"), [("clock", "clock"), (None, "system"), ("", "system"), ("x" * 90, "x" * 80)]
)
def test_job_is_told_by_name(chain: Chain, actor: object, name: str) -> None:
    audit.record("tried", chain, actor=actor)

    assert (last().actor_kind, last().actor_id, last().actor_name) == (ActorKind.JOB, None, name)


def test_acting_as_somebody_tells_both(chain: Chain) -> None:
    alice, erin = make_user(), make_user()

    with audit.origin(audit.Origin(address="192.0.2.7", behind=erin.pk)):
        audit.record("tried", chain, actor=alice)

    assert (last().actor_id, last().behind_id, last().address) == (alice.pk, erin.pk, "192.0.2.7")


def test_origin_ends_with_what_it_was_for(chain: Chain) -> None:
    with audit.origin(audit.Origin(address="192.0.2.7")):
        pass

    audit.record("tried", chain, actor="test")

    assert last().address is None


def test_request_is_named(chain: Chain) -> None:
    token = current_request_id.set("request-1234")
    try:
        audit.record("tried", chain, actor="test")
    finally:
        current_request_id.reset(token)

    assert last().request_id == "request-1234"


def test_place_comes_from_the_thing_or_is_said() -> None:
    branch, nobody = make_branch(), make_user()

    audit.record("tried", branch, actor="test")
    audit.record("tried", branch.chain, actor="test")
    audit.record("tried", nobody, actor="test")
    audit.record("tried", nobody, actor="test", place=branch)

    found = AuditEntry.objects.order_by("pk").values_list("chain_id", "branch_id")
    here = (branch.chain_id, branch.pk)
    assert list(found) == [here, (branch.chain_id, None), (None, None), here]


def test_values_are_told_so_that_they_can_be_read_again(chain: Chain) -> None:
    at = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
    values = {
        "at": at,
        "day": date(2026, 11, 21),
        "amount": Decimal("12.50"),
        "id": chain.pk,
        "row": chain,
        "rows": [chain],
        "word": _("Chain"),
        "time": timedelta(hours=1),
        "other": frozenset({1}),
    }

    audit.record("tried", chain, actor="test", after=values)

    assert last().after == {
        "at": "2026-11-21T09:00:00Z",
        "day": "2026-11-21",
        "amount": "12.50",
        "id": str(chain.pk),
        "row": str(chain.pk),
        "rows": [str(chain.pk)],
        "word": "Chain",
        "time": "P0DT01H00M00S",
        "other": "frozenset({1})",
    }


def test_request_of_a_manager_is_told_with_its_address_and_its_id() -> None:
    people = make_people()
    cart, client = make_cart(branch=people.branch), Client(REMOTE_ADDR="192.0.2.9")
    sign_in(client, people.alice)

    response = client.post(f"/control/branches/{people.branch.pk}/carts/{cart.pk}/maintenance", {"note": "A wheel"})

    told = last()
    assert (told.action, told.actor_id, told.reason) == ("put in maintenance", people.alice.pk, "A wheel")
    assert (told.before, told.after) == ({"condition": "ok"}, {"condition": "maintenance"})
    assert (told.address, told.request_id) == ("192.0.2.9", response["X-Request-Id"])


def test_deed_done_twice_is_told_once() -> None:
    cart = make_cart()

    put_in_maintenance(cart=cart, note="A wheel", actor="test")
    put_in_maintenance(cart=cart, note="A wheel", actor="test")

    assert AuditEntry.objects.count() == 1
