"""Making, changing and deleting roles: nobody moves a permission they don't hold everywhere."""

from importlib import import_module

import pytest
from django.utils import translation

from core.errors import DomainError, InvalidInput, NotAllowed
from tenants.enums import SHIPPED_PERMISSIONS
from tenants.models import Role, User
from tenants.services import create_role, delete_role, update_role
from tenants.tests.factories import People, make_grant, make_user

pytestmark = pytest.mark.django_db
shipped_roles = import_module("tenants.migrations.0005_shipped_roles")


@pytest.fixture
def keeper() -> User:
    """Holds roles and looks at users, on the whole platform."""
    Role.objects.filter(code="support").update(permissions=["roles:*", "users:view"])
    user = make_user()
    make_grant(user=user, role="support")
    return user


def _stored(role: Role) -> list[str]:
    return list(Role.objects.get(pk=role.pk).permissions)


def test_role_is_made_changed_and_deleted(people: People) -> None:
    role = create_role(code="night", name="Night", permissions=["carts:view"], actor=people.erin)

    update_role(role=role, name="Late", permissions=["carts:view", "rentals:view"], actor=people.erin)
    renamed = update_role(role=role, name="Later", actor=people.erin)

    assert (renamed.name, _stored(role)) == ("Later", ["carts:view", "rentals:view"])
    delete_role(role=role, actor=people.erin)
    assert not Role.objects.filter(code="night").exists()


def test_role_that_allows_nothing_can_be_kept(people: People) -> None:
    assert _stored(create_role(code="guest", name="Guest", permissions=[], actor=people.erin)) == []


def test_code_of_another_role_is_refused(people: People) -> None:
    with pytest.raises(InvalidInput) as refused:
        create_role(code="support", name="Again", permissions=[], actor=people.erin)

    assert set(refused.value.errors) == {"code"}


def test_nobody_moves_what_they_do_not_hold(keeper: User) -> None:
    night = Role.objects.create(code="night", name="Night", permissions=["carts:view", "users:view"])

    for attempt in (
        lambda: create_role(code="mine", name="Mine", permissions=["*"], actor=keeper),
        lambda: update_role(role=night, name="Night", permissions=["carts:view", "*"], actor=keeper),
        lambda: update_role(role=night, name="Night", permissions=["users:view"], actor=keeper),
        lambda: delete_role(role=night, actor=keeper),
    ):
        with pytest.raises(NotAllowed):
            attempt()
    update_role(role=night, name="Night", permissions=["carts:view"], actor=keeper)

    assert (_stored(night), Role.objects.filter(code="mine").exists()) == (["carts:view"], False)


def test_form_that_changed_the_object_before_hides_nothing(keeper: User) -> None:
    """Django's forms write into the object they check; what counts is what is stored."""
    night = Role.objects.create(code="night", name="Night", permissions=["users:view"])
    night.permissions = ["*"]

    with pytest.raises(NotAllowed):
        update_role(role=night, name="Night", permissions=["*"], actor=keeper)

    assert _stored(night) == ["users:view"]


def test_manager_keeps_everything_and_shipped_roles_stay(people: People) -> None:
    manager = Role.objects.get(code="manager")

    with pytest.raises(NotAllowed):
        update_role(role=manager, name="Manager", permissions=["carts:view"], actor=people.erin)
    with pytest.raises(NotAllowed):
        delete_role(role=manager, actor=people.erin)

    assert _stored(manager) == ["*"]


def test_role_somebody_has_is_not_deleted(people: People) -> None:
    role = create_role(code="night", name="Night", permissions=[], actor=people.erin)
    make_grant(user=people.dora, role="night")

    with pytest.raises(DomainError):
        delete_role(role=role, actor=people.erin)

    assert Role.objects.filter(pk=role.pk).exists()


def test_shipped_role_is_told_in_the_readers_language_until_it_is_renamed() -> None:
    role = Role.objects.get(code="chain_manager")

    with translation.override("fr"):
        told = [str(role)]
        role.name = "Boss"
        told.append(str(role))

    assert told == ["Responsable de chaîne", "Boss"]


@pytest.mark.parametrize("code", sorted(shipped_roles.BEFORE))
def test_role_of_an_upgraded_install_is_the_shipped_one(code: str) -> None:
    assert shipped_roles.AFTER[code] == SHIPPED_PERMISSIONS[code]
