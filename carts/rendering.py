"""Fragments for open pages: the same partials the pages are made of, in the reader's language."""

from dataclasses import dataclass
from uuid import UUID

from django.contrib.auth.models import AnonymousUser
from django.template.loader import render_to_string
from django.utils import timezone, translation

from carts import presentation, selectors
from carts.figures import branch_figures
from carts.models import Cart, Rental
from devices.selectors import branch_devices, round_trips_ms
from tenants import access
from tenants.models import Branch, User


@dataclass(frozen=True, slots=True)
class BranchParts:
    """Which parts of a branch's page somebody who sees its carts sees besides them."""

    rentals: bool
    devices: bool


def parts_visible_to(user: User | AnonymousUser, branch: Branch) -> BranchParts:
    """Rentals, with the figures that count them, and devices each ask for a permission of their own."""
    return BranchParts(
        rentals=bool(access.may(user, "rentals:view", branch)), devices=bool(access.may(user, "devices:view", branch))
    )


def render_rental(rental_id: UUID, language: str) -> str:
    """The customer's rental as it is now."""
    return show_rental(Rental.objects.select_related("cart", "branch", "unlock_command").get(pk=rental_id), language)


def show_rental(rental: Rental, language: str) -> str:
    """A rental at hand. No query while it opens or runs."""
    with translation.override(language), timezone.override(rental.branch.time_zone):
        context = {"rental": presentation.rental_page(rental)}
        return render_to_string("carts/rental_detail.html#rental", context)


def render_branch_changes(branch_id: UUID, cart_ids: set[UUID], devices: bool, seen: BranchParts, language: str) -> str:
    """What changed on a branch's page: tiles and dialogs of these carts, rentals and figures with them, the devices.

    Of rentals, figures and devices what is `seen` alone; empty when nothing is left.
    """
    branch = Branch.objects.select_related("chain").get(pk=branch_id)
    page = {"branch": branch_heading(branch)}
    with translation.override(language), timezone.override(branch.time_zone):
        tiles = [presentation.cart_tile(cart) for cart in Cart.objects.filter(pk__in=cart_ids, branch=branch)]
        parts = [
            render_to_string(f"carts/{fragment}", {**page, "cart": tile})
            for tile in tiles
            for fragment in ("control_branch.html#cart-tile", "control_cart.html#state")
        ]
        if cart_ids and seen.rentals:
            parts.append(
                render_to_string("carts/control_branch.html#rentals-table", {**page, "rentals": rental_rows(branch)})
            )
            parts.append(
                render_to_string("carts/control_branch.html#figures", {**page, "figures": branch_figures(branch)})
            )
        if devices and seen.devices:
            parts.append(
                render_to_string("carts/control_branch.html#devices-table", {**page, "devices": device_rows(branch)})
            )
        return "\n".join(parts)


def branch_heading(branch: Branch) -> dict[str, str]:
    """What every page of a branch says about it."""
    return {"id": str(branch.pk), "name": branch.name, "chain_name": branch.chain.name}


def rental_rows(branch: Branch) -> list[presentation.RentalRow]:
    """“Rentals now”, oldest worry first."""
    return [presentation.rental_row(rental) for rental in selectors.open_rentals(branch)]


def device_rows(branch: Branch) -> list[presentation.DeviceRow]:
    """“Devices”."""
    rows = list(branch_devices(branch.pk))
    trips = round_trips_ms([row.pk for row in rows])
    return [presentation.device_row(row, trips.get(row.pk)) for row in rows]
