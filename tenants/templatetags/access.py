"""What pages ask about whoever reads them."""

from datetime import datetime
from typing import Any

from django import template

from tenants import access, directory
from tenants.models import SupportAccess, User
from tenants.requester import ACTING_AS, SEEN_AS

register = template.Library()


@register.simple_tag(takes_context=True)
def may(context: dict[str, Any], permission: str) -> bool:
    """`{% may "grants:view" as shown %}`: whether the reader holds it anywhere. No query of its own."""
    user = _reader(context)
    return user is not None and bool(access.may(user, permission))


@register.inclusion_tag("components/acting_banner.html", takes_context=True)
def acting_banner(context: dict[str, Any]) -> dict[str, Any]:
    """Who is acted as, or which role it is looked at as; nothing for everybody else. No query."""
    user = _reader(context)
    if user is None:
        return {}
    session = context["request"].session
    if user.powers.behind:
        return {"acting_as": user.get_full_name(), "until": datetime.fromisoformat(session[ACTING_AS]["until"])}
    if user.powers.seen_as is not None:
        return {"role": session[SEEN_AS]["role_name"], "place": session[SEEN_AS]["place_name"]}
    return {}


@register.simple_tag(takes_context=True)
def open_support(context: dict[str, Any]) -> list[SupportAccess]:
    """Support accesses open now to chains of the reader's; one query for those who may know, none for others."""
    user = _reader(context)
    return directory.open_support_accesses(user) if user is not None else []


def _reader(context: dict[str, Any]) -> User | None:
    """Nobody on an error page of a request that never got as far as reading who asks: asking may be what failed."""
    request = context.get("request")
    user = getattr(request, "user", None) if hasattr(request, "signed_in") else None
    return user if isinstance(user, User) else None
