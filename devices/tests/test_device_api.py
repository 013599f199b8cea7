"""REST of devices and telemetry as people and programs ask it."""

import re
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from devices.models import Command, Device, Presence
from devices.services.telemetry import Event, store_telemetry
from devices.tests.api_client import Api
from devices.tests.factories import make_device, make_device_token
from devices.tests.messages import wire_time
from tenants.tests.factories import People, make_people

pytestmark = pytest.mark.django_db


@pytest.fixture
def people(db: None) -> People:
    return make_people()


@pytest.fixture
def device(people: People) -> Device:
    return make_device(branch=people.branch, name="ours")


@pytest.fixture
def strange(people: People) -> Device:
    return make_device(branch=people.strange_branch, name="theirs")


def tell(device: Device, *, count: int = 1, event_type: str = "cart_sensor", age: timedelta = timedelta(0)) -> None:
    at = timezone.now() - age
    store_telemetry(device=device, events=[Event(uuid4(), event_type, at, {"n": n}) for n in range(count)])


def names(response: Any) -> list[str]:
    assert response.status_code == 200, response.content
    return [row["device_name"] for row in response.json()["results"]]


def queries_of(api: Api, path: str) -> int:
    with CaptureQueriesContext(connection) as captured:
        assert api.get(path).status_code == 200
    return len(captured)


def test_everybody_sees_their_own_devices(people: People, device: Device, strange: Device) -> None:
    users = {name: getattr(people, name) for name in ("alice", "bob", "charlie", "dora", "erin")}

    seen = {name: names(Api(user).get("devices")) for name, user in users.items()}

    assert seen == {"alice": ["ours"], "bob": ["ours"], "charlie": ["theirs"], "dora": [], "erin": ["ours", "theirs"]}
    assert Api(None).get("devices").status_code == 401


@pytest.mark.parametrize("leaf", ["", "/status"])
def test_another_tenants_device_does_not_exist(people: People, strange: Device, leaf: str) -> None:
    theirs = Api(people.alice).get(f"devices/{strange.pk}{leaf}")
    nowhere = Api(people.alice).get(f"devices/{uuid4()}{leaf}")

    ours, other = theirs.json(), nowhere.json()
    assert (theirs.status_code, nowhere.status_code) == (404, 404)
    assert ours | {"request_id": ""} == other | {"request_id": ""}


def test_device_is_shown_without_secrets(people: People, device: Device) -> None:
    body = Api(people.alice).get(f"devices/{device.pk}").json()

    assert set(body) == {
        "id",
        "branch_id",
        "device_name",
        "mac_address",
        "serial_number",
        "state",
        "status",
        "last_heartbeat",
        "firmware_version",
        "wanted_firmware",
        "config_version",
        "created_at",
    }
    assert (body["id"], body["branch_id"], body["status"]) == (str(device.pk), str(people.branch.pk), "online")


def test_times_are_utc_with_milliseconds(people: People, device: Device) -> None:
    tell(device)
    api = Api(people.alice)
    shown, status = api.get(f"devices/{device.pk}").json(), api.get(f"devices/{device.pk}/status").json()
    told = Api(people.bob).get(f"telemetry/devices/{device.pk}").json()["results"][0]
    beat = (
        Client()
        .post(
            "/api/devices/heartbeat",
            {"sent_at": wire_time()},
            content_type="application/json",
            headers={"Authorization": f"Bearer {make_device_token(device=device)}"},
        )
        .json()
    )

    times = [shown["last_heartbeat"], shown["created_at"], status["connected_at"], told["timestamp"]]

    for time in [*times, beat["server_time"]]:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", time)


def test_status_says_whether_it_can_be_reached(people: People, device: Device) -> None:
    api = Api(people.alice)
    first = api.get(f"devices/{device.pk}/status").json()
    Presence.objects.update(connection_id=None, state="degraded", cpu_c=51.5)

    second = api.get(f"devices/{device.pk}/status").json()

    assert (first["status"], first["connected"], first["device_id"]) == ("online", True, str(device.pk))
    assert (second["status"], second["connected"], second["cpu_c"]) == ("degraded", False, 51.5)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"state": "active"}, ["away", "ours"]),
        ({"state": "revoked"}, ["out"]),
        ({"presence__state": "offline"}, ["away"]),
        ({"page_size": 1}, ["away"]),
        ({"page_size": 1, "page": 3}, ["out"]),
    ],
)
def test_devices_are_filtered_and_paged(
    people: People, device: Device, query: dict[str, Any], expected: list[str]
) -> None:
    make_device(branch=people.branch, name="away", connected=False)
    make_device(branch=people.branch, name="out", state="revoked")

    assert names(Api(people.alice).get("devices", **query)) == expected


def test_filter_by_a_strange_branch_finds_nothing(people: People, device: Device, strange: Device) -> None:
    response = Api(people.alice).get("devices", branch=str(people.strange_branch.pk))

    assert names(response) == []


@pytest.mark.parametrize("query", [{"state": "asleep"}, {"branch": "x"}, {"page": 99}])
def test_bad_query_gets_the_envelope(people: People, query: dict[str, Any]) -> None:
    response = Api(people.alice).get("devices", **query)

    assert response.status_code in (400, 404)
    assert set(response.json()) == {"type", "title", "status", "detail", "errors", "request_id"}


# Firmware.


def test_firmware_is_asked_for_and_may_be_learnt_late(people: People, device: Device) -> None:
    Presence.objects.update(connection_id=None)

    response = Api(people.bob).put(f"devices/{device.pk}/firmware", {"firmware_version": "2.1.0"})

    command = Command.objects.get()
    assert (response.status_code, response.json()["wanted_firmware"]) == (202, "2.1.0")
    assert (command.type, command.args, command.actor) == (
        "install_firmware",
        {"version": "2.1.0"},
        str(people.bob.pk),
    )


@pytest.mark.parametrize("version", ["", "../../etc", "2 1", "x" * 21, None])
def test_firmware_that_is_no_version_is_refused(people: People, device: Device, version: str | None) -> None:
    response = Api(people.bob).put(f"devices/{device.pk}/firmware", {"firmware_version": version})

    assert (response.status_code, list(response.json()["errors"])) == (400, ["firmware_version"])
    assert not Command.objects.exists()


def test_firmware_is_for_those_who_may_change_devices(people: People, device: Device) -> None:
    body = {"firmware_version": "2.1.0"}
    users = (people.alice, people.charlie, people.dora)

    statuses = [Api(user).put(f"devices/{device.pk}/firmware", body).status_code for user in users]

    assert statuses == [403, 404, 404]
    assert not Command.objects.exists()


# Telemetry.


@pytest.fixture
def addresses(people: People, device: Device) -> list[str]:
    return [
        f"telemetry/devices/{device.pk}",
        f"telemetry/branches/{people.branch.pk}",
        f"telemetry/chains/{people.chain.pk}",
    ]


def test_telemetry_is_told_newest_first(people: People, device: Device, strange: Device, addresses: list[str]) -> None:
    tell(device, event_type="old", age=timedelta(hours=2))
    tell(device, event_type="new")
    tell(strange)

    for address in addresses:
        rows = Api(people.bob).get(address).json()["results"]
        assert [row["event_type"] for row in rows] == ["new", "old"]
        assert {row["device_id"] for row in rows} == {str(device.pk)}
        assert set(rows[0]) == {
            "event_id",
            "device_id",
            "branch_id",
            "event_type",
            "event_data",
            "timestamp",
            "received_at",
        }


def test_telemetry_of_another_tenant_does_not_exist(people: People, device: Device, addresses: list[str]) -> None:
    tell(device)

    statuses = {Api(user).get(address).status_code for user in (people.charlie, people.dora) for address in addresses}

    assert statuses == {404}


def test_telemetry_is_filtered_by_kind_and_time(people: People, device: Device, addresses: list[str]) -> None:
    tell(device, event_type="door", age=timedelta(hours=3))
    tell(device, event_type="cart_sensor", age=timedelta(hours=2))
    since = wire_time(timezone.now() - timedelta(hours=2, minutes=30))
    api = Api(people.bob)

    by_kind = api.get(addresses[0], event_type="door").json()["results"]
    after = api.get(addresses[0], timestamp__gte=since).json()["results"]
    before = api.get(addresses[0], timestamp__lt=since).json()["results"]

    assert [[row["event_type"] for row in rows] for rows in (by_kind, after, before)] == [
        ["door"],
        ["cart_sensor"],
        ["door"],
    ]


# Cost.


def test_lists_cost_the_same_for_one_row_and_for_three(people: People, device: Device, addresses: list[str]) -> None:
    tell(device)
    api = Api(people.bob)
    paths = ["devices", *addresses]
    one = {path: queries_of(api, path) for path in paths}
    for _ in range(2):
        tell(make_device(branch=people.branch))
        tell(device)

    three = {path: queries_of(api, path) for path in paths}

    assert three == one
    assert max(three.values()) <= 7
