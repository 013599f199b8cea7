from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from tenants.enums import RoleCode
from tenants.models import Branch, Grant, User
from tenants.services.sessions import user_of_token
from tenants.tests.factories import make_branch

pytestmark = pytest.mark.django_db


@pytest.fixture
def branch() -> Branch:
    return make_branch(code="BRANCH-001")


def issue(*arguments: str) -> str:
    output = StringIO()
    call_command("issue_token", "--email", "A@example.com", *arguments, stdout=output)
    return output.getvalue().strip()


@pytest.mark.parametrize("role", RoleCode.values)
def test_token_of_each_role_works_where_the_role_is_given(branch: Branch, role: str) -> None:
    user = user_of_token(issue("--role", role, "--branch", "BRANCH-001"))

    grant = Grant.objects.select_related("role").get()
    places = {RoleCode.CHAIN_MANAGER: (branch.chain_id, None), RoleCode.BRANCH_MANAGER: (None, branch.pk)}
    places |= {RoleCode.CUSTOMER: (None, branch.pk), RoleCode.SUPPORT_ACCESS: (branch.chain_id, None)}
    assert (grant.user, grant.role.code) == (user, role)
    assert (grant.chain_id, grant.branch_id) == places.get(RoleCode(role), (None, None))


def test_same_person_and_role_twice_is_one(branch: Branch) -> None:
    first, second = issue("--role", "manager"), issue("--role", "manager")

    assert user_of_token(first) == user_of_token(second)
    assert (User.objects.count(), Grant.objects.count()) == (1, 1)


def test_without_a_role_the_person_has_none() -> None:
    user = user_of_token(issue())

    assert user is not None
    assert (user.email, user.grants.count()) == ("a@example.com", 0)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--role", "branch_manager"],
        ["--role", "chain_manager"],
        ["--role", "branch_manager", "--branch", "NOWHERE"],
        ["--role", "king"],
    ],
    ids=str,
)
def test_what_can_not_be_given_is_refused(branch: Branch, arguments: list[str]) -> None:
    with pytest.raises(CommandError):
        issue(*arguments)

    assert not Grant.objects.exists()


def test_production_refuses(settings: Settings) -> None:
    settings.PRODUCTION = True

    with pytest.raises(CommandError):
        issue("--role", "manager")

    assert not User.objects.exists()
