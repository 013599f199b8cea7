"""Tokens of devices: rotated with overlap, revoked at once, good for nobody else."""

from datetime import timedelta
from typing import Any

import jwt
import pytest
from django.conf import settings
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone

from core.tests.race import race
from devices import services
from devices.models import Device, DeviceToken
from devices.services.tokens import OVERLAP, device_of_token, issue_token, password_token, signed
from devices.tests.factories import make_device, make_device_token
from tenants.services.sessions import issue_access_token
from tenants.tests.factories import make_people, make_user

pytestmark = pytest.mark.django_db


def ask(token: str, method: str, path: str, body: dict[str, Any] | None = None) -> HttpResponse:
    headers = {"Authorization": f"Bearer {token}"}
    return Client().generic(method, path, *([] if body is None else [str(body).replace("'", '"')]), headers=headers,
                            content_type="application/json")  # fmt: skip


def config_status(token: str, device: Device) -> int:
    return ask(token, "GET", f"/api/devices/{device.pk}/config").status_code


def rotate(token: str, device: Device) -> str:
    response = ask(token, "POST", f"/api/devices/{device.pk}/token")
    assert response.status_code == 200
    return str(response.json()["device_token"])


def test_token_signed_again_from_its_row_is_identical() -> None:
    token = issue_token(device=make_device(), shown=True)

    assert signed(token) == signed(DeviceToken.objects.get(pk=token.pk))


def test_old_token_works_until_ten_minutes_after_the_new_one_was_used() -> None:
    device = make_device()
    old = make_device_token(device=device)
    new = rotate(old, device)
    seen = [config_status(old, device), DeviceToken.objects.filter(ends_at__isnull=False).count()]

    seen.append(config_status(new, device))
    seen.append(config_status(old, device))
    ending = DeviceToken.objects.get(ends_at__isnull=False)
    left = ending.ends_at - timezone.now()
    DeviceToken.objects.filter(pk=ending.pk).update(ends_at=timezone.now())
    seen += [config_status(old, device), config_status(new, device)]

    assert seen == [200, 0, 200, 200, 401, 200]
    assert OVERLAP - timedelta(seconds=30) < left <= OVERLAP == timedelta(minutes=10)


def test_mqtt_password_moves_on_with_the_first_use_of_the_new_token() -> None:
    device = make_device()
    old = make_device_token(device=device)
    new = rotate(old, device)
    before = password_token(device)

    device_of_token(new)

    after = password_token(device)
    assert (before and signed(before), after and signed(after)) == (old, new)


@pytest.mark.django_db(transaction=True)
def test_new_token_used_by_many_at_once_is_promoted_once() -> None:
    device = make_device()
    old = make_device_token(device=device)
    new = rotate(old, device)

    found = race(lambda: device_of_token(new), times=5)

    assert found == [device] * 5
    assert DeviceToken.objects.filter(device=device, ends_at__isnull=True).count() == 1


def test_revoked_device_is_out_at_once() -> None:
    device = make_device()
    token = make_device_token(device=device)
    before = config_status(token, device)

    services.revoke_device(device=device, actor=make_user(), reason="stolen")

    assert (before, config_status(token, device)) == (200, 401)
    assert password_token(device) is None


@pytest.mark.parametrize(("method", "leaf"), [("POST", "heartbeat"), ("GET", "config"), ("POST", "token")])
def test_persons_token_opens_nothing_of_a_device(method: str, leaf: str) -> None:
    people, device = make_people(), make_device()

    response = ask(issue_access_token(people.erin, second_factor=True), method, f"/api/devices/{device.pk}/{leaf}", {})

    assert response.status_code == 401


@pytest.mark.parametrize("path", ["devices", "devices/{0}", "devices/{0}/status", "telemetry/devices/{0}", "chains"])
def test_devices_token_opens_nothing_of_a_person(path: str) -> None:
    device = make_device()

    response = ask(make_device_token(device=device), "GET", f"/api/{path.format(device.pk)}")

    assert response.status_code == 401


@pytest.mark.parametrize(("method", "leaf"), [("POST", "heartbeat"), ("GET", "config"), ("POST", "token")])
def test_device_at_another_ones_address_is_refused(method: str, leaf: str) -> None:
    device, other = make_device(), make_device()

    response = ask(make_device_token(device=device), method, f"/api/devices/{other.pk}/{leaf}", {})

    assert response.status_code == 403
    assert not DeviceToken.objects.filter(device=other).exists()


def _forgeries(device: Device) -> dict[str, str]:
    row = issue_token(device=device, shown=True)
    claims = jwt.decode(signed(row), options={"verify_signature": False})
    key_id, secret = next(iter(settings.JWT_KEYS.items()))

    def forged(key: str = secret, algorithm: str = "HS256", kid: str = key_id, **changed: object) -> str:
        return jwt.encode(claims | changed, key, algorithm=algorithm, headers={"kid": kid})

    return {
        "alg none": forged("", "none"),
        "other algorithm": forged(secret, "HS512"),
        "other secret": forged("x" * 40),
        "unknown key id": forged(kid="nobody"),
        "person's audience": forged(aud=f"{settings.JWT_ISSUER}:person"),
        "other issuer": forged(iss="somebody"),
        "expired": forged(exp=1),
        "another device's": forged(sub=str(make_device().pk)),
        "no row": forged(jti="0" * 32),
        "no token": "",
        "garbage": "a.b.c",
    }


def test_forged_tokens_open_nothing() -> None:
    device = make_device()

    statuses = {name: config_status(token, device) for name, token in _forgeries(device).items()}

    assert statuses == dict.fromkeys(statuses, 401)


def test_token_of_a_dropped_key_opens_nothing(settings: Any) -> None:
    device = make_device()
    token = make_device_token(device=device)
    old = dict(settings.JWT_KEYS)

    settings.JWT_KEYS = {"next": "n" * 40, **old}
    overlapping = config_status(token, device)
    settings.JWT_KEYS = {"next": "n" * 40}

    assert (overlapping, config_status(token, device)) == (200, 401)
