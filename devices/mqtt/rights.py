"""Who may read and write what on the broker, told to it in Mosquitto's dynamic-security language.

One client and one role a device: its own device topics and the topics of the carts on its own controllers, nothing
else. A change ends the device's session, so only changes are sent; what was sent last is kept as a fingerprint.
Source: Mosquitto documentation, dynamic-security plugin (`$CONTROL/dynamic-security/v1`).
"""

import hashlib
import json
import logging
from typing import Any
from uuid import UUID

from django.db import InterfaceError, OperationalError
from django.db.models import Q

from devices.enums import DeviceState
from devices.models import BrokerAccount, Device
from devices.mqtt.addresses import cart_topics, device_topics
from devices.mqtt.control import BrokerSilent, ControlChannel
from devices.services.tokens import password_token, signed
from devices.targets import lock_targets

logger = logging.getLogger(__name__)
_EXISTS = "already exists"
_GONE = "not found"


def sync_device(device_id: UUID, control: ControlChannel, *, force: bool = False) -> bool:
    """Bring the broker's account of a device in line with our rows. True when something was sent.

    Raises `ControlError` when the broker refuses or does not answer; the next sync tries again.
    """
    device = Device.objects.select_related("branch__chain").filter(pk=device_id).first()
    token = password_token(device) if device and device.state == DeviceState.ACTIVE else None
    if device is None or token is None:
        return _remove(device_id, control)
    password, acls = signed(token), _acls(device)
    fingerprint = hashlib.sha256(json.dumps([password, acls]).encode()).hexdigest()
    known = BrokerAccount.objects.filter(device_id=device_id).values_list("fingerprint", flat=True).first()
    if known == fingerprint and not force:
        return False
    name, role = str(device_id), f"device-{device_id}"
    client = {"username": name, "clientid": name, "password": password, "roles": [{"rolename": role}]}
    exists = control.run(
        [{"command": "createRole", "rolename": role, "acls": acls}, {"command": "createClient", **client}],
        tolerate=_EXISTS,
    )
    if exists:
        control.run([{"command": "modifyRole", "rolename": role, "acls": acls}, {"command": "modifyClient", **client}])
    BrokerAccount.objects.update_or_create(device_id=device_id, defaults={"fingerprint": fingerprint})
    return True


def sync_all(control: ControlChannel) -> int:
    """Bring every device in line, also those the broker lost. Returns how many were sent.

    One that can't be is logged and left to the next time. Raises `ControlError` when the broker does not answer or
    does not name its clients.
    """
    there = control.usernames()
    may_have_one = Q(state=DeviceState.ACTIVE) | Q(broker_account__isnull=False)
    ids = Device.objects.filter(may_have_one).values_list("pk", flat=True)
    return sum(_sync_or_log(pk, control, force=str(pk) not in there) for pk in ids)


def _sync_or_log(device_id: UUID, control: ControlChannel, *, force: bool) -> bool:
    try:
        return sync_device(device_id, control, force=force)
    except (BrokerSilent, OperationalError, InterfaceError):
        raise  # nothing the next device would be better off with
    except Exception:  # a bug of ours too: whoever is behind it still gets, and loses, their rights in time
        logger.exception("a device's account could not be brought in line", extra={"device_id": str(device_id)})
        return False


def _remove(device_id: UUID, control: ControlChannel) -> bool:
    if not BrokerAccount.objects.filter(device_id=device_id).exists():
        return False
    control.run(
        [
            {"command": "deleteClient", "username": str(device_id)},
            {"command": "deleteRole", "rolename": f"device-{device_id}"},
        ],
        tolerate=_GONE,
    )
    BrokerAccount.objects.filter(device_id=device_id).delete()
    return True


def _acls(device: Device) -> list[dict[str, Any]]:
    publishes, receives = device_topics(device)
    for target in lock_targets(device.pk):
        more_publishes, more_receives = cart_topics(device, target.id)
        publishes, receives = publishes + more_publishes, receives + more_receives
    return [{"acltype": "publishClientSend", "topic": topic, "allow": True} for topic in publishes] + [
        {"acltype": acltype, "topic": topic, "allow": True}
        for topic in receives
        for acltype in ("subscribeLiteral", "publishClientReceive")
    ]
