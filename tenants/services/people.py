"""People and their grants."""

from django.db import transaction

from core.errors import InvalidInput
from tenants.enums import ROLE_SCOPES, SHIPPED_PERMISSIONS, GrantScope, Languages, RoleCode
from tenants.models import Branch, Chain, Grant, Role, User


def ensure_customer(*, phone: str, language: str = Languages.ENGLISH) -> User:
    """The person with this phone (E.164, proved by a code just now), made when new. Two at once get the same one."""
    user, _ = User.objects.get_or_create(phone=phone, defaults={"language": language, "password": "!"})
    return user


def ensure_user(*, email: str, name: str = "") -> User:
    """The person with this address, made without a usable password when missing."""
    user, created = User.objects.get_or_create(email=email.lower(), defaults={"name": name, "password": "!"})
    if created:
        user.set_unusable_password()
        user.save(update_fields=["password"])
    return user


@transaction.atomic
def grant_role(*, user: User, role: str, chain: Chain | None = None, branch: Branch | None = None) -> Grant:
    """Give a role where it can be given; the same grant twice is one. Raises `InvalidInput`."""
    row = Role.objects.get(code=role)
    grant = Grant(user=user, role=row, chain=chain, branch=branch)
    allowed = ROLE_SCOPES.get(role)
    if allowed and grant.scope not in allowed:
        wanted = " or ".join(sorted(str(GrantScope(scope).label) for scope in allowed))
        raise InvalidInput(errors={"role": [f"{role} is given on: {wanted}"]})
    kept, _ = Grant.objects.get_or_create(user=user, role=row, chain=chain, branch=branch)
    return kept


def ensure_customer_grant(*, user: User, branch: Branch) -> None:
    """A person who rents at a branch is its customer from then on: its name and history stay visible to them."""
    grant_role(user=user, role=RoleCode.CUSTOMER, branch=branch)


def ensure_shipped_roles() -> None:
    """Add the shipped roles that are missing; what a manager changed about one stays."""
    for code, permissions in SHIPPED_PERMISSIONS.items():
        Role.objects.get_or_create(code=code, defaults={"name": str(RoleCode(code).label), "permissions": permissions})


def set_language(*, user: User, language: str) -> None:
    """Remember what the person reads."""
    if language in Languages.values and user.language != language:
        User.objects.filter(pk=user.pk).update(language=language)
