"""Who sees what, who may do what, and why. The only module that decides it.

A model says where its tenants are: `chain_path` and `branch_path` (look-ups from the model, "pk" for itself; a tuple
where one of several leads there) and, where a person owns rows by being their subject, `owner_path`. Another tenant's
row does not exist: look-ups go through `visible`, so that a stranger gets 404, and only then ask `may`.

What a person holds is kept in each process under the person's `access_version`, which is new after every change of
rights: no query, or one after a change. How they came in limits it (`powers`, decision 11).
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID, uuid4

from django.db import connection, models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from core.errors import NotAllowed
from core.places import paths, walk
from tenants.enums import GrantScope, RoleCode
from tenants.powers import Held
from tenants.reasons import Reason, ReasonKind

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

    from tenants.models import Branch, Chain, Grant, User

M = TypeVar("M", bound=models.Model)

# What everyone may with what is their own; to rent is `rentals:add`, wherever they stand.
RENTS = "rentals:add"
OWN = frozenset({"rentals:view", "rentals:return", RENTS})
OPENS = "support_access:open"
IMPERSONATES = "users:impersonate"
_ON_OBJECT = "_held_now"
_MOST_KEPT = 20_000
_kept: OrderedDict[tuple[UUID, UUID], tuple[Held, ...]] = OrderedDict()
_keeping = Lock()


@dataclass(frozen=True, slots=True)
class Decision:
    """Yes or no, and what decided it; `tenants.explain` tells the rest."""

    allowed: bool
    reason: Reason

    def __bool__(self) -> bool:
        return self.allowed


@dataclass(frozen=True, slots=True)
class Reach:
    """Where a person holds a permission."""

    everywhere: bool
    chains: frozenset[UUID]
    branches: frozenset[UUID]


@dataclass(frozen=True, slots=True)
class Where:
    """The places a thing lies in, and whose it is; it can be asked about in place of the thing."""

    chains: frozenset[UUID] = frozenset()
    branches: frozenset[UUID] = frozenset()
    owner: UUID | None = None


def person(user: "User | AnonymousUser") -> "User":
    """The signed-in person, for services that act in somebody's name. Raises `NotAllowed` for nobody."""
    from tenants.models import User

    if not isinstance(user, User):
        raise NotAllowed
    return user


def grants_of(user: "User | AnonymousUser") -> Iterable[Held]:
    """What this person holds now, as far as the way they came in lets it count. One query after a change, else none."""
    if not user.is_authenticated or not user.is_active:
        return ()
    powers = user.powers
    if powers.seen_as is not None:
        return (powers.seen_as,) if is_trusted(user) and powers.second_factor else ()
    held = all_held(user)
    return held if powers.second_factor else [each for each in held if each.role == RoleCode.CUSTOMER]


def all_held(user: "User") -> list[Held]:
    """What this person holds now, however they came in.

    Support access counts only while whoever opened it may still open one: it ends with their work for the platform.
    """
    now = timezone.now()
    held = [each for each in _held(user) if each.expires_at is None or each.expires_at > now]
    supports = any(scope_of(each) == GrantScope.PLATFORM and permits(each.permissions, OPENS) for each in held)
    return held if supports else [each for each in held if each.role != RoleCode.SUPPORT_ACCESS]


def is_trusted(user: "User | AnonymousUser") -> bool:
    """Holds any role but that of a customer: staff and managers, who need a second factor."""
    if not user.is_authenticated or not user.is_active:
        return False
    return any(each.role != RoleCode.CUSTOMER for each in all_held(user))


def rights_changed(*user_ids: UUID) -> None:
    """Make every process read anew what these people hold, from the moment this transaction commits. One query."""
    from tenants.models import User

    rows = User.objects.filter(pk__in=user_ids)
    # One random version for all of them: kept under (person, version), so none meets another's.
    rows.update(access_version=uuid4())


def _held(user: "User") -> tuple[Held, ...]:
    """Kept on the object for the request, and for all requests of this process unless a transaction is open.

    Inside one, what is read may never be committed, or be told under a version that is already old.
    """
    found: tuple[Held, ...] | None = getattr(user, _ON_OBJECT, None)
    if found is not None:
        return found
    key = (user.pk, user.access_version)
    with _keeping:
        found = _kept.get(key)
        if found is not None:
            _kept.move_to_end(key)
    if found is None:
        found = _read(user)
        if not connection.in_atomic_block:
            _keep(key, found)
    setattr(user, _ON_OBJECT, found)
    return found


def _keep(key: tuple[UUID, UUID], found: tuple[Held, ...]) -> None:
    with _keeping:
        _kept[key] = found
        while len(_kept) > _MOST_KEPT:
            _kept.popitem(last=False)


def _read(user: "User") -> tuple[Held, ...]:
    return tuple(held for _user, held in _held_by(_rows_in_force().filter(user=user)))


def read_held(users: "Iterable[User]") -> None:
    """Read what all of these hold at once, for whoever asks about many. One query."""
    held: dict[UUID, list[Held]] = {user.pk: [] for user in users}
    for key, each in _held_by(_rows_in_force().filter(user__in=held)):
        held[key].append(each)
    for user in users:
        setattr(user, _ON_OBJECT, tuple(held[user.pk]))


def _held_by(rows: "models.QuerySet[Grant]") -> Iterator[tuple[UUID, Held]]:
    """Of each grant only what is kept, not the rows of its place."""
    names = ("user_id", "role__code", "role__permissions", "chain_id", "branch_id", "expires_at", "pk")
    for user, role, permissions, chain_id, branch_id, expires_at, grant_id in rows.values_list(*names):
        yield user, Held(role, frozenset(permissions), chain_id, branch_id, expires_at, grant_id)


def _in_force(user: "User") -> list["Grant"]:
    return list(_rows_in_force().filter(user=user).select_related("role", "branch", "chain"))


def _rows_in_force() -> "models.QuerySet[Grant]":
    from tenants.models import Grant

    return Grant.objects.filter(Q(expires_at__isnull=True) | Q(expires_at__gt=timezone.now()))


def permits(permissions: Iterable[str], wanted: str) -> bool:
    """Whether a role's permissions include one: `*`, `carts:*` and `carts:view` all include `carts:view`."""
    resource = wanted.partition(":")[0]
    return not {"*", f"{resource}:*", wanted}.isdisjoint(permissions)


def reach(user: "User | AnonymousUser", permission: str) -> Reach:
    """Where this person holds this permission by a grant."""
    held = grants_of(user) if _counts(user, permission) else ()
    holding = [grant for grant in held if permits(grant.permissions, permission)]
    return Reach(
        everywhere=any(scope_of(grant) == GrantScope.PLATFORM for grant in holding),
        chains=frozenset(grant.chain_id for grant in holding if grant.chain_id),
        branches=frozenset(grant.branch_id for grant in holding if grant.branch_id),
    )


def visible(user: "User | AnonymousUser", queryset: models.QuerySet[M], permission: str) -> models.QuerySet[M]:
    """Those of `queryset` this person holds `permission` on, by a grant or by owning them."""
    found = reach(user, permission)
    if found.everywhere:
        return queryset
    model = queryset.model
    ways = [(path, found.chains) for path in paths(model, "chain_path") if found.chains]
    ways += [(path, found.branches) for path in paths(model, "branch_path") if found.branches]
    own = permission in OWN and user.is_authenticated and user.is_active and _counts(user, permission)
    if own and user.pk and (path := getattr(model, "owner_path", "")):
        ways.append((path, frozenset({user.pk})))
    if not ways:
        return queryset.none()
    condition = _any_of(ways)
    if getattr(model, "many_places", False):
        return queryset.filter(pk__in=model._default_manager.filter(condition).values("pk"))
    rows = queryset.filter(condition)
    # A chain is reached through its branches, of which it has many.
    return rows.distinct() if getattr(model, "branch_path", "") == "branches" else rows


def may(user: "User | AnonymousUser", permission: str, thing: object = None) -> Decision:
    """May this person do `permission`, to `thing` when one is given (else: anywhere)?"""
    if not user.is_authenticated:
        return Decision(False, Reason(ReasonKind.NOBODY, permission))
    if not user.is_active:
        return Decision(False, Reason(ReasonKind.CLOSED, permission))
    if not _counts(user, permission):
        return Decision(False, Reason(ReasonKind.SCOPES, permission))
    if is_own(user, permission, thing):
        return Decision(True, Reason(ReasonKind.OWN, permission))
    for held in grants_of(user):
        if permits(held.permissions, permission) and covers(held, thing):
            return Decision(True, Reason(ReasonKind.GRANT, permission, held))
    return Decision(False, Reason(ReasonKind.NOT_GRANTED, permission))


def is_own(user: "User", permission: str, thing: object) -> bool:
    """Whether this permission comes with being the subject of that thing."""
    return thing is not None and permission in OWN and _owner_of(thing) == user.pk


def holds_all(actor: "User", permissions: Iterable[str], place: "Chain | Branch | None") -> bool:
    """Whether `actor` holds each permission there, so that they may give it or take it; None is the whole platform."""
    if place is not None:
        return all(may(actor, permission, place) for permission in permissions)
    return all(reach(actor, permission).everywhere for permission in permissions)


def outranks(actor: "User", other: "User", permission: str = "") -> bool:
    """Whether `actor` holds whatever `other` does, or would with an open account: being them would win nothing.

    With a permission, whether `actor` holds that too wherever `other` holds something: a customer of two chains is no
    more one's customer than the other's.
    """
    if actor.pk == other.pk:
        return True
    asked = {permission} - {""}
    return all(
        holds_all(actor, {*grant.role.permissions, *asked}, grant.branch or grant.chain) for grant in _in_force(other)
    )


def may_act_as(actor: "User", other: "User") -> bool:
    """Whether `actor` outranks `other` and may impersonate wherever `other` holds something."""
    return bool(may(actor, IMPERSONATES, other)) and outranks(actor, other, IMPERSONATES)


def require_rank(actor: "User | None", other: "User", permission: str = "") -> None:
    """Raise `NotAllowed` unless `actor` outranks `other`, as `outranks` has it. None is the product itself."""
    if actor is None or outranks(actor, other, permission):
        return
    if outranks(actor, other):
        raise NotAllowed(_("They hold something where you may not do this."))
    raise NotAllowed(_("This person may do more than you may."))


def is_platform_staff(user: "User | AnonymousUser") -> bool:
    """Holds a staff role on the platform."""
    return any(scope_of(held) == GrantScope.PLATFORM and held.role != RoleCode.CUSTOMER for held in grants_of(user))


def scope_of(held: Held) -> GrantScope:
    """The kind of place it is held in."""
    if held.branch_id:
        return GrantScope.BRANCH
    return GrantScope.CHAIN if held.chain_id else GrantScope.PLATFORM


def is_manager(user: "User | AnonymousUser") -> bool:
    """Has anything to look at under `/control/`."""
    found = reach(user, "carts:view")
    return found.everywhere or bool(found.chains or found.branches)


def require_scope(user: "User", permission: str) -> None:
    """Raise `NotAllowed` for a program whose token does not carry this."""
    if not _counts(user, permission):
        raise NotAllowed(_("This token does not carry %(permission)s.") % {"permission": permission})


def _counts(user: "User | AnonymousUser", permission: str) -> bool:
    """Whether the way this person came in lets the permission count at all."""
    scopes = user.powers.scopes if user.is_authenticated else None
    return scopes is None or permits(scopes, permission)


def covers(held: Held, thing: object) -> bool:
    """Whether what is held reaches that thing; without a thing: it reaches something. A query for a person."""
    if scope_of(held) == GrantScope.PLATFORM or thing is None:
        return True
    if isinstance(thing, Where):
        return held.chain_id in thing.chains or held.branch_id in thing.branches
    if scope_of(held) == GrantScope.CHAIN:
        return _lies_in(thing, "chain_path", held.chain_id)
    return _lies_in(thing, "branch_path", held.branch_id)


def where(thing: object) -> Where | None:
    """Where a thing lies, to be asked about by many or often; None for no thing. A query for a person.

    Else one for each foreign key on the way that was not read yet.
    """
    if thing is None:
        return None
    if isinstance(thing, models.Model) and getattr(thing, "many_places", False):
        names = [*paths(type(thing), "chain_path"), *paths(type(thing), "branch_path")]
        rows = type(thing)._default_manager.filter(pk=thing.pk).values_list(*names)
        cut = len(paths(type(thing), "chain_path"))
        return Where(
            frozenset(key for row in rows for key in row[:cut] if key),
            frozenset(key for row in rows for key in row[cut:] if key),
        )
    chains, branches = (
        frozenset(key for path in paths(type(thing), name) if (key := walk(thing, path)))
        for name in ("chain_path", "branch_path")
    )
    return Where(chains, branches, _owner_of(thing))


def _lies_in(thing: object, name: str, key: UUID | None) -> bool:
    if isinstance(thing, models.Model) and getattr(thing, "many_places", False) and key is not None:
        condition = _any_of([(path, frozenset({key})) for path in paths(type(thing), name)])
        return type(thing)._default_manager.filter(condition, pk=thing.pk).exists()
    return any(walk(thing, path) == key for path in paths(type(thing), name))


def _any_of(ways: list[tuple[str, frozenset[UUID]]]) -> Q:
    """Rows with one of these keys at the end of one of these look-ups. One key is cheaper to compare than a set."""
    looks: list[Any] = [(path, next(iter(keys))) if len(keys) == 1 else (f"{path}__in", keys) for path, keys in ways]
    return Q.create(looks, connector=Q.OR)


def _owner_of(thing: object) -> UUID | None:
    if isinstance(thing, Where):
        return thing.owner
    return walk(thing, getattr(type(thing), "owner_path", ""))
