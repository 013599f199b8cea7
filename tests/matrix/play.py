"""Plays requests as somebody and judges every answer."""

from collections.abc import Callable, Container, Iterable

from tests.matrix import declared
from tests.matrix.asks import kind_of, offered
from tests.matrix.cells import Ask
from tests.matrix.expected import May, unexpected
from tests.matrix.judge import Answer, Judge


def play(judge: Judge, asks: Iterable[Ask], may: Callable[[Ask], May], followed: Container[str] = ()) -> list[str]:
    """What is wrong with the answers to these requests, and to what their pages offer at the addresses `followed`."""
    seen = set()
    for ask in asks:
        answer = _judged(judge, ask, may(ask))
        if ask.method != "GET" or answer.status != 200 or not followed:
            continue
        for more in offered(ask, answer.text, judge.asker.own):
            if more.name in followed and (kind := kind_of(more)) not in seen:
                seen.add(kind)
                _judged(judge, more, may(more))
    return judge.wrong


def _judged(judge: Judge, ask: Ask, may: May) -> Answer:
    open_to_all = ask.name in declared.OPEN_TO_ALL or ask.name in judge.asker.told_at
    answer = judge.own(ask, open_to_all=open_to_all)
    if said := unexpected(answer, ask, may):
        judge.wrong.append(f"{judge.asker.name}: {ask}: {said}")
    at_the_door = judge.area == "admin" and not judge.asker.staff
    not_taken = may is May.NOT_TAKEN
    # At the door of the admin, and by methods that are not taken, everything is refused alike: one of them shows it.
    if not (at_the_door and ask.method != "GET") and not (not_taken and ask.method != "DELETE"):
        judge.compare(ask, open_to_all=open_to_all, thoroughly=not at_the_door and not not_taken)
    return answer


def first_others(judge: Judge, asks: Iterable[Ask]) -> None:
    """Let somebody of the other side read the same addresses first: whatever is kept of it must not be told to us."""
    for ask in asks:
        if ask.method == "GET":
            judge.own(ask)
