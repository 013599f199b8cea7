"""May somebody do something to something, and why: the decision of `tenants.access`, with everything beside it.

Of others, grants are named only as far as the asker may see those of that place. Of one that decides and lies out of
their sight it is told that there is one, and nothing else.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.db import models
from django.db.models import Q

from core.models import AuditEntry
from tenants import access
from tenants.directory import with_factor
from tenants.models import Branch, Chain, Grant, Role, User
from tenants.powers import Held, Powers
from tenants.reasons import Names, Reason, ReasonKind, words

MOST_ENDED = 3
MOST_PEOPLE = 100
M = TypeVar("M", bound=models.Model)


@dataclass(frozen=True, slots=True)
class Explanation:
    """The answer, and every reason in the order in which they count."""

    allowed: bool
    reasons: tuple[Reason, ...]
    names: Names

    def sentences(self) -> list[str]:
        """The reasons in words of the reader's language."""
        return [words(reason, self.names) for reason in self.reasons]


def at_best(user: User, *, has_factor: bool) -> User:
    """A person of whom no way in is known, with what the best of theirs would be worth."""
    given = has_factor or bool(user.client_id) or settings.CF_ACCESS_IS_SECOND_FACTOR
    user.powers = Powers(second_factor=given)
    return user


def explain(user: User | AnonymousUser, permission: str, thing: object = None, *, asker: User) -> Explanation:
    """May `user` do this to that thing, as far as how they came in lets them, and why.

    At most eight queries, and those for the place of a thing that was read without it.
    """
    where = access.where(thing)
    decision = access.may(user, permission, where)
    reasons = tuple(_reasons(user, decision, permission, where, asker))
    return Explanation(decision.allowed, reasons, names_of(reason.held for reason in reasons if reason.held))


def _reasons(
    user: User | AnonymousUser, decision: access.Decision, permission: str, where: access.Where | None, asker: User
) -> Iterator[Reason]:
    first = decision.reason
    if not isinstance(user, User) or first.kind in (ReasonKind.NOBODY, ReasonKind.CLOSED, ReasonKind.SCOPES):
        yield first
        return
    told = _Told(asker, user, permission)
    if first.kind == ReasonKind.OWN:
        yield first
    if user.powers.seen_as is not None and told.itself:
        yield Reason(ReasonKind.SEEN_AS, permission, user.powers.seen_as)
    here = [held for held in access.grants_of(user) if _allows(held, permission) and access.covers(held, where)]
    yield from told.named(ReasonKind.GRANT, here) if first.kind == ReasonKind.OWN else told.of(ReasonKind.GRANT, here)
    if decision.allowed:
        if user.powers.read_only and not permission.endswith(":view"):
            yield Reason(ReasonKind.READ_ONLY, permission)
        return
    yield from _against(told, where)


def _against(told: "_Told", where: access.Where | None) -> Iterator[Reason]:
    """Why not, beginning with what is nearest to a yes."""
    held = [each for each in access.all_held(told.user) if _allows(each, told.permission)]
    here = [each for each in held if access.covers(each, where)]
    if here and not told.user.powers.second_factor:
        yield from told.of(ReasonKind.NO_SECOND_FACTOR, here)
    else:
        yield Reason(ReasonKind.NOT_GRANTED, told.permission)
    yield from told.named(ReasonKind.ELSEWHERE, [each for each in held if each not in here])
    yield from told.ended(where)


def _allows(held: Held, permission: str) -> bool:
    return access.permits(held.permissions, permission)


@dataclass(slots=True)
class _Told:
    """What the asker is told of what a person holds or held: of somebody else, what lies in the asker's sight."""

    asker: User
    user: User
    permission: str
    _grants: list[Grant] | None = None

    @property
    def itself(self) -> bool:
        return self.asker.pk == self.user.pk

    def named(self, kind: ReasonKind, held: Iterable[Held]) -> list[Reason]:
        """One reason for each that may be named."""
        seen = {grant.pk for grant in self._seen()} if not self.itself else ()
        return [Reason(kind, self.permission, each) for each in held if self.itself or each.grant_id in seen]

    def of(self, kind: ReasonKind, held: list[Held]) -> list[Reason]:
        """The same for what decides: where nothing may be named, that there is something."""
        return self.named(kind, held) or ([Reason(kind, self.permission)] if held else [])

    def ended(self, where: access.Where | None) -> list[Reason]:
        """What they held there and hold no more: grants that ran out a moment ago, and those the audit tells of."""
        late = [grant for grant in self._seen() if not grant.in_force]
        ended = [
            Reason(ReasonKind.RAN_OUT, self.permission, _held(row.role, row.chain_id, row.branch_id), row.expires_at)
            for row in late
        ]
        ended += self._ended_in_audit()
        fits = [
            each
            for each in ended
            if each.held and _allows(each.held, self.permission) and access.covers(each.held, where)
        ]
        return fits[:MOST_ENDED]

    def _ended_in_audit(self) -> list[Reason]:
        key = str(self.user.pk)
        about = Q(action="deleted", before__user=key) | Q(action="ran out", after__user=key)
        rows = self._in_sight(AuditEntry.objects.filter(about, entity=Grant._meta.label_lower))
        entries = list(rows.order_by("-pk")[:MOST_PEOPLE])
        # A row that was deleted tells its role by key, one that ran out by code.
        roles = {name: role for role in Role.objects.all() for name in (role.pk, role.code)} if entries else {}
        return [reason for entry in entries if (reason := _ended_by(entry, self.permission, roles))]

    def _seen(self) -> list[Grant]:
        if self._grants is None:
            self._grants = list(self._in_sight(Grant.objects.filter(user=self.user).select_related("role")))
        return self._grants

    def _in_sight(self, rows: "models.QuerySet[M]") -> "models.QuerySet[M]":
        return rows if self.itself else access.visible(self.asker, rows, "grants:view")


def _ended_by(row: AuditEntry, permission: str, roles: Mapping[int | str, Role]) -> Reason | None:
    taken = row.action == "deleted"
    role = roles.get(((row.before if taken else row.after) or {}).get("role", ""))
    if role is None:
        return None
    # The audit tells the chain of a branch too; it was held on the branch.
    held = _held(role, None if row.branch_id else row.chain_id, row.branch_id)
    return Reason(ReasonKind.TAKEN if taken else ReasonKind.RAN_OUT, permission, held, row.at)


def _held(role: Role, chain_id: UUID | None, branch_id: UUID | None) -> Held:
    return Held(role.code, frozenset(role.permissions), chain_id, branch_id)


def names_of(held: Iterable[Held]) -> Names:
    """What the roles and places of these are called. Three queries."""
    every = list(held)
    chains = {each.chain_id for each in every if each.chain_id}
    branches = {each.branch_id for each in every if each.branch_id}
    places = dict(Chain.objects.filter(pk__in=chains).values_list("pk", "name")) if chains else {}
    if branches:
        places |= dict(Branch.objects.filter(pk__in=branches).values_list("pk", "name"))
    codes = {each.role for each in every}
    return Names(dict(Role.objects.filter(code__in=codes).values_list("code", "name")) if codes else {}, places)


def people_who_may(permission: str, thing: models.Model, *, asker: User) -> list[User]:
    """Everybody in the asker's sight whom a grant, or being its subject, lets do this to that thing; the first hundred.

    Each with the powers their best way in would have. A few queries, however many people.
    """
    where = access.where(thing) or access.Where()
    roles = [role.pk for role in Role.objects.all() if access.permits(role.permissions, permission)]
    places = Q(grants__chain__isnull=True, grants__branch__isnull=True)
    places |= Q(grants__chain__in=where.chains) | Q(grants__branch__in=where.branches)
    found = Q(pk__in=User.objects.filter(places, grants__role__in=roles).values("pk"))
    if where.owner:
        found |= Q(pk=where.owner)
    seen = access.visible(asker, User.objects.filter(is_active=True), "users:view") | User.objects.filter(pk=asker.pk)
    rows: list[Any] = list(with_factor(seen.filter(found)).order_by("name", "email", "pk")[:MOST_PEOPLE])
    access.read_held(rows)
    return [user for user in rows if access.may(at_best(user, has_factor=user.has_factor), permission, where)]
