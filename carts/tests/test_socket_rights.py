"""A socket shows what its watcher may see, and no longer than they may."""

from collections.abc import Callable
from typing import Any

import pytest
from channels.db import database_sync_to_async as in_database
from django.db import OperationalError, connection, transaction
from django.test import Client

from carts import consumers, services
from carts.models import Cart
from carts.tests.factories import make_cart, make_rental
from carts.tests.test_sockets import Page, opened_page, refused
from core.live import announce
from devices.events import PresenceChanged
from tenants.models import BrowserSession, Grant, Role, User
from tenants.services import end_access
from tenants.services.second_factor import reset_second_factor
from tenants.services.sessions import sign_out_everywhere
from tenants.tests.factories import People, make_grant, make_people, make_user
from tenants.tests.signing_in import sign_in

pytestmark = pytest.mark.django_db(transaction=True)

NEVER_S = 3600.0
WITHIN_S = 60.0  # how soon what was taken away is no longer shown


@pytest.fixture(autouse=True)
def _connections_end_with_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(connection.settings_dict, "CONN_MAX_AGE", 0)


@in_database
def shop() -> tuple[People, Cart]:
    people = make_people()
    cart = make_cart(branch=people.branch)
    make_rental(cart=cart, customer=people.dora)
    return people, cart


def end_grant(user: User) -> None:
    Grant.objects.filter(user=user).delete()
    end_access(user.pk, actor="test")


def end_sessions(user: User) -> None:
    BrowserSession.objects.all().delete()


def change_password(user: User) -> None:
    user.set_password("another one, please")
    user.save()


def close_account(user: User) -> None:
    User.objects.filter(pk=user.pk).update(is_active=False)


async def opened(path: str, user: User) -> Page:
    page = await opened_page(path, user)
    assert (await page.open())["type"] == "websocket.accept"
    return page


def ask_only_before_sending(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(consumer: object) -> None:
        return

    monkeypatch.setattr(consumers.WatchingConsumer, "_keep_asking", never)
    monkeypatch.setattr(consumers, "RECHECK_S", -1.0)


def reset_factor(user: User) -> None:
    reset_second_factor(user=user, actor=make_manager())


def sign_out_all(user: User) -> None:
    sign_out_everywhere(user.pk)


def make_manager() -> User:
    manager = make_user()
    make_grant(user=manager, role="manager")
    return manager


async def test_managers_socket_needs_a_second_factor() -> None:
    people, _ = await shop()
    path = f"/ws/branches/{people.branch.pk}"

    assert await refused(path, people.alice, second_factor=False)
    assert not await refused(path, people.alice, second_factor=True)


@pytest.mark.parametrize("end", [end_grant, end_sessions, change_password, close_account, reset_factor, sign_out_all])
async def test_managers_socket_is_closed_when_the_right_to_it_ends(
    monkeypatch: pytest.MonkeyPatch, end: Callable[[User], None]
) -> None:
    monkeypatch.setattr(consumers, "RECHECK_S", 0.1)
    people, _ = await shop()
    page = await opened(f"/ws/branches/{people.branch.pk}", people.alice)

    await in_database(end)(people.alice)

    assert await page.next() == {"type": "websocket.close", "code": 4404}


@pytest.mark.parametrize("end", [end_sessions, close_account])
@pytest.mark.parametrize("path", ["/ws/me", "/ws/rentals/{}"])
async def test_customers_socket_is_closed_when_the_session_or_the_account_is(
    monkeypatch: pytest.MonkeyPatch, end: Callable[[User], None], path: str
) -> None:
    rental = await in_database(make_rental)()
    monkeypatch.setattr(consumers, "RECHECK_S", 0.5)
    page = await opened(path.format(rental.pk), rental.customer)

    await in_database(end)(rental.customer)
    message = await page.next()
    while message["type"] == "websocket.send":
        message = await page.next()

    assert message == {"type": "websocket.close", "code": 4404}


def test_shipped_interval_leaves_time_to_close_a_socket_within_a_minute() -> None:
    """Nothing wakes a socket: what it may show is asked by the clock alone."""
    assert consumers.RECHECK_S <= WITHIN_S / 2


async def test_nothing_is_sent_on_an_answer_that_is_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    ask_only_before_sending(monkeypatch)
    people, cart = await shop()
    page = await opened(f"/ws/branches/{people.branch.pk}", people.alice)

    await in_database(end_grant)(people.alice)
    await in_database(services.put_in_maintenance)(cart=cart, note="wheel", actor=people.bob)

    assert await page.next() == {"type": "websocket.close", "code": 4404}


async def test_who_lost_the_grant_would_be_told_if_nobody_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: the same, with the first answer good for ever."""
    monkeypatch.setattr(consumers, "RECHECK_S", NEVER_S)
    people, cart = await shop()
    page = await opened(f"/ws/branches/{people.branch.pk}", people.alice)

    await in_database(end_grant)(people.alice)
    await in_database(services.put_in_maintenance)(cart=cart, note="wheel", actor=people.bob)

    assert f'id="cart-tile-{cart.pk}"' in await page.html(holding="cart-tile")
    await page.close()


async def test_socket_whose_rights_cannot_be_read_is_closed_to_be_opened_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    people, _ = await shop()
    monkeypatch.setattr(consumers, "RECHECK_S", 0.5)
    page = await opened(f"/ws/branches/{people.branch.pk}", people.alice)

    def broken(scope: dict[str, Any]) -> User:
        raise OperationalError("no database")

    monkeypatch.setattr(consumers, "present_user", broken)

    assert await page.next() == {"type": "websocket.close", "code": 1013}


async def test_watcher_who_may_keeps_being_told(monkeypatch: pytest.MonkeyPatch) -> None:
    ask_only_before_sending(monkeypatch)
    people, cart = await shop()
    page = await opened(f"/ws/branches/{people.branch.pk}", people.alice)

    await in_database(services.put_in_maintenance)(cart=cart, note="wheel", actor=people.alice)

    assert 'id="rentals-now"' in await page.html(holding=f'id="cart-tile-{cart.pk}"')
    await page.close()


# Parts of a branch's page that ask for a permission of their own.

PARTS = {"rentals:view": ["rentals-now", "branch-figures"], "devices:view": ["devices-now"]}


def make_watcher(people: People, *permissions: str) -> User:
    role = Role.objects.create(code="watcher", name="Watcher", permissions=["carts:view", *permissions])
    watcher = make_user()
    Grant.objects.create(user=watcher, role=role, branch=people.branch)
    return watcher


def shown(html: str) -> list[str]:
    return [part for parts in PARTS.values() for part in parts if f'id="{part}"' in html]


@pytest.mark.parametrize("permissions", [[], ["rentals:view"], ["devices:view"], ["rentals:view", "devices:view"]])
def test_page_has_the_parts_its_reader_may_see(permissions: list[str]) -> None:
    people = make_people()
    rental = make_rental(cart=make_cart(branch=people.branch), customer=people.dora)
    client = Client()
    sign_in(client, make_watcher(people, *permissions))

    html = client.get(f"/control/branches/{people.branch.pk}").content.decode()

    assert f'id="cart-tile-{rental.cart_id}"' in html
    assert shown(html) == [part for permission in permissions for part in PARTS[permission]]
    assert (people.dora.masked_phone in html) == ("rentals:view" in permissions)


@pytest.mark.parametrize("permissions", [[], ["rentals:view"], ["devices:view"], ["rentals:view", "devices:view"]])
async def test_socket_sends_the_parts_its_reader_may_see(
    monkeypatch: pytest.MonkeyPatch, permissions: list[str]
) -> None:
    monkeypatch.setattr(consumers, "GATHER_S", 0.5)
    people, cart = await shop()
    watcher = await in_database(make_watcher)(people, *permissions)
    page = await opened(f"/ws/branches/{people.branch.pk}", watcher)

    @in_database
    def change_cart_and_device() -> None:
        with transaction.atomic():
            announce(PresenceChanged(cart.controller.device_id, people.branch.pk))
            services.put_in_maintenance(cart=cart, note="wheel", actor=people.alice)

    await change_cart_and_device()
    html = await page.html(holding=f'id="cart-tile-{cart.pk}"')
    await page.close()

    assert shown(html) == [part for permission in permissions for part in PARTS[permission]]
