"""Who takes part: a customer with a token and a page, a manager with a page. Uses the project's own services."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

import django


@dataclass(frozen=True)
class People:
    """What the customer and the manager show the server, and where they are."""

    branch_id: UUID
    customer_token: str
    customer_session: str
    manager_session: str


def enter(environment: Mapping[str, str]) -> None:
    """Make this process one of the stack's: its settings, its database."""
    os.environ.update(environment, DJANGO_SETTINGS_MODULE="config.settings", PROCESS_NAME="bench")
    django.setup()


def invite() -> People:
    """Make both and sign them in."""
    from django.test import Client

    from deploy.stack.application import DEMO_BRANCH
    from tenants.models import Branch, User
    from tenants.services import ensure_customer, ensure_user
    from tenants.services.sessions import issue_access_token
    from tenants.tests.signing_in import sign_in

    def session(user: User) -> str:
        client = Client()
        sign_in(client, user)
        return client.cookies["sessionid"].value

    customer = ensure_customer(phone="+972501234567")
    manager = ensure_user(email="branch@cartwise.example")
    return People(
        branch_id=Branch.objects.get(code=DEMO_BRANCH).pk,
        customer_token=issue_access_token(customer, second_factor=True),
        customer_session=session(customer),
        manager_session=session(manager),
    )


def free_carts() -> list[tuple[int, int]]:
    """(cart number, lock number) of the demo branch's carts that can be unlocked now, by number."""
    from carts.models import Cart
    from deploy.stack.application import DEMO_BRANCH

    rows = Cart.objects.filter(
        branch__code=DEMO_BRANCH,
        status="available",
        condition="ok",
        lock_state="locked",
        controller__device__presence__connection_id__isnull=False,
    )
    return list(rows.order_by("cart_number").values_list("cart_number", "locker_id"))


def hops(since: float) -> list[dict[str, float]]:
    """Milliseconds of each hop of the unlocks issued after `since` (Unix time), by the rows' own clocks."""
    from datetime import UTC, datetime

    from devices.models import Command

    found = []
    rows = Command.objects.filter(type="unlock", status="done", issued_at__gte=datetime.fromtimestamp(since, UTC))
    for row in rows.select_related("rental"):
        ends = {
            "claimed": row.sent_at,
            "acked": row.acked_at,
            "finished": row.finished_at,
            "active": row.rental.start_time,
        }
        times = {f"issued_to_{name}": (at - row.issued_at).total_seconds() * 1000 for name, at in ends.items() if at}
        found.append({**times, **row.timing_ms})
    return found
