"""Carts and rentals in the admin, and the figures on its first page."""

from carts.admin import cart, rental

__all__ = ["cart", "rental"]
