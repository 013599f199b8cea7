"""Every address × method × role × own, somebody else's, nobody's: what is another tenant's does not exist."""

from collections.abc import Iterator

import pytest
from django.contrib import admin

from tests.matrix import declared, record
from tests.matrix.askers import ASKERS, Asker, World, asker
from tests.matrix.asks import admin_asks, admin_lists, admin_names, page_asks, rest_asks
from tests.matrix.cells import Ask
from tests.matrix.estate import owned_models
from tests.matrix.expected import May, may_ask, may_in_admin
from tests.matrix.judge import Judge
from tests.matrix.play import Compared, comparison, first_others, play, turn_of

pytestmark = [pytest.mark.timeout(600)]
ROLES = pytest.mark.parametrize("role", ASKERS)


@ROLES
def test_pages(world: World, unlimited: None, role: str) -> None:
    judge = Judge(asker(world, role), area="pages", turn=turn_of(role))
    first_others(*_neighbour(world, role, page_asks))
    wrong = play(
        judge,
        page_asks(judge.asker.own),
        lambda ask: may_ask(judge.asker, ask, declared.PAGES),
        declared.PAGES,
    )
    assert wrong == [], _told(wrong)
    record.keep(judge)


@ROLES
def test_rest(world: World, unlimited: None, role: str) -> None:
    judge = Judge(asker(world, role), area="REST", turn=turn_of(role))
    first_others(*_neighbour(world, role, rest_asks))
    wrong = play(judge, rest_asks(judge.asker.own), lambda ask: may_ask(judge.asker, ask, declared.REST))
    assert wrong == [], _told(wrong)
    record.keep(judge)


# Those whom the admin holds to one chain are tried with all that its pages offer: in parts, for several workers.
PARTS = {"staff_of_one_chain": 4, "support_access": 2}
PLAYED = [(role, part) for role in ASKERS for part in range(PARTS.get(role, 1))]


@pytest.mark.parametrize(("role", "part"), PLAYED, ids=str)
def test_admin(world: World, unlimited: None, role: str, part: int) -> None:
    judge = Judge(asker(world, role), area="admin", turn=turn_of(role))
    lists = admin_lists(judge.asker.own) if judge.asker.staff else ()
    # Who sees everything is told nothing by an id: what their pages offer is tried by those who must not.
    followed = {name for name, _ in admin_names()} if judge.asker.others and judge.asker.staff else ()
    models = list(enumerate([None, *admin.site._registry]))
    mine = {model for number, model in models if number % PARTS.get(role, 1) == part}
    asks = [ask for ask in (*admin_asks(judge.asker.own), *lists) if ask.rows in mine]
    wrong = play(judge, asks, lambda ask: may_in_admin(judge.asker, ask), followed)
    assert wrong == [], _told(wrong)
    record.keep(judge, part)


def test_every_address_is_compared_by_somebody_who_may(world: World) -> None:
    """In each run; what is compared only by those who are refused at the door shows nothing."""
    refused, compared = set(), set()
    for role in ASKERS:
        judge = Judge(asker(world, role), turn=turn_of(role))
        for area, ask, may in _all_asks(judge.asker):
            judge.area = area
            # Of other rows there are none that are somebody's.
            if not judge.can_compare(ask) or (ask.rows and ask.rows not in owned_models()):
                continue
            if may is May.NO:
                refused.add((ask.name, ask.method))
            elif comparison(judge, ask, may) is Compared.EVERYWHERE:
                compared.add((ask.name, ask.method))
    assert refused - compared == set()


def _all_asks(asker: Asker) -> Iterator[tuple[str, Ask, May]]:
    for ask in page_asks(asker.own):
        yield "pages", ask, may_ask(asker, ask, declared.PAGES)
    for ask in rest_asks(asker.own):
        yield "REST", ask, may_ask(asker, ask, declared.REST)
    for ask in admin_asks(asker.own):
        yield "admin", ask, may_in_admin(asker, ask)


def _neighbour(world: World, role: str, asks: object) -> tuple[Judge, object]:
    other = Judge(asker(world, "chain_manager" if role == "other_chain_manager" else "other_chain_manager"))
    return other, asks(other.asker.own)


def _told(wrong: list[str]) -> str:
    return "\n".join([f"{len(wrong)} cells are wrong", *wrong[:40]])
