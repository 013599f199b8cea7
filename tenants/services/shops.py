"""Chains and branches."""

from typing import Any, TypeVar

from django.core.exceptions import ValidationError
from django.db import IntegrityError, models, transaction
from django.db.models import ProtectedError
from django.utils.translation import gettext_lazy as _

from core.errors import DomainError, InvalidInput
from tenants.models import Branch, Chain

M = TypeVar("M", bound=models.Model)


def create_chain(**fields: Any) -> Chain:
    """A new chain. Raises `InvalidInput`."""
    return _save(Chain(**fields))


def update_chain(*, chain: Chain, **fields: Any) -> Chain:
    """Replace a chain's fields. Raises `InvalidInput`."""
    for name, value in fields.items():
        setattr(chain, name, value)
    return _save(chain)


def delete_chain(*, chain: Chain) -> None:
    """Delete a chain that has no branches; with branches it can only be set inactive."""
    try:
        chain.delete()
    except ProtectedError:
        raise DomainError(_("This chain has branches. Set it inactive instead.")) from None


def create_branch(**fields: Any) -> Branch:
    """A new branch. Raises `InvalidInput`."""
    return _save(Branch(**fields))


def _save(row: M) -> M:
    try:
        with transaction.atomic():
            row.full_clean()
            row.save()
    except ValidationError as error:
        raise InvalidInput(errors=error.message_dict) from None
    except IntegrityError:
        raise InvalidInput(_("Somebody saved the same at this moment.")) from None
    return row
