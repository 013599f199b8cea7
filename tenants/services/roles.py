"""Roles: what people may be made. Nobody puts into one, or takes out of it, what they don't hold everywhere."""

from collections.abc import Collection

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from core.errors import NotAllowed
from core.rows import delete_row, save_row
from tenants import access
from tenants.enums import RoleCode
from tenants.models import Grant, Role, User


def create_role(*, code: str, name: str, permissions: Collection[str], actor: User) -> Role:
    """A new role. Raises `InvalidInput`, and `NotAllowed` for what `actor` doesn't hold."""
    _require_all(actor, permissions)
    return save_row(Role(), changes={"code": code, "name": name, "permissions": list(permissions)}, actor=actor)


def update_role(*, role: Role, name: str, permissions: Collection[str] | None = None, actor: User) -> Role:
    """Rename a role and, when given, replace its permissions. The manager keeps everything, or all could be locked out.

    Locks the role. Raises `InvalidInput`, and `NotAllowed` for what `actor` doesn't hold.
    """
    with transaction.atomic():
        stored = Role.objects.select_for_update().get(pk=role.pk)
        changes: dict[str, object] = {"name": name}
        if permissions is not None:
            moved = set(permissions) ^ set(stored.permissions)
            if moved and stored.code == RoleCode.MANAGER:
                raise NotAllowed(_("This role holds everything and stays so."))
            _require_all(actor, moved)
            changes["permissions"] = list(permissions)
            access.rights_changed(*Grant.objects.filter(role=stored).values_list("user_id", flat=True))
        return save_row(stored, changes=changes, actor=actor)


def delete_role(*, role: Role, actor: User) -> None:
    """Delete a role nobody has; the shipped ones stay. Raises `NotAllowed` and `DomainError`."""
    if role.code in RoleCode.values:
        raise NotAllowed(_("The roles the product comes with stay."))
    _require_all(actor, role.permissions)
    delete_row(role, actor=actor, when_used=_("Somebody has this role. Take it from them first."))


def _require_all(actor: User, permissions: Collection[str]) -> None:
    if not access.holds_all(actor, permissions, None):
        raise NotAllowed(_("A role can only be given or lose what you may do yourself."))
