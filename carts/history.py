"""What happened to a cart, in words."""

from typing import Any

from django.utils.translation import gettext as _

from carts.enums import CartCondition, CartStatus
from carts.models import Cart
from core.models import StateChange

_WORDS: dict[str, Any] = {**dict(CartStatus.choices), **dict(CartCondition.choices)}
_KINDS: dict[str, str] = {CartCondition.SUSPECT: "warn", CartCondition.MAINTENANCE: "bad"}


def cart_history(cart: Cart, most: int = 30) -> list[dict[str, Any]]:
    """Changes of a cart's state, newest first, as entries of the timeline component. One query."""
    rows = StateChange.objects.filter(entity_id=cart.pk).order_by("-at", "-pk")[:most]
    return [
        {
            "title": _("%(before)s → %(after)s")
            % {"before": _WORDS.get(row.from_state, row.from_state), "after": _WORDS.get(row.to_state, row.to_state)},
            "text": row.reason,
            "at": row.at,
            "kind": _KINDS.get(row.to_state, "ok"),
        }
        for row in rows
    ]
