"""What deeds about carts and rentals are called in the audit; see `core.audit_words`."""

from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from carts.models import Cart, Rental
from core.audit_words import Kind, Word, tell_deeds, tell_kind

tell_deeds(
    {
        "ended by staff": Word(_("Ended by staff"), "warn"),
        "lock sent": Word(_("Lock sent")),
        "put in maintenance": Word(_("Put in maintenance"), "warn"),
        "put in service": Word(_("Put back in service"), "ok"),
        "unlock sent": Word(_("Unlock sent"), "warn"),
    }
)


def _cart_page(cart: Cart) -> str:
    return reverse("carts:cart-detail", args=[cart.branch_id, cart.pk])


def _rented_cart(rental: Rental) -> str:
    return str(rental.cart)


def _page_of_rented_cart(rental: Rental) -> str:
    return _cart_page(rental.cart)


tell_kind("carts.cart", Kind("carts:view", url=_cart_page))
tell_kind("carts.rental", Kind("rentals:view", related=("cart",), name=_rented_cart, url=_page_of_rented_cart))
