"""Nobody hands out, or takes over, more than they hold themselves."""

from collections.abc import Iterable

from tenants import access
from tenants.models import Branch, Chain, Grant, User


def holds_all(actor: User, permissions: Iterable[str], chain: Chain | None, branch: Branch | None) -> bool:
    """Whether `actor` holds each permission there; without chain and branch: on the whole platform."""
    place = branch or chain
    if place is not None:
        return all(actor.may(permission, place) for permission in permissions)
    return all(access.reach(actor, permission).everywhere for permission in permissions)


def outranks(actor: User, other: User) -> bool:
    """Whether `actor` holds whatever `other` does, so that signing in as them would win nothing."""
    if actor.pk == other.pk:
        return True
    grants: list[Grant] = access.grants_of(other) if other.is_active else list(other.grants.select_related("role"))
    return all(holds_all(actor, grant.role.permissions, grant.chain, grant.branch) for grant in grants)
