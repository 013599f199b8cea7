"""Who can be reached: births, last wills, heartbeats, silence."""

import threading
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import transaction
from django.test import Client
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from core import live
from core.health import record_pulse
from core.models import StateChange
from core.tests.race import DEADLINE_S, lock_waiters, race_each, wait_for
from devices import services
from devices.enums import CommandStatus, PresenceState
from devices.events import PresenceChanged
from devices.models import Command, Device, Presence
from devices.mqtt import inbound
from devices.services import presence as presence_service
from devices.services.presence import SILENT_AFTER, Heartbeat
from devices.tests.factories import make_command, make_device, make_device_token
from devices.tests.messages import birth, deliver_answer, device_topic, will, wire_time

pytestmark = pytest.mark.django_db


def say(device: Device, payload: bytes) -> Presence:
    inbound.handle(device_topic(device), payload)
    return Presence.objects.get(device=device)


def beat(device: Device, **fields: Any) -> dict[str, Any]:
    """A heartbeat over HTTP; its answer."""
    token = make_device_token(device=device)
    response = Client().post(
        f"/api/devices/{device.pk}/heartbeat",
        {"sent_at": wire_time(), **fields},
        content_type="application/json",
        headers={"Authorization": f"Bearer {token}"},
    )
    assert response.status_code == 200, response.content
    return dict(response.json())


def silent(device: Device, *, connected_for: timedelta = SILENT_AFTER) -> None:
    """Nothing was heard for longer than three heartbeats."""
    at = timezone.now() - SILENT_AFTER - timedelta(seconds=1)
    Presence.objects.filter(device=device).update(last_heartbeat_at=at, connected_at=timezone.now() - connected_for)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[PresenceChanged]:
    """What open pages were told."""
    events: list[PresenceChanged] = []
    monkeypatch.setattr(live, "announce", events.append)
    return events


# Birth and last will.


def test_birth_brings_a_device_online() -> None:
    device, connection_id, boot_id = make_device(connected=False), uuid4(), uuid4()

    presence = say(device, birth(connection_id, boot_id=boot_id, firmware_version="3.1.4"))

    device.refresh_from_db()
    assert (presence.state, presence.connection_id, presence.boot_id) == (PresenceState.ONLINE, connection_id, boot_id)
    assert device.firmware_version == "3.1.4"


def test_will_takes_it_offline() -> None:
    device, connection_id = make_device(connected=False), uuid4()
    say(device, birth(connection_id))

    presence = say(device, will(connection_id))

    assert (presence.state, presence.connection_id) == (PresenceState.OFFLINE, None)


def late_will_after_a_new_birth() -> Presence:
    device, first, second = make_device(connected=False), uuid4(), uuid4()
    say(device, birth(first))
    say(device, birth(second))
    presence = say(device, will(first))
    assert presence.device_id == device.pk
    return presence


def test_late_will_of_an_older_connection_hides_nothing() -> None:
    presence = late_will_after_a_new_birth()

    assert presence.state == PresenceState.ONLINE
    assert presence.connection_id is not None


def test_late_will_of_an_older_connection_hides_nothing_control(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without comparing the connection the newer birth is lost."""
    monkeypatch.setattr(presence_service, "_is_up", lambda presence, connection_id: True)

    assert late_will_after_a_new_birth().state == PresenceState.OFFLINE


def ago(**span: float) -> str:
    return wire_time(timezone.now() - timedelta(**span))


def births_that_overtook_each_other() -> tuple[Device, UUID]:
    """Two bridges took them the wrong way round. Answers the device and the connection that is up."""
    device, first, second = make_device(connected=False), uuid4(), uuid4()
    say(device, birth(second, sent_at=ago(seconds=1)))
    say(device, birth(first, sent_at=ago(seconds=2)))
    return device, second


def test_older_birth_that_comes_later_changes_nothing() -> None:
    device, up = births_that_overtook_each_other()

    assert Presence.objects.get(device=device).connection_id == up


def test_older_birth_that_comes_later_changes_nothing_control(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without their order it takes the device; the next heartbeat heals even that."""
    monkeypatch.setattr(presence_service, "_in_order", lambda presence, sent_at: True)
    device, up = births_that_overtook_each_other()
    before = Presence.objects.get(device=device).connection_id

    beat(device, connection_id=str(up))

    assert before != up
    assert Presence.objects.get(device=device).connection_id == up


def test_birth_after_its_own_will_does_not_bring_a_dead_connection_back() -> None:
    device, connection_id = make_device(connected=False), uuid4()
    say(device, will(connection_id))

    presence = say(device, birth(connection_id))

    assert (presence.state, presence.connection_id) == (PresenceState.OFFLINE, None)


def test_device_whose_clock_was_put_back_is_still_heard() -> None:
    device, second = make_device(connected=False), uuid4()
    say(device, birth(uuid4(), sent_at=wire_time(timezone.now() + timedelta(days=300))))

    presence = say(device, birth(second))

    assert presence.connection_id == second


@pytest.mark.parametrize("state", ["prepared", "pending", "revoked"])
def test_birth_of_a_device_that_was_not_let_in_changes_nothing(state: str) -> None:
    device = make_device(connected=False, state=state)

    presence = say(device, birth(uuid4()))

    assert (presence.state, presence.connection_id) == (PresenceState.OFFLINE, None)


def test_birth_of_nobody_changes_nothing() -> None:
    device = make_device(connected=False)
    topic = device_topic(device).replace(str(device.pk), str(uuid4()))

    inbound.handle(topic, birth(uuid4()))

    assert Presence.objects.get().state == PresenceState.OFFLINE


def test_pages_are_told_of_births_and_wills_only_when_they_count(told: list[PresenceChanged]) -> None:
    device, connection_id = make_device(connected=False), uuid4()

    say(device, birth(connection_id))
    say(device, will(uuid4()))
    say(device, will(connection_id))

    assert told == [PresenceChanged(device.pk, device.branch_id)] * 2


# Heartbeats.


def test_heartbeat_tells_the_servers_clock_and_the_configuration() -> None:
    device = make_device(config_version=7)
    before = timezone.now()

    body = beat(device)

    server_time = parse_datetime(body["server_time"])
    assert server_time is not None
    assert before <= server_time <= timezone.now()
    assert (body["status"], body["config_version"], body["commands"]) == ("ok", 7, [])


def test_heartbeat_without_the_id_in_the_address_is_the_same() -> None:
    device = make_device()
    headers = {"Authorization": f"Bearer {make_device_token(device=device)}"}

    response = Client().post(
        "/api/devices/heartbeat", {"sent_at": wire_time()}, content_type="application/json", headers=headers
    )

    assert response.status_code == 200


def test_heartbeat_keeps_the_figures() -> None:
    device = make_device()

    beat(device, uptime_s=8123, outbox_depth=3, load_1m=0.25, cpu_c=51.5, disk_free_mb=9000, config_version=1)

    presence = Presence.objects.get(device=device)
    figures = [getattr(presence, name) for name in ("uptime_s", "outbox_depth", "load_1m", "cpu_c", "disk_free_mb")]
    assert figures == [8123, 3, 0.25, 51.5, 9000]
    assert presence.last_heartbeat_at is not None


@pytest.mark.parametrize(
    "wrong", [{"uptime_s": -1}, {"cpu_c": 1e9}, {"boot_id": "x"}, {"sent_at": "yesterday"}, {"outbox_depth": 10**12}]
)
def test_heartbeat_with_nonsense_is_refused(wrong: dict[str, Any]) -> None:
    device = make_device()
    headers = {"Authorization": f"Bearer {make_device_token(device=device)}"}

    response = Client().post(
        "/api/devices/heartbeat", {"sent_at": wire_time()} | wrong, content_type="application/json", headers=headers
    )

    assert response.status_code == 400
    assert list(response.json()["errors"]) == list(wrong)


def test_device_without_a_connection_that_beats_is_degraded() -> None:
    device = make_device(connected=False)

    beat(device)

    assert Presence.objects.get(device=device).state == PresenceState.DEGRADED


def test_heartbeat_heals_a_lost_birth() -> None:
    device, connection_id = make_device(connected=False), uuid4()

    beat(device, connection_id=str(connection_id))

    presence = Presence.objects.get(device=device)
    assert (presence.state, presence.connection_id) == (PresenceState.ONLINE, connection_id)


def test_heartbeat_does_not_raise_a_connection_whose_end_was_told() -> None:
    device, connection_id = make_device(connected=False), uuid4()
    say(device, birth(connection_id))
    say(device, will(connection_id))

    beat(device, connection_id=str(connection_id))

    presence = Presence.objects.get(device=device)
    assert (presence.state, presence.connection_id) == (PresenceState.DEGRADED, None)


def connection_after_a_heartbeat_that_was_on_its_way(names: str) -> tuple[UUID, UUID | None]:
    """It was sent before the birth that came first. Answers the connection that is up and the one we think is."""
    device, first, second = make_device(connected=False), uuid4(), uuid4()
    say(device, birth(first, sent_at=ago(seconds=3)))
    say(device, birth(second, sent_at=ago(seconds=1)))
    beat(device, connection_id=str(first) if names == "the older one" else None, sent_at=ago(seconds=2))
    return second, Presence.objects.get(device=device).connection_id


@pytest.mark.parametrize("names", ["the older one", "none"])
def test_heartbeat_that_was_on_its_way_says_nothing_about_the_connection(names: str) -> None:
    up, known = connection_after_a_heartbeat_that_was_on_its_way(names)

    assert known == up


@pytest.mark.parametrize("names", ["the older one", "none"])
def test_heartbeat_that_was_on_its_way_says_nothing_about_the_connection_control(
    names: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without their order the birth is lost."""
    monkeypatch.setattr(presence_service, "_in_order", lambda presence, sent_at: True)

    up, known = connection_after_a_heartbeat_that_was_on_its_way(names)

    assert known != up


def test_heartbeat_that_says_no_connection_is_up_ends_the_one_we_knew() -> None:
    device = make_device()

    beat(device, connection_id=None)

    presence = Presence.objects.get(device=device)
    assert (presence.state, presence.connection_id) == (PresenceState.DEGRADED, None)


def test_heartbeat_that_is_silent_about_the_connection_leaves_it() -> None:
    device = make_device()

    beat(device)

    presence = Presence.objects.get(device=device)
    assert (presence.state, presence.connection_id) == (PresenceState.ONLINE, device.presence.connection_id)


def beat_while_the_will_comes() -> Presence:
    """The heartbeat's token was read while the connection was up; the will is told before the heartbeat is noted."""
    device = Device.objects.select_related("presence").get(pk=make_device().pk)
    connection_id = device.presence.connection_id
    assert connection_id is not None
    services.record_will(device_id=device.pk, connection_id=connection_id)

    services.record_heartbeat(device=device, heartbeat=Heartbeat())

    return Presence.objects.get(device=device)


def test_heartbeat_read_before_a_will_does_not_say_online() -> None:
    presence = beat_while_the_will_comes()

    assert (presence.state, presence.connection_id) == (PresenceState.DEGRADED, None)


def test_heartbeat_read_before_a_will_does_not_say_online_control(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the row as it was read before, the dead connection is up again."""
    read_before: dict[UUID, Presence] = {}
    lock = presence_service._lock

    def lock_once(device_id: UUID) -> Presence | None:
        if device_id in read_before:
            return read_before[device_id]
        read_before[device_id] = Presence.objects.select_related("device").get(pk=device_id)
        return lock(device_id)

    monkeypatch.setattr(presence_service, "_lock", lock_once)

    assert beat_while_the_will_comes().state == PresenceState.ONLINE


def test_birth_after_its_own_heartbeat_keeps_the_connection() -> None:
    device, connection_id = make_device(connected=False), uuid4()
    beat(device, connection_id=str(connection_id))

    say(device, birth(connection_id))
    beat(device, connection_id=str(connection_id))

    presence = Presence.objects.get(device=device)
    assert (presence.state, presence.connection_id) == (PresenceState.ONLINE, connection_id)


# Commands that come with heartbeats.


@pytest.mark.parametrize("type_", ["apply_config", "install_firmware", "restart"])
def test_heartbeat_hands_out_what_may_arrive_late_until_the_device_has_it(type_: str) -> None:
    device = make_device(connected=False)
    command = services.queue_command(device=device, type=type_, args={"version": "2.1.0"})

    first, second = beat(device), beat(device)
    command.refresh_from_db()
    sent = command.status
    deliver_answer(command, "acked")
    third = beat(device)

    [given] = first["commands"]
    assert (given["command_id"], given["type"], given["args"]) == (str(command.pk), type_, {"version": "2.1.0"})
    assert (second["commands"], third["commands"]) == ([given], [])
    assert sent == CommandStatus.SENT
    steps = StateChange.objects.filter(entity_id=command.pk).order_by("pk").values_list("from_state", "to_state")
    assert list(steps) == [("queued", "sent"), ("sent", "acked")]


@pytest.mark.parametrize("type_", ["unlock", "lock", "open_door", "close_door", "release_egress", "cancel", "identify"])
def test_heartbeat_never_carries_a_live_command(type_: str) -> None:
    device = make_device()
    make_command(device=device, type=type_, target_id=uuid4() if type_ in ("unlock", "lock") else None)

    assert beat(device)["commands"] == []


def test_heartbeat_carries_nothing_past_its_time() -> None:
    device = make_device()
    make_command(device=device, type="restart", expires_at=timezone.now())

    assert beat(device)["commands"] == []


def test_heartbeat_carries_no_other_devices_commands() -> None:
    make_command(type="restart")

    assert beat(make_device())["commands"] == []


# Silence.


@pytest.fixture
def hearing(db: None) -> None:
    """The platform's own ears work: another device is heard."""
    for name in ("bridge", "broker"):
        record_pulse(name)
    make_device()


@pytest.mark.parametrize("deaf", ["bridge", "broker"])
@pytest.mark.parametrize("connected", [True, False])
def test_silence_while_the_platform_is_deaf_is_unknown_until_it_hears_again(deaf: str, connected: bool) -> None:
    device = make_device(connected=connected)
    make_device()
    beat(device, connection_id=str(device.presence.connection_id) if connected else None)
    silent(device)
    for name in ("bridge", "broker"):
        record_pulse(name, ok=name != deaf)

    deaf_for_a_while = [services.sweep_presence(), services.sweep_presence()]
    unknown = Presence.objects.get(device=device).state
    record_pulse(deaf)
    services.sweep_presence()

    assert (deaf_for_a_while, unknown) == ([1, 0], PresenceState.UNKNOWN)
    known = PresenceState.DEGRADED if connected else PresenceState.OFFLINE
    assert Presence.objects.get(device=device).state == known


def swept_while_the_web_was_down() -> set[str]:
    """No heartbeat came through for as long as it takes to call the first device silent. Answers their states."""
    for name in ("bridge", "broker"):
        record_pulse(name)
    now = timezone.now()
    for since_the_last in (0, 10, 29):
        device = make_device()
        silent(device)
        last = now - SILENT_AFTER - timedelta(seconds=1) + timedelta(seconds=since_the_last)
        Presence.objects.filter(device=device).update(last_heartbeat_at=last)
    services.sweep_presence()
    return set(Presence.objects.filter(last_heartbeat_at__lt=now - SILENT_AFTER).values_list("state", flat=True))


def test_no_device_is_blamed_while_the_web_is_down() -> None:
    assert swept_while_the_web_was_down() == {PresenceState.UNKNOWN}


def test_no_device_is_blamed_while_the_web_is_down_control(monkeypatch: pytest.MonkeyPatch) -> None:
    """Were any heartbeat within the time of silence proof enough, the first would be blamed before the last is late."""
    monkeypatch.setattr(presence_service, "HEARD_WITHIN", SILENT_AFTER)

    assert swept_while_the_web_was_down() == {PresenceState.DEGRADED}


def test_device_known_to_be_offline_stays_so_while_the_platform_is_deaf() -> None:
    device = make_device(connected=False)
    silent(device)

    assert services.sweep_presence() == 0
    assert Presence.objects.get(device=device).state == PresenceState.OFFLINE


@pytest.mark.usefixtures("hearing")
def test_silent_device_without_a_connection_goes_offline() -> None:
    device = make_device(connected=False)
    beat(device)
    silent(device)

    changed = services.sweep_presence()

    assert (changed, Presence.objects.get(device=device).state) == (1, PresenceState.OFFLINE)
    assert services.sweep_presence() == 0


@pytest.mark.usefixtures("hearing")
def test_silent_device_with_a_connection_is_degraded_and_can_still_be_told() -> None:
    device = make_device()
    silent(device)

    changed = services.sweep_presence()

    presence = Presence.objects.get(device=device)
    assert (changed, presence.state) == (1, PresenceState.DEGRADED)
    assert presence.connection_id is not None


@pytest.mark.usefixtures("hearing")
def test_device_that_beats_again_is_online_again() -> None:
    device = make_device()
    silent(device)
    services.sweep_presence()

    beat(device, connection_id=str(device.presence.connection_id))

    assert Presence.objects.get(device=device).state == PresenceState.ONLINE


def beats_while_it_is_swept() -> str:
    """The sweep has listed the device and waits for the row a heartbeat holds. Answers the state in the end."""
    device = make_device()
    silent(device)
    noted, swept = threading.Event(), threading.Event()

    def beat_slowly() -> None:
        with transaction.atomic():
            services.record_heartbeat(device=device, heartbeat=Heartbeat())
            noted.set()
            wait_for(lambda: lock_waiters() or swept.is_set(), "the sweep to wait")

    def sweep() -> None:
        assert noted.wait(DEADLINE_S)
        services.sweep_presence()
        swept.set()

    assert race_each([beat_slowly, sweep]) == [None, None]
    return Presence.objects.get(device=device).state


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("hearing")
def test_heartbeat_that_comes_while_devices_are_swept_counts() -> None:
    assert beats_while_it_is_swept() == PresenceState.ONLINE


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("hearing")
def test_heartbeat_that_comes_while_devices_are_swept_counts_control(monkeypatch: pytest.MonkeyPatch) -> None:
    """Were the silence not looked at again under the row's lock, the device would be blamed."""
    lock = presence_service._lock
    monkeypatch.setattr(presence_service, "_lock", lambda device_id, rows=None: lock(device_id))

    assert beats_while_it_is_swept() == PresenceState.DEGRADED


@pytest.mark.usefixtures("hearing")
def test_device_that_has_only_just_connected_is_left_alone() -> None:
    device = make_device()
    silent(device, connected_for=timedelta(seconds=5))

    assert services.sweep_presence() == 0


def test_command_goes_to_the_newest_connection() -> None:
    device, newest = make_device(), uuid4()
    say(device, birth(newest))

    command = services.queue_command(device=Device.objects.get(pk=device.pk), type="identify")

    assert Command.objects.get(pk=command.pk).connection_id == newest == UUID(str(newest))
