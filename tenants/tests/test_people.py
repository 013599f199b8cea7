"""Making, changing and closing accounts, and giving and taking roles: what changes, and for whom it is refused."""

from collections.abc import Callable
from datetime import timedelta
from threading import Event
from uuid import UUID

import pytest
from django.db import OperationalError, transaction
from django.test import Client
from django.utils import timezone

from core.errors import InvalidInput, NotAllowed
from core.models import StateChange
from core.tests.race import race, race_each
from tenants import access
from tenants.enums import SHIPPED_PERMISSIONS, RoleCode
from tenants.models import Grant, RefreshToken, Role, SignInLink, User
from tenants.services import (
    create_person,
    create_sign_in_link,
    deactivate_person,
    ensure_customer_grant,
    erase_person,
    export_person,
    grant_role,
    issue_tokens,
    reactivate_person,
    revoke_grant,
    update_person,
)
from tenants.services import people as service
from tenants.services.roles import update_role
from tenants.services.second_factor import reset_second_factor
from tenants.services.sessions import issue_access_token, user_of_token
from tenants.tests.factories import People, make_branch, make_grant, make_people, make_user
from tenants.tests.signing_in import sign_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def helper() -> User:
    """Support staff: may change people, holds far less than a manager."""
    user = make_user()
    make_grant(user=user, role="support")
    return user


def _again(user: User) -> User:
    """The person as the next request sees them."""
    return User.objects.get(pk=user.pk)


def test_person_is_made_without_a_password(people: People) -> None:
    made = create_person(email="New@Example.com", phone="+972522501234", name="New", language="he", actor=people.erin)

    assert (made.email, made.phone, made.language, made.has_usable_password()) == (
        "new@example.com",
        "+972522501234",
        "he",
        False,
    )


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"email": "nobody"}, "email"),
        ({"phone": "052-2501234"}, "phone"),
        ({"language": "xx"}, "language"),
        ({"email": None}, "__all__"),
    ],
)
def test_person_is_not_made_from_bad_input(people: People, wrong: dict[str, str | None], field: str) -> None:
    before = User.objects.count()
    known_by = {"email": "new@example.com", "phone": None, "name": "", "language": "en"}

    with pytest.raises(InvalidInput) as refused:
        create_person(**{**known_by, **wrong}, actor=people.erin)

    assert (set(refused.value.errors), User.objects.count()) == ({field}, before)


def test_change_of_a_person_leaves_what_others_changed_meanwhile(people: People) -> None:
    stale = _again(people.dora)
    deactivate_person(user=people.dora, actor=people.erin)

    update_person(user=stale, email=None, phone=stale.phone, name="Dora B", language="fr", actor=people.erin)

    now = _again(people.dora)
    assert (now.name, now.is_active, now.token_version) == ("Dora B", False, 2)


def test_closed_account_ends_everything_at_once(people: People) -> None:
    browser = Client()
    sign_in(browser, people.alice)
    token = issue_access_token(people.alice, second_factor=True)
    issue_tokens(people.alice, second_factor=True)
    create_sign_in_link(user=people.alice, next_path="/control/")

    deactivate_person(user=people.alice, actor=people.erin)
    deactivate_person(user=people.alice, actor=people.erin)

    assert (browser.get("/control/").status_code, user_of_token(token)) == (302, None)
    assert (RefreshToken.objects.count(), SignInLink.objects.count()) == (0, 0)
    assert _again(people.alice).token_version == 2
    history = StateChange.objects.filter(entity_id=people.alice.pk).values_list("from_state", "to_state", "actor")
    assert list(history) == [("open", "closed", str(people.erin.pk))]


def test_reopened_account_does_not_revive_old_sessions(people: People) -> None:
    browser = Client()
    sign_in(browser, people.alice)
    deactivate_person(user=people.alice, actor=people.erin)

    reactivate_person(user=people.alice, actor=people.erin)

    assert browser.get("/control/").status_code == 302
    sign_in(browser, _again(people.alice))
    assert browser.get("/control/").status_code == 200


def test_reopened_account_would_revive_old_sessions_control(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody is signed out, the old session works again: the test above can fail."""
    monkeypatch.setattr("tenants.services.people.sign_out_everywhere", lambda user_id: None)
    browser = Client()
    sign_in(browser, people.alice)
    deactivate_person(user=people.alice, actor=people.erin)

    reactivate_person(user=people.alice, actor=people.erin)

    assert browser.get("/control/").status_code == 200


def test_nobody_closes_their_own_account(people: People) -> None:
    with pytest.raises(NotAllowed):
        deactivate_person(user=people.erin, actor=people.erin)

    assert _again(people.erin).is_active


def test_whoever_holds_more_is_left_alone(people: People, helper: User) -> None:
    erin = people.erin

    for attempt in (
        lambda: update_person(user=erin, email="m@example.com", phone=None, name="", language="en", actor=helper),
        lambda: deactivate_person(user=erin, actor=helper),
        lambda: reactivate_person(user=erin, actor=helper),
        lambda: create_sign_in_link(user=erin, next_path="/", actor=helper),
    ):
        with pytest.raises(NotAllowed):
            attempt()

    now = _again(erin)
    assert (now.email, now.is_active, SignInLink.objects.count()) == (erin.email, True, 0)


@pytest.fixture
def chains_helper(people: People) -> User:
    """May do everything to people, in our chain."""
    helper = make_user()
    role = Role.objects.create(code="chain-helper", name="Helper", permissions=["users:*"])
    Grant.objects.create(user=helper, role=role, chain=people.chain)
    return helper


ON_A_PERSON: dict[str, Callable[[User, User], object]] = {
    "update": lambda user, actor: update_person(
        user=user, email="new@example.com", phone=None, name="", language="en", actor=actor
    ),
    "close": lambda user, actor: deactivate_person(user=user, actor=actor),
    "open": lambda user, actor: reactivate_person(user=user, actor=actor),
    "link": lambda user, actor: create_sign_in_link(user=user, next_path="/", actor=actor),
    "factor": lambda user, actor: reset_second_factor(user=user, actor=actor),
    "export": lambda user, actor: export_person(person=user, actor=actor),
    "erase": lambda user, actor: erase_person(user=user, actor=actor),
}


@pytest.mark.parametrize("deed", ON_A_PERSON)
def test_customer_of_two_chains_is_no_more_one_chains_than_the_others(
    people: People, chains_helper: User, deed: str
) -> None:
    customer = make_user(phone="+972525550001")
    make_grant(user=customer, role="customer", branch=people.branch)
    elsewhere = make_grant(user=customer, role="customer", branch=people.strange_branch)

    with pytest.raises(NotAllowed, match="They hold something where you may not do this"):
        ON_A_PERSON[deed](customer, chains_helper)
    elsewhere.delete()

    ON_A_PERSON[deed](_again(customer), chains_helper)


def test_closed_manager_still_outranks_support(people: People, helper: User) -> None:
    """Else support could open the account again under an address of their own."""
    User.objects.filter(pk=people.erin.pk).update(is_active=False)

    assert not access.outranks(helper, _again(people.erin))


def test_expired_grant_gives_no_rank(people: People, helper: User) -> None:
    Grant.objects.filter(user=people.erin).update(expires_at=timezone.now() - timedelta(seconds=1))

    assert access.outranks(helper, _again(people.erin))


@pytest.mark.parametrize(
    ("actor", "other", "rank"),
    [
        ("erin", "bob", True),
        ("bob", "alice", True),
        ("alice", "bob", False),
        ("charlie", "alice", False),
        ("alice", "alice", True),
        ("alice", "dora", True),
    ],
)
def test_rank_follows_what_each_holds_where(people: People, actor: str, other: str, rank: bool) -> None:
    assert access.outranks(getattr(people, actor), getattr(people, other)) is rank


def test_same_grant_twice_is_one_with_the_later_end(people: People) -> None:
    end = timezone.now() + timedelta(days=1)
    grant_role(user=people.dora, role="branch_manager", branch=people.branch, actor=people.erin)

    kept = grant_role(user=people.dora, role="branch_manager", branch=people.branch, expires_at=end, actor=people.erin)

    assert list(Grant.objects.filter(user=people.dora)) == [kept]
    assert Grant.objects.get(pk=kept.pk).expires_at == end


def test_customer_of_a_branch_is_one_by_one_grant(people: People) -> None:
    for _ in range(2):
        ensure_customer_grant(user=people.dora, branch=people.branch)

    assert [grant.role.code for grant in people.dora.grants.all()] == ["customer"]


def test_role_is_given_only_by_who_holds_as_much_there(people: People, helper: User) -> None:
    Role.objects.filter(code="branch_manager").update(permissions=["carts:*"])
    grant_role(user=people.dora, role="branch_manager", branch=people.branch, actor=people.bob)

    for actor, where in ((helper, {"branch": people.branch}), (people.bob, {"branch": people.strange_branch})):
        with pytest.raises(NotAllowed):
            grant_role(user=actor, role="branch_manager", actor=actor, **where)

    assert list(people.dora.grants.values_list("branch", flat=True)) == [people.branch.pk]
    assert not Grant.objects.filter(user__in=(helper, people.bob), role__code="branch_manager").exists()


def test_role_is_taken_only_by_who_holds_as_much_there(people: People, helper: User) -> None:
    everything, shop = people.erin.grants.get(), people.alice.grants.get()

    with pytest.raises(NotAllowed):
        revoke_grant(grant=everything, actor=helper)
    revoke_grant(grant=shop, actor=people.bob)

    assert Grant.objects.filter(pk__in=(everything.pk, shop.pk)).get() == everything
    assert not _again(people.alice).may("carts:view", people.branch)


def test_chain_sees_the_grants_of_its_branches(people: People) -> None:
    Role.objects.filter(code="chain_manager").update(permissions=["grants:view"])
    strange = make_grant(user=make_user(), role="branch_manager", branch=people.strange_branch)
    own = people.alice.grants.get()

    seen = people.bob.visible(Grant.objects.all(), "grants:view")

    assert set(seen) == {own, people.bob.grants.get()}
    assert (bool(people.bob.may("grants:view", own)), bool(people.bob.may("grants:view", strange))) == (True, False)


@pytest.mark.parametrize("seeded_bug", [False, True], ids=["role first", "control-person first"])
def test_role_is_given_while_it_is_changed(
    transactional_db: None, seeded_bug: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who gives a role and who changes it lock the role before people; the other way round they wait for each other."""
    people, branch = make_people(), make_branch()
    role = Role.objects.get(code=RoleCode.CUSTOMER)
    make_grant(user=people.dora, role=RoleCode.CUSTOMER, branch=people.branch)
    if seeded_bug:
        monkeypatch.setattr(service, "_hold_role", lambda code: Role.objects.get(code=code))
    holds, rights_changed, changing = service.hold_person, access.rights_changed, Event()

    def hold_and_wait(user_id: UUID) -> None:
        holds(user_id)
        changing.wait(1 if seeded_bug else 0.2)

    def change_and_say(*users: UUID) -> None:
        changing.set()
        rights_changed(*users)

    monkeypatch.setattr(service, "hold_person", hold_and_wait)
    monkeypatch.setattr(access, "rights_changed", change_and_say)

    answers = race_each(
        [
            lambda: grant_role(user=people.dora, role=RoleCode.CUSTOMER, branch=branch),
            lambda: update_role(role=role, name="Guest", permissions=["carts:view"], actor=people.erin),
        ]
    )

    assert any(isinstance(each, OperationalError) for each in answers) is seeded_bug, answers


def test_closing_a_customer_waits_for_no_manager(transactional_db: None) -> None:
    """The manager's role is locked only where a manager goes: or every closure would stand in one queue."""
    people = make_people()

    with transaction.atomic():
        Role.objects.select_for_update(no_key=True).get(code=RoleCode.MANAGER)
        answers = race(lambda: deactivate_person(user=people.dora, actor=people.erin), times=1)

    assert answers == [None]


def test_role_is_given_and_taken_where_one_gives_roles(people: People) -> None:
    """Holding all that a role may is not enough: one must be allowed to give and take roles there."""
    helper = make_user()
    everything_but = [name for name in SHIPPED_PERMISSIONS["chain_manager"] if not name.startswith("grants:")]
    role = Role.objects.create(code="deputy", name="Deputy", permissions=everything_but)
    make_grant(user=helper, role="deputy", chain=people.chain)
    plain = Role.objects.create(code="looker", name="Looker", permissions=["carts:view"])

    with pytest.raises(NotAllowed):
        grant_role(user=people.dora, role=plain.code, branch=people.branch, actor=helper)
    given = grant_role(user=people.dora, role=plain.code, branch=people.branch, actor=people.bob)
    with pytest.raises(NotAllowed):
        revoke_grant(grant=given, actor=helper)

    role.permissions = [*everything_but, "grants:add", "grants:delete"]
    role.save()
    revoke_grant(grant=given, actor=User.objects.get(pk=helper.pk))
    assert not Grant.objects.filter(pk=given.pk).exists()
