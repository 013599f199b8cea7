"""`bench access`: what scoping a list costs, and what finding out who may see what costs a request."""

import gc
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import chain
from time import perf_counter
from typing import TYPE_CHECKING, Any

from bench.figures import Series

if TYPE_CHECKING:
    from tenants.models import Branch, User

CHAINS, BRANCHES_EACH, ROWS_EACH = 20, 10, 50
LIST = 50
SOME_GRANTS = 20
UNSCOPED = "unscoped"
GOAL = 1.3

Call = Callable[[], object]


@dataclass
class Group:
    """The same thing done in different ways, of which `base` is what the others are measured against."""

    name: str
    unit: str
    calls: dict[str, Call]
    base: str = UNSCOPED
    series: dict[str, Series] = field(default_factory=dict)

    def ratio(self, name: str) -> float:
        """Of the medians."""
        return self.series[name].median_of(50) / self.series[self.base].median_of(50)


def measure(rounds: int, samples: int, say: Callable[[str], None]) -> list[Group]:
    """Fill a database of its own and measure in interleaved rounds; the first is not counted."""
    _enter()
    say(f"{CHAINS * BRANCHES_EACH} branches of {ROWS_EACH} carts and rentals")
    branches = _fill()
    groups = [*_lists(branches), *_requests(branches), _resolution(branches)]
    for number in range(rounds + 1):
        for group in groups:
            taken = _one_round(group, samples)
            if number:
                for name, values in taken.items():
                    group.series.setdefault(name, Series(name)).rounds.append(values)
        say(f"round {number} of {rounds}")
    return groups


def _one_round(group: Group, samples: int) -> dict[str, list[float]]:
    """Each way in turn, so that whatever else the machine does meets all of them."""
    taken: dict[str, list[float]] = {name: [] for name in group.calls}
    gc.collect()
    gc.disable()
    try:
        for _ in range(samples):
            for name, call in group.calls.items():
                began = perf_counter()
                call()
                taken[name].append((perf_counter() - began) * 1000)
    finally:
        gc.enable()
    return taken


def _enter() -> None:
    """PostgreSQL and Valkey of its own, as tests have them; it is reading that is measured."""
    from deploy.stack import testing

    testing.ensure_servers()
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", interactive=False, verbosity=0)


def _fill() -> list["Branch"]:
    """The shops, by chain; each with carts, a rental of each, a device, and audit rows."""
    from django.db import connection

    from tenants.models import Branch, Chain

    for number in range(CHAINS):
        owner = Chain.objects.create(name=f"Chain {number}", slug=f"chain-{number}")
        Branch.objects.bulk_create(
            Branch(chain=owner, code=f"B-{number}-{each}", name=f"Branch {number}-{each}")
            for each in range(BRANCHES_EACH)
        )
    branches = list(Branch.objects.select_related("chain").order_by("chain__slug", "code"))
    # Rows come in the order of time, not by branch.
    for turn in range(ROWS_EACH):
        _fill_turn(branches, turn)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    return branches


def _fill_turn(branches: list["Branch"], turn: int) -> None:
    from django.utils import timezone

    from carts.models import Cart, Rental
    from core.models import ActorKind, AuditEntry
    from devices.models import Device
    from tenants.models import User

    customer = User.objects.create_user(phone=f"+97252{3_000_000 + turn}")
    now = timezone.now()
    carts = Cart.objects.bulk_create(Cart(branch=each, cart_number=turn) for each in branches)
    started = {"start_time": now, "expected_return": now + timedelta(hours=4), "actual_return": now}
    Rental.objects.bulk_create(
        Rental(cart=cart, branch_id=cart.branch_id, customer=customer, status="returned", **started) for cart in carts
    )
    Device.objects.bulk_create(Device(branch=each, name=f"pi-{turn}") for each in branches)
    AuditEntry.objects.bulk_create(
        AuditEntry(
            actor_kind=ActorKind.PERSON,
            actor_id=customer.pk,
            action="changed",
            entity="carts.cart",
            entity_id=str(cart.pk),
            chain_id=cart.branch.chain_id,
            branch_id=cart.branch_id,
        )
        for cart in carts
    )


def _people(branches: list["Branch"]) -> dict[str, "User"]:
    """Whoever asks; all of them reach the first branch."""
    from tenants.enums import RoleCode
    from tenants.models import User
    from tenants.tests.factories import make_grant

    names = (UNSCOPED, "branch manager", "chain manager", f"{SOME_GRANTS} grants")
    found = {name: User.objects.create_user(email=f"{name.replace(' ', '-')}@bench.example") for name in names}
    make_grant(user=found[UNSCOPED], role=RoleCode.MANAGER)
    make_grant(user=found["branch manager"], role=RoleCode.BRANCH_MANAGER, branch=branches[0])
    make_grant(user=found["chain manager"], role=RoleCode.CHAIN_MANAGER, chain=branches[0].chain)
    for branch in branches[:: len(branches) // SOME_GRANTS]:
        make_grant(user=found[f"{SOME_GRANTS} grants"], role=RoleCode.BRANCH_MANAGER, branch=branch)
    return found


def _lists(branches: list["Branch"]) -> Iterator[Group]:
    """The first rows of a table, newest first, as a view reads them: the whole table's, and of what somebody sees."""
    from carts.models import Cart, Rental
    from core.models import AuditEntry
    from devices.models import Device
    from tenants import access
    from tenants.models import User

    people = _people(branches)
    lists: dict[str, tuple[Any, str]] = {
        "rentals": (Rental.objects.select_related("cart", "branch__chain", "customer"), "rentals:view"),
        "carts": (Cart.objects.select_related("branch__chain").order_by("cart_number", "pk"), "carts:view"),
        "devices": (Device.objects.select_related("branch__chain"), "devices:view"),
        "audit": (AuditEntry.objects.order_by("-pk"), "audit:view"),
    }

    def reading(user: User, rows: Any, permission: str) -> Call:
        return lambda: list(access.visible(user, rows.all(), permission)[:LIST])

    for name, (rows, permission) in lists.items():
        # Who holds it everywhere is given the rows as they are.
        calls = {who: reading(user, rows, permission) for who, user in people.items()}
        yield Group(f"{LIST} {name}, query", "ms", calls)


def _requests(branches: list["Branch"]) -> Iterator[Group]:
    """The same page of REST, asked for by whoever sees everything and by whoever sees some."""
    from django.test import Client

    from tenants.models import User
    from tenants.services.sessions import issue_access_token

    lists = {"devices": "/api/devices", "rentals": f"/api/branches/{branches[0].pk}/rentals/history"}
    lists["audit"] = "/api/audit"
    emails = {UNSCOPED: "unscoped", "branch manager": "branch-manager", "chain manager": "chain-manager"}
    emails[f"{SOME_GRANTS} grants"] = f"{SOME_GRANTS}-grants"

    def asking(user: User, path: str) -> Call:
        client = Client(headers={"Authorization": f"Bearer {issue_access_token(user, second_factor=True)}"})

        def ask() -> int:
            answer = client.get(path, {"page_size": LIST})
            assert answer.status_code == 200, answer.content
            return len(answer.json()["results"])

        return ask

    for name, path in lists.items():
        users = {who: User.objects.get(email=f"{email}@bench.example") for who, email in emails.items()}
        calls = {who: asking(user, path) for who, user in users.items()}
        assert {call() for call in calls.values()} == {LIST}
        yield Group(f"{LIST} {name}, REST", "ms", calls)


def _resolution(branches: list["Branch"]) -> Group:
    """Reading the person, which every request does; with what they hold kept; and read anew after a change."""
    from tenants import access
    from tenants.models import User

    key = User.objects.get(email=f"{SOME_GRANTS}-grants@bench.example").pk

    def bare() -> User:
        return User.objects.get(pk=key)

    def kept() -> object:
        return access.may(bare(), "carts:view", branches[0])

    def after_a_change() -> object:
        user = bare()
        access._kept.pop((user.pk, user.access_version), None)
        return access.may(user, "carts:view", branches[0])

    kept()
    calls: dict[str, Call] = {"person alone": bare, "rights kept": kept, "rights changed": after_a_change}
    return Group("who may what, in a request", "ms", calls, base="person alone")


def rows_of(groups: list[Group]) -> list[list[str]]:
    """Lines of the table: what, who, p50, p95, ratio to the base."""
    return [
        [f"{group.name}: {name}", f"{one.median_of(50):.3f}", f"{one.median_of(95):.3f}", f"{group.ratio(name):.2f}"]
        for group, (name, one) in chain.from_iterable(
            [(group, each) for each in group.series.items()] for group in groups
        )
    ]


def as_json(groups: list[Group]) -> list[dict[str, object]]:
    """Every round's percentiles, and the ratios."""
    return [
        {
            "name": group.name,
            "unit": group.unit,
            "ratio": {name: round(group.ratio(name), 3) for name in group.series},
            "series": [one.as_json() for one in group.series.values()],
        }
        for group in groups
    ]
