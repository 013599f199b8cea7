"""What the own must answer, by the declarations alone."""

import re
from enum import Enum

from django.contrib import admin

from tests.matrix import declared
from tests.matrix.askers import Asker
from tests.matrix.cells import Ask
from tests.matrix.judge import Answer

SAFE = ("GET", "HEAD", "OPTIONS")
# Where staff and managers get without their second factor.
OPEN_WITHOUT_FACTOR = ("/s/", "/r/", "/me/", "/i18n/", "/healthz")
# What somebody who looks at the product as another role may still send.
LEAVING = ("/i18n/", "/auth/leave", "/auth/sign-out")


FORM_ERRORS = re.compile(r'class="[^"]*errorlist|aria-invalid="true"|class="errornote')

# What a page of the admin asks for; whether an admin offers it at all is for the admin to say.
PAGES_OF_A_MODEL = {"changelist": "view", "change": "view", "history": "view", "add": "add", "delete": "delete"}


class May(Enum):
    """What is expected of an answer to a request about one's own."""

    YES = "yes"
    NO = "no"
    EITHER = "either"
    NOT_TAKEN = "not taken"


def may_ask(asker: Asker, ask: Ask, table: dict[str, dict[str, str]]) -> May:
    """Whether the declared words let this asker send this."""
    methods = table[ask.name]
    method = "GET" if ask.method == "HEAD" and "HEAD" not in methods else ask.method
    if method not in methods:
        return May.EITHER if declared.FLOW in methods.values() and not ask.json else May.NOT_TAKEN
    words = methods[method]
    if words == declared.FLOW:
        return May.EITHER
    if asker.read_only and ask.method not in SAFE and not ask.address.startswith(LEAVING):
        return May.NO
    if asker.one_factor and not ask.json and not ask.address.startswith(OPEN_WITHOUT_FACTOR):
        return May.NO
    if not ask.json and not asker.browses:
        return May.YES if declared.ANYBODY in words else May.NO
    terms = [word.strip() for word in words.split("|")]
    if any(fits(asker, word) for word in terms if word != declared.SELF):
        # What a query names may be out of reach where the list is not.
        return May.EITHER if ask.query else May.YES
    if declared.SELF in terms and asker.known and not asker.acting:
        return May.NO if asker.one_factor and ask.json else May.EITHER
    return May.NO


def may_in_admin(asker: Asker, ask: Ask) -> May:
    """The same for the admin: for staff alone, and there what their grants say of each model's resource.

    Whether rows are edited by hand at all is the admin's to say: there a grant is needed, and may not be enough.
    """
    page = ask.name.rpartition("_")[2]
    if ask.name in declared.ADMIN or ask.rows is None:
        # Django's own pages take every method for GET.
        may = may_ask(asker, ask, declared.ADMIN)
        return May.EITHER if may is May.NOT_TAKEN else may
    if not asker.staff:
        return May.NO
    place = "platform"
    for name in ("chain_path", "branch_path"):
        if getattr(ask.rows, name, ""):
            place = name.partition("_")[0]
    each = admin.site._registry[ask.rows]
    action = PAGES_OF_A_MODEL.get(page, "view")
    if page == "changelist" or (page == "add" and ask.rows._meta.label not in declared.ADDED_EVERYWHERE):
        place = asker.place
    held = asker.holds(f"{each.resource}:{action}", place=place)
    if not held:
        return May.NO
    return May.YES if ask.method == "GET" and action == "view" and page != "press" else May.EITHER


def fits(asker: Asker, word: str) -> bool:
    """Whether one of the declared words is true of somebody, for their own."""
    if ":" in word:
        permission, _, place = word.partition("@")
        return asker.holds(permission, place=place or "branch")
    return {
        declared.ANYBODY: True,
        declared.PERSON: asker.known,
        declared.STAFF: asker.staff,
        declared.DEVICE: asker.device is not None,
        declared.RENTER: asker.renter,
        declared.OWNER: asker.owner,
        declared.RENTING: asker.known and not asker.scoped,
    }[word]


class Outcome(Enum):
    """What became of a write."""

    DONE = "done"
    REFUSED = "refused"
    INVALID = "refused for what was in it, or for the state of what it is about"


def outcome(answer: Answer) -> Outcome:
    """Whether a write went through: forms are shown again with their errors."""
    if answer.refused or answer.status == 405:
        return Outcome.REFUSED
    return Outcome.INVALID if answer.status >= 400 or FORM_ERRORS.search(answer.text) else Outcome.DONE


def never_let_through(asker: Asker, outcomes: dict[tuple[str, str], set[Outcome]]) -> list[str]:
    """Writes this asker may send that were refused for what was in them, each time."""
    taken = {**declared.PAGES, **declared.REST}
    return [
        f"{asker.name}: {method} {name}: no body or form of the matrix is ever valid, so that nothing in it is compared"
        for (name, method), found in sorted(outcomes.items())
        if found == {Outcome.INVALID}
        if name not in declared.NEVER_VALID and method in taken.get(name, (method,))
        if name not in declared.NAMES or asker.holds(declared.NAMES[name], place=asker.place)
    ]


def unexpected(answer: Answer, ask: Ask, may: May) -> str:
    """What is wrong with an answer about one's own; "" where nothing is."""
    if ask.method == "HEAD" and answer.status == 405:
        return ""
    if may is May.YES and answer.refused:
        return f"refused with {answer.status} {answer.location}, though they may"
    if may is May.NO and not answer.refused:
        return f"answered {answer.status} {answer.location}, though they may not"
    if may is May.NOT_TAKEN and ask.method != "OPTIONS" and answer.status < 300:
        return f"answered {answer.status}, though it is not declared to take {ask.method}"
    return ""
