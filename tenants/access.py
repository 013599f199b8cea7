"""Who sees what, who may do what, and why. The only module that decides it.

A model says where its tenants are: `chain_path` and `branch_path` (look-ups from the model, "pk" for itself; a tuple
where one of several leads there) and, where a person owns rows by being their subject, `owner_path`. Another tenant's
row does not exist: look-ups go through `visible`, so that a stranger gets 404, and only then ask `may`.

All grants of a person are read in one query and kept on the user object, which lives as long as the request.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from core.errors import NotAllowed
from tenants.enums import GrantScope, RoleCode

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

    from tenants.models import Branch, Chain, Grant, User

M = TypeVar("M", bound=models.Model)

_KEPT = "_grants_in_force"
# Permissions everyone has on what is their own.
OWN = frozenset({"rentals:view", "rentals:return"})


@dataclass(frozen=True, slots=True)
class Decision:
    """Yes or no, and why."""

    allowed: bool
    reason: str

    def __bool__(self) -> bool:
        return self.allowed


@dataclass(frozen=True, slots=True)
class Reach:
    """Where a person holds a permission."""

    everywhere: bool
    chains: frozenset[UUID]
    branches: frozenset[UUID]


def person(user: "User | AnonymousUser") -> "User":
    """The signed-in person, for services that act in somebody's name. Raises `NotAllowed` for nobody."""
    from tenants.models import User

    if not isinstance(user, User):
        raise NotAllowed
    return user


def grants_of(user: "User | AnonymousUser") -> list["Grant"]:
    """Grants in force, with their roles. One query the first time."""
    if not user.is_authenticated or not user.is_active:
        return []
    kept: list[Grant] | None = getattr(user, _KEPT, None)
    if kept is None:
        kept = _in_force(user)
        setattr(user, _KEPT, kept)
    return kept


def _in_force(user: "User") -> list["Grant"]:
    from tenants.models import Grant

    now = timezone.now()
    rows = Grant.objects.filter(Q(expires_at__isnull=True) | Q(expires_at__gt=now), user=user)
    return list(rows.select_related("role", "branch"))


def permits(permissions: Iterable[str], wanted: str) -> bool:
    """Whether a role's permissions include one: `*`, `carts:*` and `carts:view` all include `carts:view`."""
    resource = wanted.partition(":")[0]
    return any(permission in ("*", f"{resource}:*", wanted) for permission in permissions)


def reach(user: "User | AnonymousUser", permission: str) -> Reach:
    """Where this person holds this permission by a grant."""
    holding = [grant for grant in grants_of(user) if permits(grant.role.permissions, permission)]
    return Reach(
        everywhere=any(grant.scope == GrantScope.PLATFORM for grant in holding),
        chains=frozenset(grant.chain_id for grant in holding if grant.chain_id),
        branches=frozenset(grant.branch_id for grant in holding if grant.branch_id),
    )


def visible(user: "User | AnonymousUser", queryset: models.QuerySet[M], permission: str) -> models.QuerySet[M]:
    """Those of `queryset` this person holds `permission` on, by a grant or by owning them."""
    found = reach(user, permission)
    if found.everywhere:
        return queryset
    model = queryset.model
    condition = Q(pk__in=[])
    if found.chains:
        condition |= _any_of(_paths(model, "chain_path"), found.chains)
    if found.branches:
        condition |= _any_of(_paths(model, "branch_path"), found.branches)
    if user.is_authenticated and user.is_active and permission in OWN and (path := getattr(model, "owner_path", "")):
        condition |= Q(**{path: user.pk})
    rows = queryset.filter(condition)
    # A chain is reached through its branches, of which it has many.
    return rows.distinct() if getattr(model, "branch_path", "") == "branches" else rows


def may(user: "User | AnonymousUser", permission: str, thing: object = None) -> Decision:
    """May this person do `permission`, to `thing` when one is given (else: anywhere)?"""
    if not user.is_authenticated or not user.is_active:
        return Decision(False, "nobody is signed in")
    if thing is not None and permission in OWN and _owner_of(thing) == user.pk:
        return Decision(True, "it is their own")
    for grant in grants_of(user):
        if permits(grant.role.permissions, permission) and _covers(grant, thing):
            return Decision(True, f"{grant.role.code} on {grant.scope.label}")
    return Decision(False, f"no grant holds {permission} there")


def holds_all(actor: "User", permissions: Iterable[str], place: "Chain | Branch | None") -> bool:
    """Whether `actor` holds each permission there, so that they may give it or take it; None is the whole platform."""
    if place is not None:
        return all(may(actor, permission, place) for permission in permissions)
    return all(reach(actor, permission).everywhere for permission in permissions)


def outranks(actor: "User", other: "User") -> bool:
    """Whether `actor` holds whatever `other` does, or would with an open account: being them would win nothing."""
    if actor.pk == other.pk:
        return True
    return all(holds_all(actor, grant.role.permissions, grant.branch or grant.chain) for grant in _in_force(other))


def require_rank(actor: "User | None", other: "User") -> None:
    """Raise `NotAllowed` unless `actor` outranks `other`. None is the product itself."""
    if actor is not None and not outranks(actor, other):
        raise NotAllowed(_("This person may do more than you may."))


def is_platform_staff(user: "User | AnonymousUser") -> bool:
    """Holds a staff role on the platform."""
    return any(grant.scope == GrantScope.PLATFORM and grant.role.code != RoleCode.CUSTOMER for grant in grants_of(user))


def is_manager(user: "User | AnonymousUser") -> bool:
    """Has anything to look at under `/control/`."""
    found = reach(user, "carts:view")
    return found.everywhere or bool(found.chains or found.branches)


def _covers(grant: "Grant", thing: object) -> bool:
    if grant.scope == GrantScope.PLATFORM:
        return True
    if thing is None:
        return True
    if grant.scope == GrantScope.CHAIN:
        return any(_walk(thing, path) == grant.chain_id for path in _paths(type(thing), "chain_path"))
    return any(_walk(thing, path) == grant.branch_id for path in _paths(type(thing), "branch_path"))


def _paths(model: type, name: str) -> tuple[str, ...]:
    found = getattr(model, name, "")
    return found if isinstance(found, tuple) else (found,) if found else ()


def _any_of(paths: tuple[str, ...], keys: frozenset[UUID]) -> Q:
    return Q.create([(f"{path}__in", keys) for path in paths], connector=Q.OR) if paths else Q(pk__in=[])


def _owner_of(thing: object) -> UUID | None:
    return _walk(thing, getattr(type(thing), "owner_path", ""))


def _walk(thing: object, path: str) -> UUID | None:
    """The key at the end of a look-up path of foreign keys; None where there is none."""
    if not path or path == "branches":
        return None
    *steps, last = path.split("__")
    for step in steps:
        thing = getattr(thing, step, None)
    value = getattr(thing, last if last == "pk" else f"{last}_id", None)
    return value if isinstance(value, UUID) else None
