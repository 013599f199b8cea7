"""Every websocket × role × own, somebody else's, nobody's: who may listen, and what they are told."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from asgiref.testing import ApplicationCommunicator
from channels.db import database_sync_to_async as in_database
from django.db import connection

from carts import consumers, services
from carts.models import Cart, Rental
from config.asgi import application
from config.sockets import websocket_urlpatterns
from core import live, rates
from tests.matrix import declared, record
from tests.matrix.askers import ASKERS, Asker, World, asker, build_world
from tests.matrix.cells import NOBODYS_ID, own
from tests.matrix.estate import Side
from tests.matrix.expected import fits

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]

DEADLINE_S = 20.0
ROUTES = {str(route.pattern): list(route.pattern.converters) for route in websocket_urlpatterns}


@pytest.fixture(autouse=True)
def _as_in_the_web_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(connection.settings_dict, "CONN_MAX_AGE", 0)
    monkeypatch.setattr(rates, "meter", lambda counted: rates.Verdict(None, ()))


class Socket:
    """A page of somebody that opened a socket."""

    def __init__(self, path: str, asker: Asker) -> None:
        cookies = "; ".join(f"{name}={each.value}" for name, each in asker.browser.cookies.items())
        headers = [(b"host", b"testserver"), (b"origin", b"http://testserver"), (b"cookie", cookies.encode())]
        headers += [(b"authorization", str(asker.program.defaults.get("HTTP_AUTHORIZATION", "")).encode())]
        scope = {"type": "websocket", "path": path, "query_string": b"", "headers": headers, "subprotocols": []}
        self._socket = ApplicationCommunicator(application, scope)

    async def open(self) -> dict[str, Any]:
        await self._socket.send_input({"type": "websocket.connect"})
        return dict(await self._socket.receive_output(DEADLINE_S))

    async def until(self, text: str) -> str:
        """All that was sent up to the message that holds `text`."""
        said = ""
        while text not in said:
            message = await self._socket.receive_output(DEADLINE_S)
            said += message.get("text", "")
        return said

    async def close(self) -> None:
        await self._socket.send_input({"type": "websocket.disconnect", "code": 1000})
        await self._socket.wait(DEADLINE_S)


def path_of(route: str, side: Side | None) -> str:
    """The address with this side's ids; with nobody's for none."""
    path = f"/{route}"
    for name in ROUTES[route]:
        value = own(name, side) if side else NOBODYS_ID
        path = path.replace(f"<uuid:{name}>", str(value))
    return path


async def answers_of(asker: Asker, route: str) -> Iterator[tuple[str, dict[str, Any]]]:
    found = []
    sides: list[tuple[str, Side | None]] = [("own", asker.own), ("nobody's", None)]
    sides += [(other.canary, other) for other in asker.others if other is not asker.own]
    for whose, side in sides if ROUTES[route] else sides[:1]:
        socket = Socket(path_of(route, side), asker)
        found.append((whose, await socket.open()))
        await socket.close()
    return iter(found)


def test_every_socket_is_declared() -> None:
    missing = sorted(set(ROUTES) ^ set(declared.SOCKETS))
    assert missing == [], f"say in tests/matrix/declared.py, SOCKETS, who may open {missing}"


async def test_sockets_open_for_whom_they_should_and_answer_others_as_nobodys() -> None:
    world = await in_database(build_world)()
    wrong, cells = [], dict.fromkeys(ASKERS, 0)
    for role in ASKERS:
        somebody = await in_database(asker)(world, role)
        for route, words in declared.SOCKETS.items():
            answers = dict(await answers_of(somebody, route))
            cells[role] += len(answers)
            may = somebody.browser.cookies and any(fits(somebody, word.strip()) for word in words.split("|"))
            if (answers["own"]["type"] == "websocket.accept") is not bool(may):
                wrong.append(f"{role} {route}: own {answers['own']}")
            wrong += [
                f"{role} {route}: {whose} {answer}"
                for whose, answer in answers.items()
                if whose != "own" and answer != answers["nobody's"]
            ]
    assert wrong == []
    for role, count in cells.items():
        record.write(role.replace("_", " "), "sockets", count)


async def _heard(world: World, roles: tuple[str, ...]) -> dict[str, tuple[Asker, str]]:
    """What those who listen to their own branch are sent while the other chain's carts change, and then theirs."""
    sockets: dict[str, tuple[Asker, Socket]] = {}
    for role in roles:
        somebody = await in_database(asker)(world, role)
        socket = Socket(f"/ws/branches/{somebody.own.branch.pk}", somebody)
        assert (await socket.open())["type"] == "websocket.accept", role
        sockets[role] = (somebody, socket)
    carts: dict[Side, Cart] = {side: side.row(Cart) for side in (world.theirs, world.sister, world.ours)}
    for side, cart in carts.items():
        note = f"{side.canary} wheel"
        await in_database(services.put_in_maintenance)(cart=cart, note=note, actor=side.manager)
        rental = await in_database(Rental.objects.select_related("cart", "branch").get)(pk=side.row(Rental).pk)
        await in_database(services.close_rental)(rental=rental, reason=note, actor=side.manager)
    heard = {}
    for role, (somebody, socket) in sockets.items():
        heard[role] = (somebody, await socket.until(f"cart-tile-{carts[somebody.own].pk}"))
        await socket.close()
    return heard


LISTENERS = ("branch_manager", "chain_manager", "staff_of_one_chain", "staff_acting_as_somebody")


def _leaks(heard: dict[str, tuple[Asker, str]]) -> list[str]:
    return [
        f"{role}: {canary}"
        for role, (somebody, said) in heard.items()
        for canaries in somebody.canaries().values()
        for canary in canaries
        if canary in said.lower()
    ]


async def test_sockets_say_nothing_of_others() -> None:
    world = await in_database(build_world)()

    assert _leaks(await _heard(world, LISTENERS)) == []


async def test_sockets_say_nothing_of_others_control(monkeypatch: pytest.MonkeyPatch) -> None:
    """With one channel group for every branch, and fragments of whatever cart it names, the leak is heard."""
    monkeypatch.setattr(consumers, "branch_group", lambda branch_id: "branch.any")
    monkeypatch.setattr("carts.live.branch_group", lambda branch_id: "branch.any")
    monkeypatch.setattr(live, "branch_group", lambda branch_id: "branch.any")
    monkeypatch.setattr(consumers, "render_branch_changes", _of_any_branch(consumers.render_branch_changes))
    world = await in_database(build_world)()

    assert _leaks(await _heard(world, ("branch_manager",))) != []


def _of_any_branch(render: Any) -> Any:
    def careless(branch_id: UUID, cart_ids: set[UUID], *more: Any) -> str:
        branches = Cart.objects.filter(pk__in=cart_ids).values_list("branch_id", flat=True).distinct()
        return "".join(render(each, cart_ids, *more) for each in branches)

    return careless
