"""Every address × method × role × own, somebody else's, nobody's: what is another tenant's does not exist."""

from collections.abc import Callable, Container, Iterable

import pytest

from tests.matrix import declared
from tests.matrix.askers import ASKERS, World, asker
from tests.matrix.asks import admin_asks, admin_lists, admin_names, kind_of, offered, page_asks, rest_asks
from tests.matrix.cells import Ask
from tests.matrix.expected import May, may_ask, may_in_admin, unexpected
from tests.matrix.judge import Answer, Judge

pytestmark = [pytest.mark.timeout(300)]
ROLES = pytest.mark.parametrize("role", ASKERS)


@ROLES
def test_pages(world: World, unlimited: None, role: str) -> None:
    judge = Judge(asker(world, role), area="pages")
    _play(judge, page_asks(judge.asker.own), lambda ask: may_ask(judge.asker, ask, declared.PAGES), declared.PAGES)


@ROLES
def test_rest(world: World, unlimited: None, role: str) -> None:
    judge = Judge(asker(world, role), area="REST")
    _play(judge, rest_asks(judge.asker.own), lambda ask: may_ask(judge.asker, ask, declared.REST), ())


@ROLES
def test_admin(world: World, unlimited: None, role: str) -> None:
    judge = Judge(asker(world, role), area="admin")
    lists = admin_lists(judge.asker.own) if judge.asker.staff else ()
    # Who sees everything is told nothing by an id: their pages are opened, what these offer is for who must not.
    names = {name for name, _ in admin_names()} if judge.asker.others and judge.asker.staff else ()
    _play(judge, (*admin_asks(judge.asker.own), *lists), lambda ask: may_in_admin(judge.asker, ask), names)


def _play(judge: Judge, asks: Iterable[Ask], may: Callable[[Ask], May], followed: Container[str]) -> None:
    """Each request, and each that its page offers where the address is one of those to follow."""
    seen = set()
    for ask in asks:
        answer = _judged(judge, ask, may(ask))
        if ask.method != "GET" or answer.status != 200 or not followed:
            continue
        for more in offered(ask, answer.text, judge.asker.own):
            if more.name in followed and (kind := kind_of(more)) not in seen:
                seen.add(kind)
                _judged(judge, more, may(more))
    print(judge.asker.name, judge.cells)  # noqa: T201 (shown when it fails)
    assert judge.wrong == [], "\n".join(judge.wrong[:60])


def _judged(judge: Judge, ask: Ask, may: May) -> Answer:
    open_to_all = ask.name in declared.OPEN_TO_ALL
    answer = judge.own(ask, open_to_all=open_to_all)
    if said := unexpected(answer, ask, may):
        judge.wrong.append(f"{judge.asker.name}: {ask}: {said}")
    at_the_door = judge.area == "admin" and not judge.asker.staff
    if not (at_the_door and ask.method != "GET"):
        judge.compare(ask, open_to_all=open_to_all, thoroughly=not at_the_door and may is not May.NOT_TAKEN)
    return answer
