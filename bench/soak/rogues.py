"""Registrations by devices that nobody asked for, over HTTP: whatever they know but a living code, none is let in.

Each comes from an address of its own behind a proxy that is trusted, so that it is the code that refuses it and not the
limit of an address. What the database holds is compared whole, before and after.
"""

import json
import logging
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import IPv4Address
from random import Random
from uuid import uuid4

from django.db import connection
from django.test import Client, override_settings

from devices import services
from devices.enums import DeviceState
from devices.models import Device, EnrolmentCode, KnownMac, Presence
from tenants.models import Branch, Chain

from .quiet import quiet

SIGNS = "23456789ABCDEFGHJKMNPQRSTVWXYZ"
PROXY = "10.99.0.1"
REFUSED = "403 enrolment-refused"
Row = tuple[str, str]


@dataclass
class Attack:
    """What came of it. `rows` were written, changed or taken meanwhile; `answers` by status and kind of problem."""

    sent: int = 0
    admitted: int = 0
    rows: int = 0
    took_s: float = 0.0
    answers: Counter[str] = field(default_factory=Counter)
    tried: Counter[str] = field(default_factory=Counter)

    @property
    def held(self) -> bool:
        """Whether each was refused for its code and none left a trace."""
        return self.answers == Counter({REFUSED: self.sent}) and not self.admitted and not self.rows


@dataclass(frozen=True)
class _Shops:
    """What rogues may know of: everything but the living codes, which are `alive`, by branch."""

    branches: list[Branch]
    macs: dict[str, str]
    alive: dict[str, str]
    dead: list[str]


def attack(number: int, *, seed: int) -> Attack:
    """Send that many registrations to shops of our own. Needs Django, a database that stands still, and Redis."""
    random = Random(f"rogues/{seed}")
    shops = _build_shops()
    client = Client(SERVER_NAME="localhost", REMOTE_ADDR=PROXY)
    found = Attack()
    addresses = _addresses(random)
    before, started = rows(), time.monotonic()
    with override_settings(TRUSTED_PROXIES=[PROXY]), quiet(logging.WARNING):  # each refusal is logged
        for _ in range(number):
            body = _registration(random, shops, found.tried)
            response = client.post(
                "/api/devices/register",
                body,
                content_type="application/json",
                headers={"X-Forwarded-For": next(addresses)},
            )
            found.sent += 1
            found.admitted += response.status_code in (201, 202)
            found.answers[_answer(response.status_code, response.content)] += 1
    found.took_s = time.monotonic() - started
    found.rows = len(before ^ rows())
    return found


def rows() -> set[Row]:
    """Everything the database holds, as text, by table."""
    with connection.cursor() as cursor:
        tables = connection.introspection.table_names(cursor)
        found: set[Row] = set()
        for table in tables:
            cursor.execute(f"SELECT t::text FROM {connection.ops.quote_name(table)} t")
            found.update((table, text) for (text,) in cursor.fetchall())
    return found


def _build_shops() -> _Shops:
    """A chain where a code is enough and one where a person says yes, each with a branch that waits for a Pi."""
    name = f"rogues-{uuid4().hex[:8]}"
    branches = [
        Branch.objects.create(
            chain=Chain.objects.create(slug=f"{name}-{approves}", name=name, approve_devices=bool(approves)),
            code=f"{name}-{approves}".upper(),
            name=name,
        )
        for approves in range(2)
    ]
    macs = {"of an active device": "02:00:00:00:00:01", "of a waiting device": "02:00:00:00:00:02"}
    macs["the chain knows"] = "02:00:00:00:00:03"
    for mac, state in zip(macs.values(), (DeviceState.ACTIVE, DeviceState.PENDING), strict=False):
        device = Device.objects.create(branch=branches[1], name=f"pi-{mac[-2:]}", mac_address=mac, state=state)
        Presence.objects.create(device=device)
    KnownMac.objects.create(chain=branches[1].chain, mac_address=macs["the chain knows"])
    dead = [services.create_enrolment_code(branch=each)[1] for each in branches]
    EnrolmentCode.objects.filter(branch=branches[0]).update(used_at="2026-01-01T00:00Z")
    EnrolmentCode.objects.filter(branch=branches[1]).update(expires_at="2026-01-01T00:00Z")
    # They outlive whatever attack there is.
    lasts = timedelta(days=2)
    alive = {each.code: services.create_enrolment_code(branch=each, lifetime=lasts)[1] for each in branches}
    return _Shops(branches, macs, alive, dead)


def _registration(random: Random, shops: _Shops, tried: Counter[str]) -> dict[str, str]:
    """One guess: hardware, a place, and something in place of its code; what it is made of is counted."""
    known = [each.code for each in shops.branches]
    hardware = random.choice(("unknown", *shops.macs))
    mac = shops.macs.get(hardware) or ":".join(["02", *(f"{random.randrange(256):02X}" for _ in range(5))])
    branch = random.choice((*known, *known, "NOWHERE-1"))
    body = {"mac_address": mac, "serial_number": "RPI-1", "branch_code": branch, "enrolment_code": "", "claim": ""}
    proof = random.choices(("code", "dead code", "code of elsewhere", "claim"), weights=(7, 1, 1, 1))[0]
    if proof == "claim":
        body["claim"] = "".join(random.choices(SIGNS, k=43))
    elif proof == "dead code":
        body["enrolment_code"] = random.choice(shops.dead)
    elif proof == "code of elsewhere":
        body["enrolment_code"] = shops.alive[random.choice([code for code in known if code != branch])]
    else:
        guess = "".join(random.choices(SIGNS, k=8))
        body["enrolment_code"] = f"{guess[:4]}-{guess[4:]}"
    tried.update((f"proof: {proof}", f"MAC: {hardware}", f"branch: {'known' if branch in known else 'unknown'}"))
    return body


def _addresses(random: Random) -> Iterator[str]:
    """Each once, none of them the proxy's."""
    seen = {PROXY}
    while True:
        address = str(IPv4Address(random.getrandbits(32)))
        if address not in seen:
            seen.add(address)
            yield address


def _answer(status: int, content: bytes) -> str:
    kind = json.loads(content).get("type", "") if status >= 400 else ""
    return f"{status} {str(kind).rpartition(':')[2]}".strip()
