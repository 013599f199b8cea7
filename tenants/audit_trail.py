"""Reads of the audit, from the requester: rows of the places where they hold `audit:view`.

Rows without a place are the platform's. Pages go by key, newest first; nothing is counted.
"""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from uuid import UUID

from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.dateparse import parse_date

from core.audit import naming
from core.keys import key_of_text
from core.models import AuditEntry
from tenants import access, directory
from tenants.models import User

VIEW = "audit:view"
# More people than this with one name: whoever looks has to say more.
_MOST_NAMESAKES = 50
_LATEST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the audit is narrowed to.

    `who`: an id, an e-mail address or part of a name of somebody the asker sees, or a job. `place`: a chain, with its
    branches, or a branch. `since` and `until`: whole days, both included. `thing`: the exact id of anything a row
    names. `before`: entries older than the one with this number.
    """

    who: str = ""
    action: str = ""
    kind: str = ""
    place: UUID | None = None
    since: date | None = None
    until: date | None = None
    thing: str = ""
    before: int | None = None


def entries_visible_to(asker: User) -> QuerySet[AuditEntry]:
    """Entries this person may see, newest first."""
    return access.visible(asker, AuditEntry.objects.order_by("-pk"), VIEW)


def entries(asker: User, wanted: Wanted) -> QuerySet[AuditEntry]:
    """Those of them that are wanted. One query more where `who` is neither empty nor an id."""
    rows = entries_visible_to(asker)
    if wanted.who:
        rows = rows.filter(_done_by(asker, wanted.who))
    if wanted.action:
        rows = rows.filter(action=wanted.action)
    if wanted.kind:
        rows = rows.filter(entity=wanted.kind)
    if wanted.place:
        rows = rows.filter(Q(chain_id=wanted.place) | Q(branch_id=wanted.place))
    if wanted.since:
        rows = rows.filter(at__gte=_begin_of(wanted.since))
    if wanted.until:
        rows = rows.filter(at__lt=_begin_of(wanted.until + timedelta(days=1)))
    if wanted.thing:
        rows = rows.filter(naming(wanted.thing))
    if wanted.before is not None:
        rows = rows.filter(pk__lt=wanted.before)
    return rows


def entry_number(text: str) -> int | None:
    """The number of an entry, as an address gives it."""
    return int(text) if text.isascii() and text.isdecimal() and int(text) <= _LATEST else None


def day(text: str) -> date | None:
    """A date like 2026-11-21 that can be reckoned with; None for anything else."""
    try:
        found = parse_date(text)
    except ValueError:
        return None
    return found if found and 2000 <= found.year <= 2999 else None


def _done_by(asker: User, who: str) -> Q:
    """Names are looked up among people the asker sees, addresses among those they may know."""
    if found := key_of_text(who):
        return Q(actor_id=found) | Q(behind_id=found)
    address = Q(email__iexact=who) & directory.address_known(asker)
    people = directory.people_visible_to(asker).filter(address | Q(name__icontains=who) | Q(client_id=who))
    ids = list(people.order_by("pk").values_list("pk", flat=True)[:_MOST_NAMESAKES])
    return Q(actor_id__in=ids) | Q(behind_id__in=ids) | Q(actor_kind="job", actor_name__iexact=who)


def _begin_of(first: date) -> datetime:
    return timezone.make_aware(datetime.combine(first, time.min))
