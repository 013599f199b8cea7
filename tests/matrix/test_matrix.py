"""Every address × method × role × own, somebody else's, nobody's: what is another tenant's does not exist."""

import pytest
from django.contrib import admin

from tests.matrix import declared, record
from tests.matrix.askers import ASKERS, World, asker
from tests.matrix.asks import admin_asks, admin_lists, admin_names, page_asks, rest_asks
from tests.matrix.expected import may_ask, may_in_admin
from tests.matrix.judge import TURNS, Judge
from tests.matrix.play import first_others, play

pytestmark = [pytest.mark.timeout(600)]
ROLES = pytest.mark.parametrize("role", ASKERS)


def turn_of(role: str) -> int | None:
    """Neighbours in the list of roles compare different addresses, so that each is compared by a third of them."""
    return None if record.WHOLE else list(ASKERS).index(role) % TURNS


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


def _neighbour(world: World, role: str, asks: object) -> tuple[Judge, object]:
    other = Judge(asker(world, "chain_manager" if role == "other_chain_manager" else "other_chain_manager"))
    return other, asks(other.asker.own)


def _told(wrong: list[str]) -> str:
    return "\n".join([f"{len(wrong)} cells are wrong", *wrong[:40]])
