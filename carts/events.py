"""What happened to rentals and carts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True)
class RentalStarted:
    """The lock said it opened; time runs."""

    rental_id: UUID
    branch_id: UUID


@dataclass(frozen=True, slots=True)
class RentalVoided:
    """The lock did not say it opened; nothing is owed."""

    rental_id: UUID
    branch_id: UUID


@dataclass(frozen=True, slots=True)
class RentalEnded:
    """The cart is back, or staff closed the rental."""

    rental_id: UUID
    branch_id: UUID


@dataclass(frozen=True, slots=True)
class RentalChanged:
    """Something a person looking at this rental should see. Live only."""

    rental_id: UUID
    customer_id: UUID | None  # long forgotten
    cart_id: UUID
    branch_id: UUID
    # What its page shows, where whoever announces it has read that already: see `carts.snapshots`.
    snapshot: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class CartChanged:
    """Something a manager looking at this cart should see. Live only."""

    cart_id: UUID
    branch_id: UUID
