from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError
from django.db.models import ProtectedError

from core.errors import InvalidInput
from tenants.enums import ROLE_SCOPES, GrantScope, RoleCode
from tenants.models import Branch, Chain, Grant, Role, User
from tenants.services import grant_role
from tenants.services.people import ensure_customer, ensure_shipped_roles, ensure_user
from tenants.tests.factories import People, make_branch, make_chain, make_grant, make_phone, make_user

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("field", ["email", "phone"])
def test_contact_belongs_to_one_person(field: str) -> None:
    contact = {"email": "a@example.com", "phone": "+972501234567"}[field]
    User.objects.create(**{field: contact})

    with pytest.raises(IntegrityError):
        User.objects.create(**{field: contact})


def test_many_people_may_lack_the_same_contact() -> None:
    make_user(email="a@example.com")
    make_user(email="b@example.com")
    make_user(phone=make_phone())
    make_user(phone=make_phone())

    assert User.objects.count() == 4


def test_person_without_any_contact_is_refused() -> None:
    with pytest.raises(IntegrityError):
        User.objects.create(name="Nobody")


@pytest.mark.parametrize("phone", ["0501234567", "+0501234567", "+972 501234567", "+972501234567\n", "+٩٧٢٥٠١٢٣٤٥٦٧"])
def test_phone_that_is_not_e164_is_refused(phone: str) -> None:
    with pytest.raises(ValidationError):
        make_user(phone=phone)


def test_address_is_one_key_whatever_its_case() -> None:
    made = make_user(email="Alice@Example.COM")

    assert made.email == "alice@example.com"
    assert User.objects.get_by_natural_key("ALICE@example.com") == made
    assert ensure_user(email="aLiCe@example.com") == made


def test_phone_is_shown_masked() -> None:
    customer = make_user(phone="+972501234567")

    assert (str(customer), customer.masked_phone) == ("•• ••• 4567", "•• ••• 4567")


@pytest.mark.parametrize(
    ("known_by", "shown"),
    [
        ({"email": "alice@example.com"}, "a•••@example.com"),
        ({"email": "alice@example.com", "name": "Alice"}, "Alice (a•••@example.com)"),
        ({"email": "alice@example.com", "phone": "+972501234567", "name": "Alice"}, "Alice (•• ••• 4567)"),
        ({"client_id": "abc.access", "name": "Robot"}, "Robot"),
        ({"client_id": "abc.access"}, "abc.access"),
    ],
)
def test_person_is_called_by_name_and_mask(known_by: dict[str, str], shown: str) -> None:
    assert str(User(**known_by)) == shown


def test_person_the_product_makes_has_no_password_that_works() -> None:
    customer, staff = ensure_customer(phone="+972501234567"), ensure_user(email="a@example.com")

    assert [user.check_password(guess) for user in (customer, staff) for guess in ("", "!", "None")] == [False] * 6
    assert ensure_customer(phone="+972501234567") == customer


@pytest.mark.parametrize("scope", GrantScope.values)
def test_grant_is_held_once_even_where_columns_are_null(scope: str) -> None:
    user, chain, branch = make_user(), make_chain(), make_branch()
    where = {GrantScope.CHAIN: {"chain": chain}, GrantScope.BRANCH: {"branch": branch}}.get(GrantScope(scope), {})
    make_grant(user=user, role=RoleCode.SUPPORT, **where)

    with pytest.raises(IntegrityError):
        make_grant(user=user, role=RoleCode.SUPPORT, **where)


def test_grant_of_the_same_role_elsewhere_is_another() -> None:
    user, branch = make_user(), make_branch()
    make_grant(user=user, role=RoleCode.BRANCH_MANAGER, branch=branch)
    make_grant(user=user, role=RoleCode.BRANCH_MANAGER, branch=make_branch())
    make_grant(user=user, role=RoleCode.CUSTOMER, branch=branch)
    make_grant(user=make_user(), role=RoleCode.BRANCH_MANAGER, branch=branch)

    assert Grant.objects.count() == 4


def test_grant_on_a_chain_and_a_branch_at_once_is_refused(people: People) -> None:
    with pytest.raises(IntegrityError):
        make_grant(user=people.dora, role=RoleCode.SUPPORT, chain=people.chain, branch=people.branch)


@pytest.mark.parametrize("role", RoleCode.values)
@pytest.mark.parametrize("scope", GrantScope.values)
def test_shipped_role_is_given_only_where_it_fits(role: str, scope: str) -> None:
    user, chain, branch = make_user(), make_chain(), make_branch()
    where = {GrantScope.CHAIN: {"chain": chain}, GrantScope.BRANCH: {"branch": branch}}.get(GrantScope(scope), {})
    wrong = Grant(user=user, role=Role.objects.get(code=role), **where)

    if scope in ROLE_SCOPES[role]:
        wrong.full_clean()
        assert grant_role(user=user, role=role, **where) == grant_role(user=user, role=role, **where)
    else:
        with pytest.raises(ValidationError):
            wrong.full_clean()
        with pytest.raises(InvalidInput):
            grant_role(user=user, role=role, **where)
        assert not user.grants.exists()


def test_role_a_manager_made_is_given_anywhere() -> None:
    user, role = make_user(), Role.objects.create(code="auditor", name="Auditor", permissions=["rentals:view"])

    for where in ({}, {"chain": make_chain()}, {"branch": make_branch()}):
        Grant(user=user, role=role, **where).full_clean()


def test_shipped_roles_come_back_and_edits_stay() -> None:
    Role.objects.filter(code=RoleCode.SUPPORT).delete()
    Role.objects.filter(code=RoleCode.TECHNICAL).update(permissions=["devices:view"])

    ensure_shipped_roles()

    assert set(Role.objects.values_list("code", flat=True)) == set(RoleCode.values)
    assert Role.objects.get(code=RoleCode.TECHNICAL).permissions == ["devices:view"]


def test_branch_code_is_unique_over_all_chains() -> None:
    make_branch(code="BRANCH-001")

    with pytest.raises(IntegrityError):
        make_branch(code="BRANCH-001")


@pytest.mark.parametrize("text", ["", "a/b", "a+", "#", "a b", "A", "a--b", "-a", "a\n", "ą", "a/../b"])
def test_slug_that_could_not_be_a_topic_level_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        Chain(name="Chain", slug=text).full_clean()


@pytest.mark.parametrize("text", ["", "A/B", "A+", "#", "A B", "a", "A--B", "-A", "A\n", "Ą"])
def test_code_that_could_not_be_a_topic_level_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        Branch(chain=make_chain(), name="Branch", code=text).full_clean()


@pytest.mark.parametrize(
    "wrong",
    [{"latitude": 91}, {"latitude": -91}, {"longitude": 181}, {"rental_minutes": 0}]
    + [{"time_zone": name} for name in ("Mars/Base", "America", "../etc/passwd", "Asia/Jerusalem\n")],
    ids=str,
)
def test_branch_that_can_not_be_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError) as caught:
        Branch(chain=make_chain(), name="Branch", code="B-1", **wrong).full_clean()

    assert list(caught.value.message_dict) == list(wrong)


def test_chain_with_branches_is_not_deleted() -> None:
    branch = make_branch(rental_minutes=90)

    with pytest.raises(ProtectedError):
        branch.chain.delete()

    assert branch.rental_duration == timedelta(hours=1, minutes=30)
