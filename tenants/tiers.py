"""Which tier of rate limits a browser's request falls into (`settings.RATE_TIER`)."""

from django.http import HttpRequest

from tenants import access
from tenants.models import User

# Everybody is a customer there, and one who never was here before must not cost a query for it.
_CUSTOMERS = ("/s/", "/r/", "/me/")


def tier_of(request: HttpRequest) -> tuple[str, str]:
    """Tier and who is counted: "" for nobody. Acting as somebody counts against the one who acts."""
    user = request.user
    if not isinstance(user, User):
        return "anonymous", ""
    if request.path.startswith(_CUSTOMERS) or not access.is_trusted(user):
        return "customer", str(user.pk)
    return "staff" if access.is_platform_staff(user) else "manager", str(user.pk)
