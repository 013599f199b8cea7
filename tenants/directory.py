"""Reads behind the people pages, each from the requester: whom they see, which grants, where they may give what."""

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from allauth.mfa.models import Authenticator
from django.db.models import Count, Exists, F, OuterRef, Prefetch, Q, QuerySet, Subquery
from django.utils import timezone

from tenants import access
from tenants.enums import ROLE_SCOPES, GrantScope, RoleCode
from tenants.models import Branch, BrowserSession, Chain, Grant, Invitation, Role, SupportAccess, User
from tenants.phones import ascii_digits
from tenants.services.invitations import waiting
from tenants.services.people import GIVES
from tenants.services.support_access import open_accesses

if TYPE_CHECKING:
    from collections.abc import Iterable

SORTS = {"name": ("name", "email", "pk"), "seen": ("last_seen", "pk"), "since": ("created_at", "pk")}
# Support access is opened, customers become customers by renting: nobody is given these by hand.
NOT_GIVEN = frozenset({RoleCode.SUPPORT_ACCESS, RoleCode.CUSTOMER})


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a list of people is narrowed to; `place` is the key of a chain or a branch, a chain's with its branches."""

    search: str = ""
    role: str = ""
    place: UUID | None = None
    state: str = ""
    sort: str = "name"


def grants_visible_to(asker: User) -> QuerySet[Grant]:
    """Grants in force in places where the asker may see who holds what."""
    rows = Grant.objects.filter(Q(expires_at__isnull=True) | Q(expires_at__gt=timezone.now()))
    seen = access.visible(asker, rows, "grants:view")
    return seen.select_related("role", "chain", "branch__chain").order_by("role__code", "pk")


def people_visible_to(asker: User) -> QuerySet[User]:
    """People who hold something in places where the asker may look at people; for whoever may everywhere, everybody."""
    return access.visible(asker, User.objects.all(), "users:view")


def people(asker: User, wanted: Wanted) -> QuerySet[User]:
    """The list: the team, or the customers when that role is asked for. Each with `seen_grants` and its figures."""
    grants = grants_visible_to(asker)
    held = grants.filter(role__code=wanted.role) if wanted.role else grants.exclude(role__code=RoleCode.CUSTOMER)
    if wanted.place:
        held = held.filter(Q(chain=wanted.place) | Q(branch=wanted.place) | Q(branch__chain=wanted.place))
    rows = with_figures(people_visible_to(asker)).filter(Exists(held.filter(user=OuterRef("pk"))))
    rows = _in_state(rows, wanted.state)
    if wanted.search:
        rows = rows.filter(_found(asker, wanted))
    down = wanted.sort.startswith("-")
    first, *rest = SORTS.get(wanted.sort.removeprefix("-"), SORTS["name"])
    order = F(first).desc(nulls_last=True) if down else F(first).asc(nulls_last=True)
    return rows.prefetch_related(Prefetch("grants", queryset=grants, to_attr="seen_grants")).order_by(order, *rest)


def with_figures(rows: QuerySet[User]) -> QuerySet[User]:
    """Each with `last_seen`, `session_total` and `has_factor`, all of it by sub-queries."""
    live = BrowserSession.objects.filter(user=OuterRef("pk"), expire_date__gt=timezone.now())
    total = live.order_by().values("user").annotate(total=Count("pk")).values("total")
    return with_factor(rows).annotate(
        last_seen=Subquery(live.order_by(F("seen_at").desc(nulls_last=True)).values("seen_at")[:1]),
        session_total=Subquery(total),
    )


def with_factor(rows: QuerySet[User]) -> QuerySet[User]:
    """Each with `has_factor`, by a sub-query."""
    factors = Authenticator.objects.filter(user=OuterRef("pk")).exclude(type=Authenticator.Type.RECOVERY_CODES)
    return rows.annotate(has_factor=Exists(factors))


def _in_state(rows: QuerySet[User], state: str) -> QuerySet[User]:
    if state == "open":
        return rows.filter(is_active=True)
    if state == "closed":
        return rows.filter(is_active=False)
    if state == "no-factor":
        return rows.filter(Q(("has_factor", False)), is_active=True)
    return rows


def _found(asker: User, wanted: Wanted) -> Q:
    """By name; by address where the asker may know it; by digits of a number where they may contact them."""
    contact = Q(pk__in=contactable(asker).values("pk"))
    found = Q(name__icontains=wanted.search) | Q(email__icontains=wanted.search) & address_known(asker)
    digits = "".join(filter(str.isdecimal, ascii_digits(wanted.search))).lstrip("0")
    return found | Q(phone__contains=digits) & contact if len(digits) >= 3 else found


def contactable(asker: User) -> QuerySet[User]:
    """People whose number and address in full the asker may see."""
    return access.visible(asker, User.objects.all(), "users:contact")


def colleagues(asker: User) -> Exists:
    """Whether somebody works where the asker may see who holds what: they are known by their address."""
    return Exists(grants_visible_to(asker).exclude(role__code=RoleCode.CUSTOMER).filter(user=OuterRef("pk")))


def address_known(asker: User) -> Q:
    """The condition for people whose e-mail address the asker may know: a colleague's, or to contact them."""
    return Q(colleagues(asker)) | Q(pk__in=contactable(asker).values("pk"))


def contacts(asker: User, shown: "Iterable[User]") -> frozenset[UUID]:
    """Those of the people shown whose number and address in full the asker may see. One query."""
    rows = contactable(asker).filter(pk__in=[person.pk for person in shown])
    return frozenset(rows.values_list("pk", flat=True))


def invitations_waiting(asker: User) -> QuerySet[Invitation]:
    """Invitations to places where the asker may see who holds what, newest first."""
    rows = access.visible(asker, waiting(Invitation.objects.all()), "grants:view")
    return rows.select_related("role", "chain", "branch__chain", "invited_by")


@dataclass(frozen=True, slots=True)
class Places:
    """Where somebody holds a permission."""

    everywhere: bool
    chains: list[Chain]
    branches: list[Branch]


def places_to_give(asker: User) -> Places:
    """Where the asker may give roles. Two queries."""
    return places(asker, GIVES)


def places(asker: User, permission: str) -> Places:
    """Where the asker holds a permission. Two queries."""
    found = access.reach(asker, permission)
    chains = Chain.objects.all() if found.everywhere else Chain.objects.filter(pk__in=found.chains)
    branches = access.visible(asker, Branch.objects.select_related("chain"), permission)
    return Places(found.everywhere, list(chains), list(branches.order_by("chain__name", "name", "pk")))


def roles_to_give(asker: User, *, besides: "Iterable[str]" = NOT_GIVEN) -> list[Role]:
    """Roles that do no more than the asker may somewhere. One query."""
    held = list(access.grants_of(asker))
    return [
        role
        for role in Role.objects.exclude(code__in=besides)
        if any(
            all(access.permits(each.permissions, permission) for permission in role.permissions)
            and _fits(role, access.scope_of(each))
            for each in held
        )
    ]


def _fits(role: Role, scope: GrantScope) -> bool:
    """Whether a role can be given in a place of this kind or in one inside it."""
    inside = {GrantScope.PLATFORM: frozenset(GrantScope), GrantScope.CHAIN: {GrantScope.CHAIN, GrantScope.BRANCH}}
    allowed = ROLE_SCOPES.get(role.code, frozenset(GrantScope))
    return bool(allowed & frozenset(inside.get(scope, {scope})))


def support_accesses_visible_to(asker: User) -> QuerySet[SupportAccess]:
    """Who of the platform looked or looks into chains the asker may know it of; and the asker's own."""
    rows = SupportAccess.objects.select_related("staff", "chain")
    return access.visible(asker, rows, "support_access:view") | rows.filter(staff=asker)


def open_support_accesses(asker: User) -> list[SupportAccess]:
    """Those open now. No query for whoever may know of none."""
    found = access.reach(asker, "support_access:view")
    if not (found.everywhere or found.chains):
        return []
    rows = access.visible(asker, open_accesses(timezone.now()), "support_access:view")
    return list(rows.select_related("staff", "chain").order_by("ends_at")[:20])
