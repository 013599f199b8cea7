"""Changing branches, and deleting chains."""

import pytest
from django.utils import timezone

from core.errors import DomainError, InvalidInput, NotAllowed
from tenants.models import Branch, Grant, SupportAccess
from tenants.services.shops import delete_chain, update_branch
from tenants.tests.factories import People, make_chain, make_grant, make_user

pytestmark = pytest.mark.django_db


def test_branch_is_changed_and_only_in_what_is_said(people: People) -> None:
    stale = Branch.objects.get(pk=people.branch.pk)
    update_branch(branch=people.branch, actor=people.erin, city="Haifa")

    update_branch(branch=stale, actor=people.erin, name="Renamed")

    now = Branch.objects.get(pk=people.branch.pk)
    assert (now.name, now.city) == ("Renamed", "Haifa")


def test_branch_is_not_changed_into_nonsense(people: People) -> None:
    with pytest.raises(InvalidInput) as refused:
        update_branch(branch=people.branch, actor=people.erin, time_zone="Mars/Base", name="Renamed")

    assert (set(refused.value.errors), Branch.objects.get(pk=people.branch.pk).name) == ({"time_zone"}, "Our branch")


@pytest.mark.parametrize("field", ["chain", "code"])
def test_levels_of_topics_stay(people: People, field: str) -> None:
    with pytest.raises(NotAllowed):
        update_branch(branch=people.branch, actor=people.erin, **{field: getattr(people.strange_branch, field)})

    assert getattr(Branch.objects.get(pk=people.branch.pk), field) == getattr(people.branch, field)


def test_chain_that_support_looked_into_stays(people: People) -> None:
    """What was looked at is kept; nobody loses a role over the try."""
    chain, helper = make_chain(), make_user()
    make_grant(user=helper, role="chain_manager", chain=chain)
    now = timezone.now()
    SupportAccess.objects.create(staff=people.erin, chain=chain, reason="a call", ends_at=now, ended_at=now)

    with pytest.raises(DomainError, match="Support looked"):
        delete_chain(chain=chain, actor=people.erin)

    assert Grant.objects.filter(chain=chain).count() == 1
