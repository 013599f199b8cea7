"""Who sees and may do what, over rows of every app."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import AnonymousUser
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from carts.models import Cart, Rental
from carts.tests.factories import make_cart, make_rental
from tenants import access
from tenants.enums import SHIPPED_PERMISSIONS, GrantScope, RoleCode
from tenants.models import Branch, Chain, Grant, Role, User
from tenants.reasons import ReasonKind
from tenants.tests.factories import People, make_branch, make_chain, make_grant, make_people, make_user

PERMISSIONS = sorted(
    {
        f"{resource}:{action}"
        for resource in (
            "chains",
            "branches",
            "devices",
            "telemetry",
            "carts",
            "rentals",
            "users",
            "schedules",
            "roles",
        )
        for action in ("view", "add", "change", "delete", "command")
    }
    | {"rentals:close", "rentals:return"}
)


@pytest.fixture
def people(db: None) -> People:
    return make_people()


def shipped(role: str, permission: str) -> bool:
    """What the table of shipped permissions says, read plainly."""
    resource = permission.split(":")[0]
    return bool({"*", f"{resource}:*", permission} & set(SHIPPED_PERMISSIONS[role]))


def person_with(role: str, *, chain: Chain, branch: Branch) -> User:
    """Somebody who holds a role where it is usually given."""
    user = make_user()
    if role in (RoleCode.CHAIN_MANAGER, RoleCode.SUPPORT_ACCESS):
        make_grant(user=user, role=role, chain=chain)
    elif role in (RoleCode.BRANCH_MANAGER, RoleCode.CUSTOMER):
        make_grant(user=user, role=role, branch=branch)
    else:
        make_grant(user=user, role=role)
    return user


@pytest.mark.django_db
@pytest.mark.parametrize("role", RoleCode.values)
def test_role_may_and_sees_what_it_was_shipped_with_on_own_and_nothing_on_others(role: str) -> None:
    chain, strange_chain = make_chain(), make_chain()
    branch, sister, strange = make_branch(chain=chain), make_branch(chain=chain), make_branch(chain=strange_chain)
    carts = {where: make_cart(branch=where) for where in (branch, sister, strange)}
    user = person_with(role, chain=chain, branch=branch)
    reach = {
        RoleCode.CHAIN_MANAGER: {branch, sister},
        # Counts only beside a role that may open it.
        RoleCode.SUPPORT_ACCESS: set(),
        RoleCode.BRANCH_MANAGER: {branch},
        RoleCode.CUSTOMER: {branch},
    }.get(RoleCode(role), {branch, sister, strange})

    for permission in PERMISSIONS:
        expected = reach if shipped(role, permission) else set()
        assert {where for where in carts if user.may(permission, carts[where])} == expected, permission
        assert {where for where in carts if user.may(permission, where)} == expected, permission
        seen = set(user.visible(Cart.objects.all(), permission))
        assert seen == {carts[where] for where in expected}, permission


@pytest.mark.parametrize("permission", ["branches:view", "carts:view", "rentals:view", "chains:view", "rentals:return"])
def test_person_without_a_grant_sees_and_may_nothing(people: People, permission: str) -> None:
    cart = make_cart(branch=people.branch)
    rental = make_rental(cart=cart)
    nobody = make_user()

    for user in (nobody, AnonymousUser()):
        assert not access.may(user, permission)
        assert not access.may(user, permission, rental)
        for model in (Chain, Branch, Cart, Rental):
            assert not access.visible(user, model.objects.all(), permission).exists()


def test_chain_is_seen_by_those_on_the_chain_and_once(people: People) -> None:
    make_branch(chain=people.chain)

    assert list(people.bob.visible(Chain.objects.all(), "chains:view")) == [people.chain]
    assert list(people.charlie.visible(Chain.objects.all(), "chains:view")) == [people.strange_chain]
    assert people.erin.visible(Chain.objects.all(), "chains:view").count() == 2
    assert not people.alice.visible(Chain.objects.all(), "chains:view").exists()


def test_branch_manager_who_is_given_chains_sees_the_chain_once_but_may_not_touch_it(people: People) -> None:
    role = people.alice.grants.get().role
    role.permissions = [*role.permissions, "chains:view", "chains:change"]
    role.save()
    sister = make_branch(chain=people.chain)
    make_grant(user=people.alice, role=RoleCode.BRANCH_MANAGER, branch=sister)

    assert list(people.alice.visible(Chain.objects.all(), "chains:view")) == [people.chain]
    assert not people.alice.may("chains:change", people.chain)


def test_customer_sees_and_returns_the_own_rental_and_no_other(people: People) -> None:
    own = make_rental(cart=make_cart(branch=people.branch), customer=people.dora)
    other = make_rental(cart=make_cart(branch=people.branch))
    elsewhere = make_rental(cart=make_cart(branch=people.strange_branch), customer=people.dora)

    assert set(people.dora.visible(Rental.objects.all(), "rentals:view")) == {own, elsewhere}
    assert people.dora.may("rentals:return", own)
    assert not people.dora.may("rentals:return", other)
    assert not people.dora.may("rentals:close", own)
    assert not people.dora.visible(Rental.objects.all(), "rentals:close").exists()


def test_manager_who_rents_elsewhere_keeps_both_views(people: People) -> None:
    ours = make_rental(cart=make_cart(branch=people.branch))
    own = make_rental(cart=make_cart(branch=people.strange_branch), customer=people.alice)
    make_rental(cart=make_cart(branch=people.strange_branch))

    assert set(people.alice.visible(Rental.objects.all(), "rentals:view")) == {ours, own}


@pytest.mark.django_db
@pytest.mark.parametrize(("offset", "expected"), [(-1, False), (60, True), (None, True)])
def test_grant_holds_until_it_expires(offset: int | None, expected: bool) -> None:
    branch, user = make_branch(), make_user()
    until = None if offset is None else timezone.now() + timedelta(seconds=offset)

    grant = make_grant(user=user, role=RoleCode.BRANCH_MANAGER, branch=branch, expires_at=until)

    assert bool(user.may("carts:view", branch)) is expected
    assert user.visible(Branch.objects.all(), "branches:view").exists() is expected
    assert grant.in_force is expected


def test_inactive_person_may_and_sees_nothing(people: People) -> None:
    people.erin.is_active = False

    assert not people.erin.may("carts:view", people.branch)
    assert not people.erin.visible(Branch.objects.all(), "branches:view").exists()
    assert not people.erin.is_staff


def test_inactive_customer_does_not_see_even_the_own_rental(people: People) -> None:
    rental = make_rental(customer=people.dora)
    people.dora.is_active = False

    assert not people.dora.may("rentals:view", rental)
    assert not people.dora.visible(Rental.objects.all(), "rentals:view").exists()


@pytest.mark.parametrize(
    ("who", "permission", "role"),
    [
        ("erin", "carts:view", "manager"),
        ("bob", "carts:view", "chain_manager"),
        ("alice", "carts:view", "branch_manager"),
        ("charlie", "carts:view", None),
        ("dora", "carts:view", None),
        ("alice", "chains:delete", None),
    ],
)
def test_decision_says_why(people: People, who: str, permission: str, role: str | None) -> None:
    decision = getattr(people, who).may(permission, people.branch)

    assert decision.reason.kind == (ReasonKind.GRANT if role else ReasonKind.NOT_GRANTED)
    assert (decision.reason.held and decision.reason.held.role) == role
    assert bool(decision) is (role is not None)


def test_decision_about_the_own_and_about_nobody_says_why(people: People) -> None:
    rental = make_rental(customer=people.dora)

    assert people.dora.may("rentals:view", rental).reason.kind == ReasonKind.OWN
    assert access.may(AnonymousUser(), "rentals:view", rental).reason.kind == ReasonKind.NOBODY


@pytest.mark.parametrize("permission", ["cart:view", "branches:viewer", "cartsview", "branches", "cart", ":", ""])
def test_permission_nobody_wrote_is_held_by_nobody_but_the_manager(people: People, permission: str) -> None:
    assert not people.alice.may(permission, people.branch)
    assert people.erin.may(permission, people.branch)


@pytest.mark.parametrize("who", ["alice", "bob", "charlie", "dora", "erin"])
def test_any_number_of_questions_costs_at_most_one_query(
    people: People, who: str, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    cart = make_cart(branch=people.branch)
    user = User.objects.get(pk=getattr(people, who).pk)

    with django_assert_max_num_queries(1):
        for permission in PERMISSIONS:
            user.may(permission, cart)
            user.visible(Cart.objects.all(), permission)
        assert user.is_staff is (who == "erin")


@pytest.mark.parametrize(
    ("who", "staff", "manager"),
    [("alice", False, True), ("bob", False, True), ("dora", False, False), ("erin", True, True)],
)
def test_staff_are_those_with_a_role_on_the_platform(people: People, who: str, staff: bool, manager: bool) -> None:
    user = getattr(people, who)

    assert (user.is_staff, access.is_manager(user)) == (staff, manager)
    assert user.is_superuser is (who == "erin")


def test_everything_on_one_chain_is_not_everything(people: People) -> None:
    role = Role.objects.create(code="owner", name="Owner", permissions=["*"])
    owner = make_user()
    make_grant(user=owner, role="support")
    Grant.objects.create(user=owner, role=role, chain=people.chain)

    assert (owner.is_staff, owner.is_superuser, owner.has_perm("admin.view_logentry")) == (True, False, False)


@pytest.mark.django_db
def test_platform_customer_is_no_staff() -> None:
    user = make_user()
    make_grant(user=user, role=RoleCode.CUSTOMER)

    assert not user.is_staff


@pytest.mark.parametrize("model", [Chain, Branch, Cart, Rental])
def test_strangers_things_do_not_exist_for_each_other(people: People, model: Callable[..., object]) -> None:
    for branch in (people.branch, people.strange_branch):
        make_rental(cart=make_cart(branch=branch))
    resource = {"Branch": "branches"}.get(model.__name__, f"{model.__name__.lower()}s")

    ours = set(people.bob.visible(model.objects.all(), f"{resource}:view"))
    theirs = set(people.charlie.visible(model.objects.all(), f"{resource}:view"))

    assert (len(ours), len(theirs)) == (1, 1)
    assert not ours & theirs


def test_scope_of_a_grant_is_where_it_was_given(people: People) -> None:
    scopes = {who: getattr(people, who).grants.get().scope for who in ("alice", "bob", "erin")}

    assert scopes == {"alice": GrantScope.BRANCH, "bob": GrantScope.CHAIN, "erin": GrantScope.PLATFORM}
