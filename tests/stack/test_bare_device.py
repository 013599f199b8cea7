"""A second Pi written by nobody here works: a stranger's client and a stranger's customer, from the documents alone."""

import re
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.running_stack import RunningStack, running_stack, wait_until
from tests.stack.bare_device import BareDevice, Documents

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("bare-stack")]


@pytest.fixture(scope="module")
def stack() -> Iterator[RunningStack]:
    with running_stack(SIMULATED_PI="0") as started:
        yield started


@pytest.fixture(scope="module")
def documents() -> Documents:
    return Documents()


@pytest.fixture(scope="module")
def device(stack: RunningStack, documents: Documents) -> Iterator[BareDevice]:
    """Takes the place of the demo's Pi."""
    stranger = BareDevice(stack.run["web"], documents)
    code = stack.manage("create_enrolment_code", "--branch", "BRANCH-001", "--device", "demo-pi")
    registered = stranger.register(branch_code="BRANCH-001", enrolment_code=code, mac_address="02:AA:00:00:00:01")
    assert registered.status_code == 201, registered.text
    stranger.heartbeat()
    # The broker learns of the account a moment after the registration.
    wait_until(lambda: _connects(stranger), within_s=20)
    yield stranger
    stranger.close()


@pytest.fixture(scope="module")
def customer(stack: RunningStack, documents: Documents) -> Iterator[httpx.Client]:
    """A customer's program: phone, code from the SMS inbox, bearer token."""
    phone = f"+97250{uuid.uuid4().int % 10_000_000:07d}"
    with httpx.Client(base_url=stack.run["web"], timeout=10) as client:
        asked = client.post(documents.path("otp_request"), json={"phone": phone})
        assert asked.status_code == 202
        inbox = httpx.get(f"{stack.run['simulators']['sms']}/messages", params={"to": phone}, timeout=10).json()
        code = re.search(r"\b\d{6}\b", inbox[0]["text"])
        assert code
        given = {"challenge": asked.json()["challenge"], "phone": phone, "code": code.group()}
        tokens = client.post(documents.path("otp_verify"), json=given).json()
        client.headers["Authorization"] = f"Bearer {tokens['access']}"
        yield client


@pytest.fixture(scope="module")
def branch_id(stack: RunningStack, documents: Documents) -> str:
    token = stack.manage("issue_token", "--email", "boss@example.com", "--role", "manager")
    path = stack.run["web"] + documents.path("branch_list")
    answer = httpx.get(path, params={"code": "BRANCH-001"}, headers={"Authorization": f"Bearer {token}"}, timeout=10)
    return str(answer.json()["results"][0]["id"])


def test_unlock_and_return_by_a_stranger_open_and_close_a_rental(
    device: BareDevice, customer: httpx.Client, documents: Documents, branch_id: str
) -> None:
    cart = device.given["config"]["carts"][0]

    started = _assign(customer, documents, branch_id, cart["cart_number"])
    topic, retained, command = device.next_command()
    pending = _rental(customer, documents, branch_id, started["rental_id"])
    device.answer(cart["id"], command, "acked")
    device.answer(cart["id"], command, "done", lock="unlocked", present=True)
    running = wait_until(lambda: _in_state(customer, documents, branch_id, started["rental_id"], "active"))
    device.report(cart["id"], lock="unlocked", present=False)
    device.report(cart["id"], lock="locked", present=True)
    returned = wait_until(lambda: _in_history(customer, documents, branch_id, started["rental_id"]))

    assert started["status"] == "pending_unlock"
    assert pending["status"] == "pending_unlock"
    assert topic == documents.topic("cartUnlock", chain=device.chain, branch=device.branch, cart_id=cart["id"])
    assert retained is False
    assert (command["type"], command["connection_id"]) == ("unlock", str(device.connection_id))
    assert running["start_time"]
    assert returned["status"] == "returned"


def test_answer_sent_twice_changes_nothing(
    device: BareDevice, customer: httpx.Client, documents: Documents, branch_id: str
) -> None:
    cart = device.given["config"]["carts"][1]

    started = _assign(customer, documents, branch_id, cart["cart_number"])
    _, _, command = device.next_command()
    failed = device.answer(cart["id"], command, "failed", reason="not_observed", lock="locked", present=True)
    device.send_again(cart["id"], failed)
    device.answer(cart["id"], command, "done", lock="unlocked", present=True)
    voided = wait_until(lambda: _in_history(customer, documents, branch_id, started["rental_id"]))

    assert voided["status"] == "voided"
    assert _open_rentals(customer, documents, branch_id) == []
    device.report(cart["id"], lock="locked", present=True)


def test_hostile_payloads_leave_the_line_working(
    device: BareDevice, customer: httpx.Client, documents: Documents, branch_id: str
) -> None:
    cart = device.given["config"]["carts"][2]

    for payload in (b"", b"\xff\x00{", b"[" * 50_000, b'{"v": 1}', b'{"v": 1, "seq": NaN}', b"x" * 200_000):
        device.send_raw(cart["id"], payload)
    started = _assign(customer, documents, branch_id, cart["cart_number"])
    _, _, command = device.next_command()
    device.answer(cart["id"], command, "done", lock="unlocked", present=True)

    assert wait_until(lambda: _in_state(customer, documents, branch_id, started["rental_id"], "active"))
    device.report(cart["id"], lock="locked", present=True)
    wait_until(lambda: _in_history(customer, documents, branch_id, started["rental_id"]))


def test_registration_with_a_used_code_is_refused_like_any_other(stack: RunningStack, documents: Documents) -> None:
    stranger = BareDevice(stack.run["web"], documents)
    code = stack.manage("create_enrolment_code", "--branch", "BRANCH-002")
    first = stranger.register(branch_code="BRANCH-002", enrolment_code=code, mac_address="02:AA:00:00:00:02")

    again = stranger.register(branch_code="BRANCH-002", enrolment_code=code, mac_address="02:AA:00:00:00:03")
    unknown = stranger.register(branch_code="NOWHERE", enrolment_code="2222-2222", mac_address="02:AA:00:00:00:04")
    stranger.close()

    assert first.status_code == 201
    assert again.status_code == unknown.status_code == 403
    assert {**again.json(), "request_id": ""} == {**unknown.json(), "request_id": ""}


def _connects(device: BareDevice) -> bool:
    try:
        device.connect()
    except AssertionError:
        raise
    except Exception:
        return False
    return True


def _assign(customer: httpx.Client, documents: Documents, branch_id: str, cart_number: int) -> dict[str, Any]:
    path = documents.path("cart_assign", branch_id=branch_id)

    def tried() -> httpx.Response | None:
        key = {"Idempotency-Key": str(uuid.uuid4())}
        answer = customer.post(path, json={"cart_number": cart_number}, headers=key)
        # Right after its birth the cloud may not know yet that the device is there.
        return None if answer.status_code == 503 else answer

    answer = wait_until(tried)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def _open_rentals(customer: httpx.Client, documents: Documents, branch_id: str) -> list[dict[str, Any]]:
    return list(customer.get(documents.path("rental_active_list", branch_id=branch_id)).json()["results"])


def _rental(customer: httpx.Client, documents: Documents, branch_id: str, rental_id: str) -> dict[str, Any]:
    return next(row for row in _open_rentals(customer, documents, branch_id) if row["rental_id"] == rental_id)


def _in_state(
    customer: httpx.Client, documents: Documents, branch_id: str, rental_id: str, state: str
) -> dict[str, Any] | None:
    rows = _open_rentals(customer, documents, branch_id)
    return next((row for row in rows if row["rental_id"] == rental_id and row["status"] == state), None)


def _in_history(customer: httpx.Client, documents: Documents, branch_id: str, rental_id: str) -> dict[str, Any] | None:
    rows = customer.get(documents.path("rental_history_list", branch_id=branch_id)).json()["results"]
    return next((row for row in rows if row["rental_id"] == rental_id), None)
