"""May somebody do something to something, and why: the decision of `tenants.access`, with everything beside it.

What does not decide is told only as far as the asker may see the grants of that place.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from uuid import UUID

from allauth.mfa.utils import is_mfa_enabled
from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.db import models
from django.db.models import Q
from django.utils import timezone

from core.models import AuditEntry
from core.places import paths, walk
from tenants import access
from tenants.models import Branch, Chain, Grant, Role, User
from tenants.powers import Held, Powers
from tenants.reasons import Names, Reason, ReasonKind, words

MOST_ENDED = 3
MOST_PEOPLE = 100


@dataclass(frozen=True, slots=True)
class Explanation:
    """The answer, and every reason in the order in which they count."""

    allowed: bool
    reasons: tuple[Reason, ...]
    names: Names

    def sentences(self) -> list[str]:
        """The reasons in words of the reader's language."""
        return [words(reason, self.names) for reason in self.reasons]


def at_best(user: User) -> User:
    """A person of whom no way in is known, with what the best of theirs would be worth."""
    given = is_mfa_enabled(user) or bool(user.client_id) or settings.CF_ACCESS_IS_SECOND_FACTOR
    user.powers = Powers(second_factor=given)
    return user


def explain(user: User | AnonymousUser, permission: str, thing: object = None, *, asker: User) -> Explanation:
    """May `user` do this to that thing, as far as how they came in lets them, and why. At most six queries."""
    decision = access.may(user, permission, thing)
    reasons = tuple(_reasons(user, decision, permission, thing, asker))
    return Explanation(decision.allowed, reasons, names_of(reason.held for reason in reasons if reason.held))


def _reasons(
    user: User | AnonymousUser, decision: access.Decision, permission: str, thing: object, asker: User
) -> Iterator[Reason]:
    first = decision.reason
    if not isinstance(user, User) or first.kind in (ReasonKind.NOBODY, ReasonKind.CLOSED, ReasonKind.SCOPES):
        yield first
        return
    if first.kind == ReasonKind.OWN:
        yield first
    if user.powers.seen_as is not None:
        yield Reason(ReasonKind.SEEN_AS, permission, user.powers.seen_as)
    here = [held for held in access.grants_of(user) if _allows(held, permission) and access.covers(held, thing)]
    yield from (Reason(ReasonKind.GRANT, permission, held) for held in here)
    if decision.allowed:
        if user.powers.read_only and not permission.endswith(":view"):
            yield Reason(ReasonKind.READ_ONLY, permission)
        return
    yield from _against(user, permission, thing, asker)


def _against(user: User, permission: str, thing: object, asker: User) -> Iterator[Reason]:
    """Why not, beginning with what is nearest to a yes."""
    held = [each for each in access.all_held(user) if _allows(each, permission)]
    here = [each for each in held if access.covers(each, thing)]
    if here and not user.powers.second_factor:
        yield from (Reason(ReasonKind.NO_SECOND_FACTOR, permission, each) for each in here)
    else:
        yield Reason(ReasonKind.NOT_GRANTED, permission)
    elsewhere = [each for each in held if each not in here]
    seen = _grants_seen_by(asker, user) if elsewhere else frozenset()
    yield from (Reason(ReasonKind.ELSEWHERE, permission, each) for each in elsewhere if each.grant_id in seen)
    yield from _ended(user, permission, thing, asker)


def _allows(held: Held, permission: str) -> bool:
    return access.permits(held.permissions, permission)


def _grants_seen_by(asker: User, user: User) -> frozenset[int | None]:
    rows = Grant.objects.filter(user=user)
    seen = rows if asker.pk == user.pk else access.visible(asker, rows, "grants:view")
    return frozenset(seen.values_list("pk", flat=True))


def _ended(user: User, permission: str, thing: object, asker: User) -> Iterator[Reason]:
    """What they held there and hold no more: grants that ran out a moment ago, and those the audit tells of."""
    late = Grant.objects.filter(user=user, expires_at__lte=timezone.now()).select_related("role", "branch", "chain")
    ended = [
        Reason(ReasonKind.RAN_OUT, permission, _held(row.role, row.chain_id, row.branch_id), row.expires_at)
        for row in late
    ]
    key = str(user.pk)
    told = AuditEntry.objects.filter(
        Q(action="deleted", before__user=key) | Q(action="ran out", after__user=key), entity=Grant._meta.label_lower
    )
    if asker.pk != user.pk:
        told = access.visible(asker, told, "grants:view")
    ended += [reason for row in told.order_by("-pk")[:MOST_PEOPLE] if (reason := _ended_by(row, permission))]
    fits = [each for each in ended if each.held and _allows(each.held, permission) and access.covers(each.held, thing)]
    yield from fits[:MOST_ENDED]


def _ended_by(row: AuditEntry, permission: str) -> Reason | None:
    taken = row.action == "deleted"
    told = (row.before if taken else row.after) or {}
    role = Role.objects.filter(**{"pk" if taken else "code": told.get("role")}).first()
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

    Each with the powers their best way in would have. A few queries, and those of `explain` for none of them.
    """
    roles = [role.pk for role in Role.objects.all() if access.permits(role.permissions, permission)]
    chains, branches = _places_of(thing)
    where = Q(grants__chain__isnull=True, grants__branch__isnull=True)
    where |= Q(grants__chain__in=chains) | Q(grants__branch__in=branches)
    found = Q(pk__in=User.objects.filter(where, grants__role__in=roles).values("pk"))
    if owner := walk(thing, getattr(type(thing), "owner_path", "")):
        found |= Q(pk=owner)
    seen = access.visible(asker, User.objects.filter(is_active=True), "users:view") | User.objects.filter(pk=asker.pk)
    rows = seen.filter(found).order_by("name", "email", "pk")[:MOST_PEOPLE]
    return [user for user in rows if access.may(at_best(user), permission, thing)]


def _places_of(thing: models.Model) -> tuple[set[UUID], set[UUID]]:
    model = type(thing)
    if getattr(model, "many_places", False):
        rows = Grant.objects.filter(user=thing.pk).values_list("chain", "branch__chain", "branch")
        return {key for row in rows for key in row[:2] if key}, {row[2] for row in rows if row[2]}
    found = [
        {key for path in paths(model, name) if (key := walk(thing, path))} for name in ("chain_path", "branch_path")
    ]
    return found[0], found[1]
