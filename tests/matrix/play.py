"""Plays requests as somebody and judges every answer."""

from collections.abc import Callable, Container, Iterable
from enum import Enum

from tests.matrix import declared, record
from tests.matrix.askers import ASKERS
from tests.matrix.asks import kind_of, offered
from tests.matrix.cells import Ask
from tests.matrix.expected import SAFE, May, Outcome, never_let_through, outcome, unexpected
from tests.matrix.judge import TURNS, Answer, Judge


def play(judge: Judge, asks: Iterable[Ask], may: Callable[[Ask], May], followed: Container[str] = ()) -> list[str]:
    """What is wrong with the answers to these requests, and to what their pages offer at the addresses `followed`."""
    seen = set()
    outcomes: dict[tuple[str, str], set[Outcome]] = {}
    for ask in asks:
        answer = _judged(judge, ask, may(ask), outcomes)
        if ask.method != "GET" or answer.status != 200 or not followed:
            continue
        for more in offered(ask, answer.text, judge.asker.own):
            if more.name in followed and (kind := kind_of(more)) not in seen:
                seen.add(kind)
                _judged(judge, more, may(more), outcomes)
    if judge.asker.others:
        judge.wrong.extend(never_let_through(judge.asker, outcomes))
    return judge.wrong


def _judged(judge: Judge, ask: Ask, may: May, outcomes: dict[tuple[str, str], set[Outcome]]) -> Answer:
    answer = judge.own(ask)
    if said := unexpected(answer, ask, may):
        judge.wrong.append(f"{judge.asker.name}: {ask}: {said}")
    if ask.method not in SAFE and may in (May.YES, May.EITHER):
        outcomes.setdefault((ask.name, ask.method), set()).add(outcome(answer))
    match comparison(judge, ask, may):
        case Compared.EVERYWHERE:
            judge.compare(ask)
        case Compared.ONCE:
            judge.compare(ask, thoroughly=False)
    return answer


class Compared(Enum):
    """How a request is compared with the same about somebody else's and nobody's."""

    EVERYWHERE = "in every place of it"
    ONCE = "once"
    NOT = "not"


def comparison(judge: Judge, ask: Ask, may: May) -> Compared:
    """In every place by whoever may ask, in each run; those who are refused take turns.

    At the door of the admin, and by methods that are not taken, everything is refused alike: one of them shows it.
    """
    at_the_door = judge.area == "admin" and not judge.asker.staff
    not_taken = may is May.NOT_TAKEN
    if (at_the_door and ask.method != "GET") or (not_taken and ask.method != "DELETE"):
        return Compared.NOT
    if (at_the_door or not_taken or may is May.NO) and not judge.has_turn(ask):
        return Compared.NOT
    return Compared.ONCE if at_the_door or not_taken else Compared.EVERYWHERE


def turn_of(role: str) -> int | None:
    """Neighbours in the list of roles compare different refusals, so that each address is compared by a third."""
    return None if record.WHOLE else list(ASKERS).index(role) % TURNS


def first_others(judge: Judge, asks: Iterable[Ask]) -> None:
    """Let somebody of the other side read the same addresses first: whatever is kept of it must not be told to us."""
    for ask in asks:
        words = (declared.REST if ask.json else declared.PAGES)[ask.name].get("GET", declared.FLOW)
        if ask.method == "GET" and not ask.query and words != declared.FLOW:
            judge.own(ask)
