"""What open pages are sent, and who may listen at all."""

from typing import Any
from uuid import uuid4

import pytest
from asgiref.testing import ApplicationCommunicator
from channels.db import database_sync_to_async as in_database
from django.conf import settings
from django.db import connection, transaction
from django.test import Client
from django.utils.translation import gettext, override

from carts import services
from carts.models import Rental
from carts.tests.factories import make_cart, make_rental
from config.asgi import application
from core.live import announce
from devices.events import PresenceChanged
from devices.services import record_birth
from tenants.models import User
from tenants.tests.factories import make_people, make_phone, make_user
from tenants.tests.signing_in import sign_in

pytestmark = pytest.mark.django_db(transaction=True)

DEADLINE_S = 10.0
OWN_ORIGIN = "http://testserver"


class Page:
    """A page that opened a socket, as a browser does: cookies, origin, languages."""

    def __init__(
        self,
        path: str,
        user: User | None,
        *,
        language: str = "en",
        origin: str = "http://testserver",
        second_factor: bool = True,
    ) -> None:
        cookie = ""
        if user is not None:
            client = Client()
            sign_in(client, user, second_factor=second_factor)
            cookie = f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}"
        headers = [
            (b"host", b"testserver"),
            (b"origin", origin.encode()),
            (b"cookie", cookie.encode()),
            (b"accept-language", language.encode()),
        ]
        scope = {"type": "websocket", "path": path, "query_string": b"", "headers": headers, "subprotocols": []}
        self._socket = ApplicationCommunicator(application, scope)

    async def open(self) -> dict[str, Any]:
        await self._socket.send_input({"type": "websocket.connect"})
        return dict(await self._socket.receive_output(DEADLINE_S))

    async def html(self, *, holding: str) -> str:
        """The next message that holds this."""
        while True:
            message = await self._socket.receive_output(DEADLINE_S)
            if holding in message.get("text", ""):
                return str(message["text"])

    async def next(self) -> dict[str, Any]:
        return dict(await self._socket.receive_output(DEADLINE_S))

    async def close(self) -> None:
        await self._socket.send_input({"type": "websocket.disconnect", "code": 1000})
        await self._socket.wait(DEADLINE_S)


@pytest.fixture(autouse=True)
def _connections_end_with_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the web process; the threads of a test's event loop would keep theirs."""
    monkeypatch.setitem(connection.settings_dict, "CONN_MAX_AGE", 0)


@in_database
def opened_page(path: str, user: User | None, **options: Any) -> Page:
    return Page(path, user, **options)


async def refused(path: str, user: User | None, **options: Any) -> bool:
    page = await opened_page(path, user, **options)
    answer = await page.open()
    return bool(answer["type"] == "websocket.close")


async def test_customer_is_sent_the_rental_at_once_and_when_it_changes() -> None:
    rental = await in_database(make_rental)()
    page = await opened_page(f"/ws/rentals/{rental.pk}", rental.customer)

    assert (await page.open())["type"] == "websocket.accept"
    first = await page.html(holding=f'id="rental-{rental.pk}"')
    await in_database(services.close_rental)(rental=rental, reason="test", actor=await in_database(make_user)())
    second = await page.html(holding='data-status="closed_by_staff"')
    await page.close()

    assert 'data-status="active"' in first
    assert f'id="rental-{rental.pk}"' in second


async def test_customers_own_socket_tells_all_their_rentals_and_nobody_elses() -> None:
    @in_database
    def arrange() -> tuple[Rental, Rental]:
        own, other = make_rental(), make_rental()
        return own, other

    own, other = await arrange()
    staff = await in_database(make_user)()
    page = await opened_page("/ws/me", own.customer)
    await page.open()

    await in_database(services.close_rental)(rental=other, reason="test", actor=staff)
    await in_database(services.close_rental)(rental=own, reason="test", actor=staff)
    html = await page.html(holding="rental-")
    await page.close()

    assert f'id="rental-{own.pk}"' in html
    assert str(other.pk) not in html


async def test_strangers_hear_nothing() -> None:
    rental = await in_database(make_rental)()
    stranger = await in_database(make_user)(phone=await in_database(make_phone)())
    people = await in_database(make_people)()
    path, branch = f"/ws/rentals/{rental.pk}", f"/ws/branches/{people.branch.pk}"

    answers = {
        "another customer": await refused(path, stranger),
        "nobody": await refused(path, None),
        "nobody's own": await refused("/ws/me", None),
        "a rental that does not exist": await refused(f"/ws/rentals/{uuid4()}", rental.customer),
        "another chain's manager": await refused(branch, people.charlie),
        "a customer": await refused(branch, people.dora),
        "nobody at a branch": await refused(branch, None),
        "a page of another site": await refused(path, rental.customer, origin="http://evil.example"),
    }

    assert answers == dict.fromkeys(answers, True)


async def test_managers_of_the_branch_may_listen() -> None:
    people = await in_database(make_people)()
    path = f"/ws/branches/{people.branch.pk}"

    for user in (people.alice, people.bob, people.erin):
        page = await opened_page(path, user)
        assert (await page.open())["type"] == "websocket.accept"
        await page.close()


async def test_manager_is_sent_the_parts_that_changed() -> None:
    people = await in_database(make_people)()
    cart = await in_database(make_cart)(branch=people.branch)
    page = await opened_page(f"/ws/branches/{people.branch.pk}", people.alice)
    await page.open()

    await in_database(services.put_in_maintenance)(cart=cart, note="wheel", actor=people.alice)
    html = await page.html(holding=f'id="cart-tile-{cart.pk}"')
    await page.close()

    assert 'id="rentals-now"' in html
    assert 'id="branch-figures"' in html
    assert 'id="devices-now"' not in html


async def test_manager_sees_devices_come_and_go() -> None:
    people = await in_database(make_people)()
    cart = await in_database(make_cart)(branch=people.branch)
    page = await opened_page(f"/ws/branches/{people.branch.pk}", people.alice)
    await page.open()

    await in_database(record_birth)(
        device_id=cart.controller.device_id, connection_id=uuid4(), boot_id=uuid4(), firmware_version="2"
    )
    html = await page.html(holding='id="devices-now"')
    await page.close()

    assert f'id="device-row-{cart.controller.device_id}"' in html


async def test_changes_of_another_branch_are_not_sent() -> None:
    people = await in_database(make_people)()
    strange = await in_database(make_cart)(branch=people.strange_branch)
    own = await in_database(make_cart)(branch=people.branch)
    page = await opened_page(f"/ws/branches/{people.branch.pk}", people.alice)
    await page.open()

    await in_database(services.put_in_maintenance)(cart=strange, note="wheel", actor=people.charlie)
    await in_database(services.put_in_maintenance)(cart=own, note="wheel", actor=people.alice)
    html = await page.html(holding="cart-tile-")
    await page.close()

    assert f'id="cart-tile-{own.pk}"' in html
    assert str(strange.pk) not in html


@pytest.mark.parametrize("language", ["en", "he", "fa", "fr"])
async def test_fragments_speak_the_readers_language(language: str) -> None:
    people = await in_database(make_people)()
    cart = await in_database(make_cart)(branch=people.branch)
    page = await opened_page(f"/ws/branches/{people.branch.pk}", people.alice, language=language)
    await page.open()

    await in_database(services.put_in_maintenance)(cart=cart, note="wheel", actor=people.alice)
    html = await page.html(holding='id="rentals-now"')
    await page.close()

    with override(language):
        title = gettext("Rentals now")
    assert title in html
    assert (title == "Rentals now") == (language == "en")


async def test_event_of_a_rolled_back_change_is_never_shown() -> None:
    people = await in_database(make_people)()
    cart = await in_database(make_cart)(branch=people.branch)
    page = await opened_page(f"/ws/branches/{people.branch.pk}", people.alice)
    await page.open()

    @in_database
    def roll_back() -> None:
        with transaction.atomic():
            announce(PresenceChanged(cart.controller.device_id, people.branch.pk))
            transaction.set_rollback(True)

    await roll_back()
    await in_database(services.put_in_maintenance)(cart=cart, note="wheel", actor=people.alice)
    html = await page.html(holding="cart-tile-")
    await page.close()

    assert "devices-now" not in html
