"""What happened to a cart, in words."""

from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from carts.enums import CartCondition, CartStatus
from carts.models import Cart
from core.models import StateChange

_WORDS: dict[str, Any] = {**dict(CartStatus.choices), **dict(CartCondition.choices)}
# What services note as the reason of a change. Whatever else stands there was typed by staff.
_REASONS: dict[str, Any] = {
    "lock opened": gettext_lazy("The lock said that it opened."),
    "lock closed": gettext_lazy("The lock closed with the cart in it."),
    "rental voided": gettext_lazy("The rental was voided."),
    "rental closed without the cart": gettext_lazy("A rental was closed while the cart was away."),
    "customer: did not open": gettext_lazy("The customer said that it did not open."),
}
_UNLOCK = "unlock: "
_KINDS: dict[str, str] = {CartCondition.SUSPECT: "warn", CartCondition.MAINTENANCE: "bad"}


def reason_words(reason: str) -> str:
    """A noted reason in the reader's language; what staff typed stays as it is."""
    if reason.startswith(_UNLOCK):
        return _("The lock did not say that it opened (%(reason)s).") % {"reason": reason.removeprefix(_UNLOCK)}
    return str(_REASONS.get(reason, reason))


def cart_history(cart: Cart, most: int = 30) -> list[dict[str, Any]]:
    """Changes of a cart's state, newest first, as entries of the timeline component. One query."""
    rows = StateChange.objects.filter(entity_id=cart.pk).order_by("-at", "-pk")[:most]
    return [
        {
            "title": _("%(before)s → %(after)s")
            % {"before": _WORDS.get(row.from_state, row.from_state), "after": _WORDS.get(row.to_state, row.to_state)},
            "text": reason_words(row.reason),
            "at": row.at,
            "kind": _KINDS.get(row.to_state, "ok"),
        }
        for row in rows
    ]
