"""Reads of the tenants app, each from the requester."""

from uuid import UUID

from django.contrib.auth.models import AnonymousUser
from django.db.models import Q, QuerySet

from core.errors import NotFound
from tenants import access
from tenants.enums import RoleCode
from tenants.models import Branch, Chain, User

Requester = User | AnonymousUser


def chains_visible_to(user: Requester) -> QuerySet[Chain]:
    """Chains this person may see."""
    return access.visible(user, Chain.objects.all(), "chains:view")


def branches_visible_to(user: Requester, permission: str = "branches:view") -> QuerySet[Branch]:
    """Branches this person may see, or holds another permission on. Customers see those they rented at."""
    branches = access.visible(user, Branch.objects.select_related("chain"), permission)
    if permission == "branches:view" and (rented := branches_rented_at(user)):
        return branches | Branch.objects.select_related("chain").filter(pk__in=rented)
    return branches


def in_operation(branch_path: str) -> Q:
    """Rows whose branch, at the end of that look-up, is open, and its chain too."""
    return Q(**{f"{branch_path}__active": True, f"{branch_path}__chain__active": True})


def branches_rented_at(user: Requester) -> frozenset[UUID]:
    """Branches this person is a customer of, by a grant in force. No query once the grants are known."""
    grants = access.grants_of(user)
    return frozenset(grant.branch_id for grant in grants if grant.branch_id and grant.role == RoleCode.CUSTOMER)


def branch_visible_to(user: Requester, branch_id: UUID, permission: str = "branches:view") -> Branch:
    """One branch, or `NotFound` where it does not exist for this person."""
    branch = branches_visible_to(user, permission).filter(pk=branch_id).first()
    if branch is None:
        raise NotFound
    return branch
