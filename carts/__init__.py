"""Carts and their rentals: life cycles, customer pages, manager pages, REST below a branch."""
