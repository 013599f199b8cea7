"""How a Pi comes in, over HTTP as a Pi does it."""

import json
import random
import threading
from collections.abc import Callable
from datetime import timedelta
from threading import Barrier
from typing import Any
from uuid import uuid4

import pytest
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.http import HttpResponse
from django.test import Client
from pytest_django import Settings

from bench.soak.rogues import attack
from core.models import StateChange
from core.tests.fixtures import lose_counters
from core.tests.race import DEADLINE_S, lock_no_rows, lock_waiters, meet_before, race, race_each, wait_for
from core.transitions import IllegalTransition
from devices import services
from devices.enums import DeviceState, PresenceState
from devices.models import Device, DeviceToken, EnrolmentCode, KnownMac, Presence
from devices.services import enrolment
from devices.services.tokens import device_of_token
from devices.tests.factories import make_controller, make_device, make_device_token
from tenants.models import Branch
from tenants.tests.factories import make_branch, make_chain, make_user

pytestmark = pytest.mark.django_db

MAC = "AA:BB:CC:DD:EE:FF"


@pytest.fixture(autouse=True)
def _no_bridge_to_wait_for(settings: Settings) -> None:
    settings.BROKER_WAIT_S = 0


def register(branch_code: str, code: str = "", *, mac: str = MAC, **fields: Any) -> HttpResponse:
    body = {"mac_address": mac, "serial_number": "RPI-1", "branch_code": branch_code, "enrolment_code": code}
    return Client().post("/api/devices/register", body | fields, content_type="application/json")


def new_code(branch: Branch, **fields: Any) -> str:
    return services.create_enrolment_code(branch=branch, **fields)[1]


def rows() -> tuple[int, ...]:
    """Everything a registration may write."""
    return tuple(model.objects.count() for model in (Device, Presence, DeviceToken, StateChange)) + (
        EnrolmentCode.objects.filter(used_at__isnull=False).count(),
    )


def without_id(response: HttpResponse) -> bytes:
    """The body without the request's id, which differs by design and is in a header as well."""
    body = json.loads(response.content)
    assert body.pop("request_id")
    return json.dumps(body, sort_keys=True).encode()


def test_new_pi_with_a_code_is_admitted() -> None:
    branch = make_branch()

    response = register(branch.code, new_code(branch), mac="aa-bb-cc-dd-ee-ff")

    body = response.json()
    device = Device.objects.get()
    assert response.status_code == 201
    assert (device.state, device.mac_address, device.branch) == (DeviceState.ACTIVE, MAC, branch)
    assert body["device_id"] == str(device.pk)
    assert device_of_token(body["device_token"]) == device
    assert body["mqtt_config"]["client_id"] == body["mqtt_config"]["username"] == str(device.pk)
    assert body["mqtt_config"]["topic"] == f"cartwise/{branch.chain.slug}/{branch.code}/devices/{device.pk}"
    assert body["config"] == {"version": 1, "controllers": [], "carts": []}
    assert (body["heartbeat_interval_s"], body["telemetry_interval_s"]) == (30, 60)


def test_code_is_kept_as_an_hmac_only() -> None:
    row, code = services.create_enrolment_code(branch=make_branch())

    assert len(code) == 9
    assert code not in str(vars(row))
    assert code.replace("-", "") not in str(vars(row))


@pytest.mark.parametrize(
    "typed", [str.lower, " {} ".format, lambda code: code.replace("-", ""), lambda code: code.lower().replace("-", " ")]
)
def test_code_is_the_same_however_it_was_typed(typed: Callable[[str], str]) -> None:
    branch = make_branch()

    assert register(branch.code, typed(new_code(branch))).status_code == 201


def _refusals(branch: Branch) -> dict[str, tuple[str, str, str]]:
    """Every reason to refuse, as (branch code, enrolment code, MAC)."""
    used = new_code(branch)
    assert register(branch.code, used, mac="AA:AA:AA:AA:AA:01").status_code == 201
    expired = new_code(branch, lifetime=timedelta(seconds=-1))
    closed_branch, closed_chain = make_branch(active=False), make_branch(chain=make_chain(active=False))
    known = make_device(mac_address="AA:AA:AA:AA:AA:02")
    return {
        "unknown code": (branch.code, "ZZZZ-ZZZZ", MAC),
        "no code": (branch.code, "", MAC),
        "used code": (branch.code, used, MAC),
        "expired code": (branch.code, expired, MAC),
        "code of another branch": (make_branch().code, new_code(branch), MAC),
        "unknown branch": ("BRANCH-NOWHERE", new_code(branch), MAC),
        "closed branch": (closed_branch.code, new_code(closed_branch), MAC),
        "closed chain": (closed_chain.code, new_code(closed_chain), MAC),
        "known MAC": (branch.code, new_code(branch), str(known.mac_address)),
    }


def test_every_refusal_has_the_same_body_and_writes_no_row() -> None:
    refusals = _refusals(make_branch())
    before = rows()

    responses = {why: register(code, enrolment, mac=mac) for why, (code, enrolment, mac) in refusals.items()}
    responses["wrong claim"] = register("BRANCH-1", claim="made-up")

    assert {why: response.status_code for why, response in responses.items()} == dict.fromkeys(responses, 403)
    assert len({without_id(response) for response in responses.values()}) == 1
    assert rows() == before


def test_refused_known_mac_does_not_use_up_the_code() -> None:
    branch, known = make_branch(), make_device()
    code = new_code(branch)

    refused = register(branch.code, code, mac=str(known.mac_address))

    assert refused.status_code == 403
    assert register(branch.code, code).status_code == 201


@pytest.mark.parametrize(
    "wrong", [{"mac_address": "AA:BB"}, {"mac_address": "AA:BB:CC:DD:EE:FG"}, {"serial_number": "\0"}, {"claim": ["x"]}]
)
def test_malformed_registration_says_which_field(wrong: dict[str, Any]) -> None:
    response = register("BRANCH-1", "ZZZZ-ZZZZ", **wrong)

    body = response.json()
    assert response.status_code == 400
    assert list(body["errors"]) == list(wrong)
    assert not Device.objects.exists()


def _two_with_one_code() -> list[int]:
    branch = make_branch()
    code = new_code(branch)
    macs = iter(["AA:AA:AA:AA:AA:01", "AA:AA:AA:AA:AA:02"])
    return sorted(
        response.status_code for response in race(lambda: register(branch.code, code, mac=next(macs)), times=2)
    )


@pytest.mark.django_db(transaction=True)
def test_code_used_by_two_at_once_admits_one() -> None:
    assert _two_with_one_code() == [201, 403]
    assert Device.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_code_used_by_two_at_once_admits_one_control(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the lock on the code's row both get in."""
    both_read = Barrier(2)
    first = QuerySet.first

    def first_together(queryset: QuerySet[Any]) -> Any:
        found = first(queryset)
        if queryset.model is EnrolmentCode:
            both_read.wait(DEADLINE_S)
        return found

    lock_no_rows(monkeypatch)
    monkeypatch.setattr(QuerySet, "first", first_together)

    assert _two_with_one_code() == [201, 201]


def _two_with_one_mac(monkeypatch: pytest.MonkeyPatch) -> set[type]:
    """Each with a code of its own; both look for the MAC before either has written it. What they were answered."""
    branch = make_branch()
    codes = iter([new_code(branch), new_code(branch)])
    meet_before(monkeypatch, enrolment, "_needs_approval", parties=2)
    said = {"mac_address": MAC, "serial_number": "RPI-1", "branch_code": branch.code, "claim": "", "address": "x"}
    answers = race(lambda: services.register_device(code=next(codes), **said), times=2)
    return {type(answer) for answer in answers}


@pytest.mark.django_db(transaction=True)
def test_mac_registered_twice_at_once_is_admitted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _two_with_one_mac(monkeypatch) == {enrolment.Registration, enrolment.EnrolmentRefused}
    assert (Device.objects.count(), EnrolmentCode.objects.filter(used_at__isnull=True).count()) == (1, 1)


@pytest.mark.django_db(transaction=True)
def test_mac_registered_twice_at_once_is_admitted_once_control(monkeypatch: pytest.MonkeyPatch) -> None:
    """Were the database's refusal not understood, the second would be told of a fault of ours."""
    monkeypatch.setattr(enrolment, "IntegrityError", ZeroDivisionError)

    assert _two_with_one_mac(monkeypatch) == {enrolment.Registration, IntegrityError}


# A prepared device.


def test_whoever_has_the_code_of_a_prepared_device_becomes_it() -> None:
    device = services.prepare_device(branch=make_branch(), name="demo-pi")
    controller = make_controller(device=device, address=0)

    response = register(device.branch.code, new_code(device.branch, device=device))

    body = response.json()
    assert (response.status_code, body["device_id"]) == (201, str(device.pk))
    assert [board["id"] for board in body["config"]["controllers"]] == [str(controller.pk)]
    assert Device.objects.get().mac_address == MAC


def test_another_pi_takes_over_a_device_and_the_old_token_is_dead() -> None:
    device = make_device()
    old = make_device_token(device=device)
    assert device_of_token(old) == device

    body = register(device.branch.code, new_code(device.branch, device=device)).json()

    assert device_of_token(old) is None
    assert device_of_token(body["device_token"]) == device
    device.refresh_from_db()
    assert device.mac_address == MAC


def test_same_pi_may_enrol_as_its_device_again() -> None:
    device = make_device(mac_address=MAC)

    assert register(device.branch.code, new_code(device.branch, device=device)).status_code == 201


def test_revoked_device_comes_back_with_a_code_of_its_own() -> None:
    device = make_device()
    services.revoke_device(device=device, actor=make_user())

    body = register(device.branch.code, new_code(device.branch, device=device)).json()

    assert device_of_token(body["device_token"]) == device


def _configured_while_it_registers(monkeypatch: pytest.MonkeyPatch) -> int:
    """The configuration changes after the code was looked up. Answers the version the device has in the end."""
    device = services.prepare_device(branch=make_branch(), name="demo-pi")
    needs_approval = enrolment._needs_approval

    def change_first(*arguments: Any, **named: Any) -> bool:
        services.bump_config(device_ids=[device.pk], actor="test")
        return needs_approval(*arguments, **named)

    monkeypatch.setattr(enrolment, "_needs_approval", change_first)
    assert register(device.branch.code, new_code(device.branch, device=device)).status_code == 201
    return Device.objects.get().config_version


def test_registration_undoes_no_change_of_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _configured_while_it_registers(monkeypatch) == 2


def test_registration_undoes_no_change_of_the_configuration_control(monkeypatch: pytest.MonkeyPatch) -> None:
    """Saving the row as it was read with the code puts the old version back."""

    def save_all(row: EnrolmentCode, mac_address: str, serial_number: str) -> Device:
        assert row.device is not None
        row.device.mac_address, row.device.serial_number = mac_address, serial_number
        row.device.save()
        return row.device

    monkeypatch.setattr(enrolment, "_device_for", save_all)

    assert _configured_while_it_registers(monkeypatch) == 1


def _revoked_while_it_registers(monkeypatch: pytest.MonkeyPatch) -> str:
    """A person revokes the device when its code was taken already. Answers the device's state in the end."""
    device = services.prepare_device(branch=make_branch(), name="demo-pi")
    code, actor = new_code(device.branch, device=device), make_user()
    taken, revoked = threading.Event(), threading.Event()
    needs_approval = enrolment._needs_approval

    def wait_first(*arguments: Any, **named: Any) -> bool:
        taken.set()
        wait_for(lambda: lock_waiters() or revoked.is_set(), "the revocation")
        return needs_approval(*arguments, **named)

    def revoke() -> None:
        assert taken.wait(DEADLINE_S)
        services.revoke_device(device=device, actor=actor)
        revoked.set()

    monkeypatch.setattr(enrolment, "_needs_approval", wait_first)
    answers = race_each([lambda: register(device.branch.code, code).status_code, revoke])
    assert answers == [201, None]
    return Device.objects.get().state


@pytest.mark.django_db(transaction=True)
def test_device_revoked_while_it_registers_is_out(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _revoked_while_it_registers(monkeypatch) == DeviceState.REVOKED
    assert not DeviceToken.objects.filter(ends_at__isnull=True).exists()


@pytest.mark.django_db(transaction=True)
def test_device_revoked_while_it_registers_is_out_control(monkeypatch: pytest.MonkeyPatch) -> None:
    """Were its codes left alone, the registration would bring it back."""
    monkeypatch.setattr(enrolment, "_end_codes", lambda device: None)

    assert _revoked_while_it_registers(monkeypatch) == DeviceState.ACTIVE


# Approval.


def approving_branch() -> Branch:
    return make_branch(chain=make_chain(approve_devices=True))


def test_pi_waits_until_a_person_says_yes() -> None:
    branch = approving_branch()

    asked = register(branch.code, new_code(branch))
    claim = asked.json()["claim"]
    again = register(branch.code, claim=claim)
    services.approve_device(device=Device.objects.get(), actor=make_user())
    admitted = register(branch.code, claim=claim)
    once_more = register(branch.code, claim=claim)

    assert [asked.status_code, again.status_code, admitted.status_code, once_more.status_code] == [202, 202, 201, 403]
    assert asked.json() == {"device_id": str(Device.objects.get().pk), "status": "pending", "claim": claim}
    assert device_of_token(admitted.json()["device_token"]) == Device.objects.get()


def test_waiting_pi_holds_no_token_and_its_claim_is_kept_as_a_hash() -> None:
    branch = approving_branch()

    claim = register(branch.code, new_code(branch)).json()["claim"]

    assert not DeviceToken.objects.exists()
    assert claim not in str(vars(Device.objects.get()))


def test_claim_works_only_with_the_mac_it_was_given_to() -> None:
    branch = approving_branch()
    claim = register(branch.code, new_code(branch)).json()["claim"]
    services.approve_device(device=Device.objects.get(), actor=make_user())

    assert register(branch.code, claim=claim, mac="AA:AA:AA:AA:AA:01").status_code == 403


@pytest.mark.parametrize("state", [DeviceState.PREPARED, DeviceState.REVOKED])
def test_only_a_device_that_waits_can_be_approved(state: str) -> None:
    device = make_device(state=state)

    with pytest.raises(IllegalTransition):
        services.approve_device(device=device, actor=make_user())

    device.refresh_from_db()
    assert device.state == state


def test_refused_pi_stays_out() -> None:
    branch = approving_branch()
    claim = register(branch.code, new_code(branch)).json()["claim"]
    services.revoke_device(device=Device.objects.get(), actor=make_user())

    assert register(branch.code, claim=claim).status_code == 403


@pytest.mark.parametrize(("registered_by_us", "status"), [(True, 201), (False, 202)])
def test_mac_its_own_chain_registered_before_need_not_wait(registered_by_us: bool, status: int) -> None:
    branch = approving_branch()
    KnownMac.objects.create(chain=branch.chain if registered_by_us else make_chain(), mac_address=MAC)

    assert register(branch.code, new_code(branch)).status_code == status


def test_revoked_device_waits_for_approval_as_well() -> None:
    device = make_device(branch=approving_branch())
    services.revoke_device(device=device, actor=make_user())

    asked = register(device.branch.code, new_code(device.branch, device=device), mac=str(device.mac_address))

    device.refresh_from_db()
    assert (asked.status_code, device.state) == (202, DeviceState.PENDING)


def test_other_hardware_for_an_active_device_waits_and_what_it_replaces_is_out() -> None:
    device = make_device(branch=approving_branch())
    old = make_device_token(device=device)

    asked = register(device.branch.code, new_code(device.branch, device=device))
    out = (device_of_token(old), Presence.objects.get().connection_id)
    services.approve_device(device=Device.objects.get(), actor=make_user())
    admitted = register(device.branch.code, claim=asked.json()["claim"])

    assert (asked.status_code, out, admitted.status_code) == (202, (None, None), 201)
    assert (device_of_token(old), device_of_token(admitted.json()["device_token"])) == (None, device)


@pytest.mark.parametrize("known_to", ["the device", "the chain"])
def test_known_hardware_for_an_active_device_need_not_wait(known_to: str) -> None:
    device = make_device(branch=approving_branch(), mac_address=MAC if known_to == "the device" else None)
    if known_to == "the chain":
        KnownMac.objects.create(chain=device.branch.chain, mac_address=MAC)

    assert register(device.branch.code, new_code(device.branch, device=device)).status_code == 201


# Revoking.


def test_revoked_device_is_offline_and_its_codes_are_dead() -> None:
    device = make_device()
    code = new_code(device.branch, device=device)
    other = new_code(device.branch)

    services.revoke_device(device=device, actor=make_user())

    presence = Presence.objects.get()
    assert (presence.state, presence.connection_id) == (PresenceState.OFFLINE, None)
    assert register(device.branch.code, code).status_code == 403
    assert register(device.branch.code, other).status_code == 201


def _revoked_while_its_birth_comes() -> Presence:
    """The birth waits for the row that the revocation holds."""
    device = make_device(connected=False)
    revoked, heard = threading.Event(), threading.Event()

    def revoke() -> None:
        with transaction.atomic():
            services.revoke_device(device=device, actor=make_user())
            revoked.set()
            wait_for(lambda: lock_waiters() or heard.is_set(), "the birth to wait")

    def hear() -> None:
        assert revoked.wait(DEADLINE_S)
        services.record_birth(device_id=device.pk, connection_id=uuid4(), boot_id=uuid4(), firmware_version="2")
        heard.set()

    assert race_each([revoke, hear]) == [None, None]
    return Presence.objects.get()


@pytest.mark.django_db(transaction=True)
def test_birth_that_waited_for_the_revocation_changes_nothing() -> None:
    assert _revoked_while_its_birth_comes().state == PresenceState.OFFLINE


@pytest.mark.django_db(transaction=True)
def test_birth_that_waited_for_the_revocation_changes_nothing_control(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asking the device before the lock brings a revoked device online."""
    monkeypatch.setattr(
        "devices.services.presence._lock",
        lambda pk: Presence.objects.select_related("device").filter(pk=pk, device__state="active").first(),
    )

    assert _revoked_while_its_birth_comes().state == PresenceState.ONLINE


# Rogues.


def test_rogues_from_many_addresses_are_refused_for_their_code_and_leave_no_row() -> None:
    found = attack(100, seed=random.randrange(10**6))

    assert found.held, found
    assert (found.sent, found.admitted, found.rows) == (100, 0, 0)


def test_rogues_are_admitted_without_the_check_of_the_code_control(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any code is taken for a living one of the branch, as long as there is one."""
    every = QuerySet.filter

    def careless(self: QuerySet[Any], *conditions: Any, **fields: Any) -> QuerySet[Any]:
        fields.pop("code_hmac", None)
        return every(self, *conditions, **fields)

    monkeypatch.setattr(QuerySet, "filter", careless)

    found = attack(100, seed=7)

    assert not found.held
    assert found.admitted > 0
    assert found.rows > 0


def test_rogues_are_not_admitted_and_told_to_wait() -> None:
    """Two hundred guesses from one address: none gets in, no row is written, and past the limit there is a wait."""
    branch = make_branch()
    new_code(branch)
    before = rows()

    responses = [register(branch.code, f"AAAA-{i:04d}", mac=f"02:00:00:00:00:{i:02X}") for i in range(200)]

    assert [response.status_code for response in responses] == [403] * 30 + [429] * 170
    assert {0 < int(response["Retry-After"]) <= 600 for response in responses[30:]} == {True}
    assert rows() == before


def test_limit_of_one_address_does_not_shut_out_another() -> None:
    branch = make_branch()
    for _ in range(31):
        register(branch.code, "AAAA-0000")

    body = {"mac_address": MAC, "branch_code": branch.code, "enrolment_code": new_code(branch)}
    response = Client(REMOTE_ADDR="192.0.2.7").post("/api/devices/register", body, content_type="application/json")

    assert response.status_code == 201


def test_registration_stops_when_the_counters_are_away(monkeypatch: pytest.MonkeyPatch) -> None:
    lose_counters(monkeypatch)
    branch = make_branch()

    assert register(branch.code, new_code(branch)).status_code == 503
    assert not Device.objects.exists()
