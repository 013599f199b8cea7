"""Tokens of devices: bearer over REST, password over MQTT."""

import time
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from core import audit
from core.tokens import TokenError, newest_key_id, read, sign
from devices import notify
from devices.enums import DeviceState
from devices.models import BrokerAccount, Device, DeviceToken

KIND = "device"
LIFETIME = timedelta(days=365)
OVERLAP = timedelta(minutes=10)
BROKER_POLL_S = 0.02


def issue_token(*, device: Device, shown: bool) -> DeviceToken:
    """A new token. `shown`: it replaces all others now (enrolment); else it does so when the device first uses it.

    The wire has whole seconds, so times are cut to them: the row must give the same token again.
    """
    now = timezone.now().replace(microsecond=0)
    with transaction.atomic():
        if shown:
            _open_tokens(device).update(ends_at=now)
        token = DeviceToken.objects.create(
            device=device,
            key_id=newest_key_id(),
            issued_at=now,
            expires_at=now + LIFETIME,
            shown_at=now if shown else None,
        )
        if shown:
            notify.wake(notify.RIGHTS, device.pk)
        else:
            audit.record("token renewed", device, actor=device)
        return token


def signed(token: DeviceToken) -> str:
    """The token itself; the same each time."""
    return sign(
        kind=KIND,
        subject=token.device_id,
        issued_at=token.issued_at,
        expires_at=token.expires_at,
        token_id=token.pk.hex,
        key_id=token.key_id,
    )


def device_of_token(value: str) -> Device | None:
    """The active device a token stands for, with its branch, chain and presence. One query; the first use of a new
    token ends the one before after an overlap and moves the MQTT password on."""
    try:
        claims = read(value, kind=KIND)
        token_id, device_id = UUID(claims["jti"]), UUID(claims["sub"])
    except (TokenError, ValueError):
        return None
    now = timezone.now()
    token = (
        DeviceToken.objects.select_related("device__branch__chain", "device__presence")
        .filter(Q(ends_at__isnull=True) | Q(ends_at__gt=now), pk=token_id, device_id=device_id)
        .filter(device__state=DeviceState.ACTIVE, expires_at__gt=now)
        .first()
    )
    if token is None:
        return None
    if token.shown_at is None:
        _promote(token)
    return token.device


def password_token(device: Device) -> DeviceToken | None:
    """The token that is the device's MQTT password now; one whose signing key was dropped is none any more."""
    alive = _open_tokens(device).filter(expires_at__gt=timezone.now(), key_id__in=settings.JWT_KEYS)
    shown = alive.filter(shown_at__isnull=False)
    return shown.order_by("-shown_at").first()


def wait_for_broker(device: Device, since: datetime) -> bool:
    """Wait, for at most `BROKER_WAIT_S`, until the bridge has told the broker of an account changed after `since`.

    A device connects the moment it has its token, and not every device tries twice.
    """
    deadline = time.monotonic() + settings.BROKER_WAIT_S
    while time.monotonic() < deadline:
        if BrokerAccount.objects.filter(device=device, applied_at__gt=since).exists():
            return True
        time.sleep(BROKER_POLL_S)
    return False


def _promote(token: DeviceToken) -> None:
    now = timezone.now()
    with transaction.atomic():
        if not DeviceToken.objects.filter(pk=token.pk, shown_at__isnull=True).update(shown_at=now):
            return
        _open_tokens(token.device).exclude(pk=token.pk).update(ends_at=now + OVERLAP)
        notify.wake(notify.RIGHTS, token.device_id)


def _open_tokens(device: Device) -> QuerySet[DeviceToken]:
    return DeviceToken.objects.filter(device=device, ends_at__isnull=True)
