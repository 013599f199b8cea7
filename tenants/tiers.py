"""Which tier of rate limits people fall into, and whoever comes with a session (`settings.RATE_TIER`)."""

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
    return "customer" if request.path.startswith(_CUSTOMERS) else tier_held(user), str(user.pk)


def tier_held(user: User) -> str:
    """The tier of what this person holds now. One query after a change, else none."""
    back_office = [each for each in access.all_held(user) if each.role != RoleCode.CUSTOMER]
    if not back_office:
        return "customer"
    return "staff" if any(access.scope_of(each) == GrantScope.PLATFORM for each in back_office) else "manager"
