"""Why somebody may do something or not, as data, and in words of whoever reads it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import gettext as _

from tenants.powers import Held


class ReasonKind(StrEnum):
    """What can speak for or against."""

    NOBODY = "nobody"
    CLOSED = "closed"
    SCOPES = "scopes"
    OWN = "own"
    GRANT = "grant"
    SEEN_AS = "seen-as"
    READ_ONLY = "read-only"
    NO_SECOND_FACTOR = "no-second-factor"
    NOT_GRANTED = "not-granted"
    ELSEWHERE = "elsewhere"
    RAN_OUT = "ran-out"
    TAKEN = "taken"


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason: `held` is the role and place it is about, `at` when that ended.

    One about a grant without `held`: there is one in a place the asker does not see.
    """

    kind: ReasonKind
    permission: str
    held: Held | None = None
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Names:
    """What roles and places are called, by code and by key."""

    roles: Mapping[str, str] = field(default_factory=dict)
    places: Mapping[UUID, str] = field(default_factory=dict)

    def role(self, held: Held) -> str:
        return self.roles.get(held.role, held.role)

    def place(self, held: Held) -> str:
        key = held.branch_id or held.chain_id
        if key is None:
            return _("the whole platform")
        return self.places.get(key, str(key))


def words(reason: Reason, names: Names) -> str:
    """The reason as a sentence, in the language of whoever reads."""
    text = _sentence(reason.kind) if reason.held else _unseen(reason.kind) or _sentence(reason.kind)
    values = {"permission": reason.permission, "role": "", "place": "", "at": "", "until": ""}
    if reason.held:
        values |= {"role": names.role(reason.held), "place": names.place(reason.held)}
        if reason.held.expires_at:
            text = _until(reason.kind) or text
            values["until"] = _when(reason.held.expires_at)
    if reason.at:
        values["at"] = _when(reason.at)
    return text % values


def _sentence(kind: ReasonKind) -> str:
    return {
        ReasonKind.NOBODY: _("Nobody is signed in."),
        ReasonKind.CLOSED: _("The account is closed."),
        ReasonKind.SCOPES: _("The token that is used leaves out %(permission)s."),
        ReasonKind.OWN: _("It is their own."),
        ReasonKind.GRANT: _("They are %(role)s on %(place)s, which allows it."),
        ReasonKind.SEEN_AS: _("It is looked at as %(role)s on %(place)s, and nothing else counts meanwhile."),
        ReasonKind.READ_ONLY: _("Nothing can be changed while it is looked at as another role."),
        ReasonKind.NO_SECOND_FACTOR: _(
            "They are %(role)s on %(place)s, which would allow it, but without a second factor it does not count."
        ),
        ReasonKind.NOT_GRANTED: _("Nothing they hold allows %(permission)s there."),
        ReasonKind.ELSEWHERE: _("They are %(role)s on %(place)s, which allows it there, but not here."),
        ReasonKind.RAN_OUT: _("They were %(role)s on %(place)s, which allowed it. It ran out on %(at)s."),
        ReasonKind.TAKEN: _("They were %(role)s on %(place)s, which allowed it. It was taken on %(at)s."),
    }[kind]


def _unseen(kind: ReasonKind) -> str:
    if kind == ReasonKind.GRANT:
        return _("They hold a role in a place you don't see, which allows it.")
    if kind == ReasonKind.NO_SECOND_FACTOR:
        return _(
            "They hold a role in a place you don't see, which would allow it,"
            " but without a second factor it does not count."
        )
    return ""


def _until(kind: ReasonKind) -> str:
    if kind == ReasonKind.GRANT:
        return _("They are %(role)s on %(place)s until %(until)s, which allows it.")
    if kind == ReasonKind.ELSEWHERE:
        return _("They are %(role)s on %(place)s until %(until)s, which allows it there, but not here.")
    return ""


def _when(moment: datetime) -> str:
    local = localtime(moment)
    return f"{date_format(local, 'j M Y')} {date_format(local, 'H:i')}"
