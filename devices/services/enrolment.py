"""How a Pi comes in. A MAC is not proof: a code from the branch is and, where the chain wants it, a person's word."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid4

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext_lazy as _

from core import audit, outbox
from core.errors import DomainError
from core.limits import Limit, take
from core.transitions import transition
from devices import notify
from devices.enums import DEVICE_TRANSITIONS, DeviceState
from devices.events import DeviceEnrolled
from devices.models import Device, DeviceToken, EnrolmentCode, KnownMac, Presence
from devices.services.presence import end_presence
from devices.services.tokens import issue_token
from tenants.models import Branch, User
from tenants.selectors import in_operation

# Without the letters and digits that are read wrong from a screen or a label: 30 signs, 4.9 bits each.
_ALPHABET = "23456789ABCDEFGHJKMNPQRSTVWXYZ"
CODE_LIFETIME = timedelta(hours=48)
# A person's yes is for a device that waits; one that was revoked comes back with a new code only.
_APPROVAL = {DeviceState.PENDING: frozenset({DeviceState.ACTIVE})}


class EnrolmentRefused(DomainError):
    """One answer for every reason, so that nothing can be learnt from it."""

    status = 403
    code = "enrolment-refused"
    title = _("This device was not admitted")


@dataclass(frozen=True, slots=True)
class Registration:
    """How far a Pi came: admitted with a token, or waiting with a claim to ask again with."""

    device: Device
    token: DeviceToken | None = None
    claim: str = ""


def create_enrolment_code(
    *, branch: Branch, device: Device | None = None, actor: User | None = None, lifetime: timedelta = CODE_LIFETIME
) -> tuple[EnrolmentCode, str]:
    """A single-use code like `7K4Q-9TZM` (39 bits) for a new device of the branch, or for a prepared one."""
    signs = "".join(secrets.choice(_ALPHABET) for _ in range(8))
    code = f"{signs[:4]}-{signs[4:]}"
    with transaction.atomic():
        row = EnrolmentCode.objects.create(
            branch=branch,
            device=device,
            code_hmac=_code_hmac(code),
            created_by=actor,
            expires_at=timezone.now() + lifetime,
        )
        audit.record("created", row, actor=actor, after={"device": device, "expires_at": row.expires_at})
    return row, code


def register_device(
    *, mac_address: str, serial_number: str, branch_code: str, code: str, claim: str, address: str
) -> Registration:
    """Admit a Pi, let it wait, or raise `EnrolmentRefused` without having written a row.

    `mac_address` in capitals with colons. With `claim` a waiting Pi asks again. Raises `TooMany`.
    """
    take([Limit(f"register:{address}", 30, timedelta(minutes=10))], fail_closed=True)
    try:
        with transaction.atomic():
            if claim:
                return _ask_again(mac_address, claim)
            return _take_code(mac_address, serial_number, branch_code, code)
    except IntegrityError:
        # Another registration wrote this address between our look and our write.
        if Device.objects.filter(mac_address=mac_address).exists():
            raise EnrolmentRefused from None
        raise


def _take_code(mac_address: str, serial_number: str, branch_code: str, code: str) -> Registration:
    now = timezone.now()
    alive = EnrolmentCode.objects.filter(
        in_operation("branch"),
        code_hmac=_code_hmac(code),
        branch__code=branch_code,
        used_at__isnull=True,
        expires_at__gt=now,
    )
    row = alive.select_for_update(of=("self",)).select_related("branch__chain", "device").first()
    if row is None:
        raise EnrolmentRefused
    if Device.objects.filter(mac_address=mac_address).exclude(pk=row.device_id or UUID(int=0)).exists():
        raise EnrolmentRefused
    row.used_at = now
    row.save(update_fields=["used_at"])
    was_in = row.device if row.device and row.device.state == DeviceState.ACTIVE else None
    admitted_before = was_in is not None and was_in.mac_address == mac_address
    if _needs_approval(row.branch, mac_address, admitted_before=admitted_before):
        if was_in is not None:
            _shut_out(was_in)
        return _let_wait(_device_for(row, mac_address, serial_number))
    device = _device_for(row, mac_address, serial_number)
    transition(device, to=DeviceState.ACTIVE, table=DEVICE_TRANSITIONS, field="state", reason="enrolled")
    return _let_in(device)


def approve_device(*, device: Device, actor: User) -> None:
    """Let a waiting device in; it gets its token when it asks again. Raises `IllegalTransition` for any other."""
    with transaction.atomic():
        if transition(device, to=DeviceState.ACTIVE, table=_APPROVAL, field="state", reason="approved", actor=actor):
            audit.record("approved", device, actor=actor)


def revoke_device(*, device: Device, actor: User, reason: str = "") -> None:
    """Shut a device out, REST at once and MQTT as soon as the bridge has told the broker; its open codes end."""
    with transaction.atomic():
        # The codes first, as a registration locks its own first: it ends before this or finds its code dead.
        _end_codes(device)
        _shut_out(device)
        before = device.state
        if transition(
            device, to=DeviceState.REVOKED, table=DEVICE_TRANSITIONS, field="state", reason=reason, actor=actor
        ):
            was, now = {"state": before}, {"state": device.state}
            audit.record("revoked", device, actor=actor, before=was, after=now, reason=reason)


def _end_codes(device: Device) -> None:
    now = timezone.now()
    EnrolmentCode.objects.filter(device=device, used_at__isnull=True, expires_at__gt=now).update(expires_at=now)


def _shut_out(device: Device) -> None:
    end_presence(device=device)
    DeviceToken.objects.filter(device=device, ends_at__isnull=True).update(ends_at=timezone.now())
    notify.wake(notify.RIGHTS, device.pk)


def _device_for(row: EnrolmentCode, mac_address: str, serial_number: str) -> Device:
    hardware = {"mac_address": mac_address, "serial_number": serial_number}
    if row.device_id is None:
        name = f"pi-{mac_address[-8:].replace(':', '').lower()}-{uuid4().hex[:4]}"
        device = Device.objects.create(branch=row.branch, name=name, **hardware)
    else:
        # Read anew under its lock: what was changed since the code was looked up must not be undone.
        stored = Device.objects.select_for_update(of=("self",)).select_related("branch__chain")
        device = stored.get(pk=row.device_id)
        device.mac_address, device.serial_number = mac_address, serial_number
        device.save(update_fields=list(hardware))
    Presence.objects.get_or_create(device=device)
    return device


def _needs_approval(branch: Branch, mac_address: str, *, admitted_before: bool) -> bool:
    """Whether a person must say yes: the chain wants it, and neither it nor this device knows the hardware."""
    if admitted_before or not branch.chain.approve_devices:
        return False
    return not KnownMac.objects.filter(chain=branch.chain, mac_address=mac_address).exists()


def _let_wait(device: Device) -> Registration:
    claim = secrets.token_urlsafe(32)
    device.claim_hash = _claim_hash(claim)
    device.save(update_fields=["claim_hash"])
    transition(device, to=DeviceState.PENDING, table=DEVICE_TRANSITIONS, field="state", reason="enrolled")
    audit.record("asked to be let in", device, actor=device, after={"mac_address": device.mac_address})
    return Registration(device, claim=claim)


def _let_in(device: Device) -> Registration:
    outbox.publish(DeviceEnrolled(device.pk))
    audit.record("enrolled", device, actor=device, after={"mac_address": device.mac_address})
    return Registration(device, token=issue_token(device=device, shown=True))


def _ask_again(mac_address: str, claim: str) -> Registration:
    waiting = Device.objects.select_for_update().filter(claim_hash=_claim_hash(claim), mac_address=mac_address).first()
    if waiting is None or waiting.state == DeviceState.REVOKED:
        raise EnrolmentRefused
    if waiting.state == DeviceState.PENDING:
        return Registration(waiting, claim=claim)
    waiting.claim_hash = ""
    waiting.save(update_fields=["claim_hash"])
    return _let_in(waiting)


def _code_hmac(code: str) -> str:
    """However a person typed it: small letters, spaces, with or without its hyphen."""
    signs = "".join(code.upper().replace("-", "").split())
    return salted_hmac("devices.enrolment", f"{signs[:4]}-{signs[4:]}", algorithm="sha256").hexdigest()


def _claim_hash(claim: str) -> str:
    return hashlib.sha256(claim.encode()).hexdigest()
