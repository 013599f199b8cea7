"""Which tier of rate limits a browser's request falls into (`settings.RATE_TIER`)."""

from django.http import HttpRequest

from tenants import access
from tenants.enums import GrantScope, RoleCode
from tenants.models import User

# Everybody is a customer there, and one who never was here before must not cost a query for it.
_CUSTOMERS = ("/s/", "/r/", "/me/")


def tier_of(request: HttpRequest) -> tuple[str, str]:
    """Tier and who is counted: "" for nobody. What they hold decides, whatever it is worth in this session.

    Acting as somebody counts against the one who acts.
    """
    user = request.user
    if not isinstance(user, User):
        return "anonymous", ""
    held = () if request.path.startswith(_CUSTOMERS) else access.all_held(user)
    back_office = [each for each in held if each.role != RoleCode.CUSTOMER]
    if not back_office:
        return "customer", str(user.pk)
    on_platform = any(access.scope_of(each) == GrantScope.PLATFORM for each in back_office)
    return "staff" if on_platform else "manager", str(user.pk)
