"""Chains and branches."""

from typing import Any

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from core.errors import DomainError, NotAllowed
from core.rows import delete_row, save_row
from tenants.models import Branch, Chain, SupportAccess
from tenants.services.people import take_grants_of

# Levels of every MQTT topic below them: a device keeps speaking on those it was told.
_BRANCH_KEYS = frozenset({"chain", "code"})


def create_chain(*, actor: object = "", **fields: Any) -> Chain:
    """A new chain. Raises `InvalidInput`."""
    return save_row(Chain(), changes=fields, actor=actor)


def update_chain(*, chain: Chain, actor: object = "", **fields: Any) -> Chain:
    """Replace a chain's fields, but for its short name, which stays. Raises `InvalidInput`, `NotAllowed`."""
    if fields.get("slug", chain.slug) != chain.slug:
        raise NotAllowed(_("The short name of a chain stays as it is."))
    return save_row(chain, changes=fields, actor=actor)


def delete_chain(*, chain: Chain, actor: object = "") -> None:
    """Delete a chain that has no branches and that support never looked into; others can only be set inactive.

    Every role somebody has there is taken, and told of in the audit, before it goes. Raises `DomainError`.
    """
    if chain.branches.exists():
        raise DomainError(_("This chain has branches. Set it inactive instead."))
    if SupportAccess.objects.filter(chain=chain).exists():
        raise DomainError(_("Support looked into this chain, and that is kept. Set it inactive instead."))
    with transaction.atomic():
        take_grants_of(chain=chain, actor=actor)
        delete_row(chain, actor=actor, when_used=_("This chain has branches. Set it inactive instead."))


def create_branch(*, actor: object = "", **fields: Any) -> Branch:
    """A new branch. Raises `InvalidInput`."""
    return save_row(Branch(), changes=fields, actor=actor)


def update_branch(*, branch: Branch, actor: object, **fields: Any) -> Branch:
    """Change a branch, but for its chain and its code, which stay. Raises `InvalidInput`."""
    if _BRANCH_KEYS & fields.keys():
        raise NotAllowed(_("The chain and the code of a branch stay as they are."))
    return save_row(branch, changes=fields, actor=actor)
