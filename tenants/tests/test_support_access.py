"""Support access: opened with a reason and for a time, seen and ended by the chain, and gone by itself."""

from datetime import timedelta

import pytest
from django.utils import timezone

import tenants.services.support_access as service
from carts.tests.factories import make_cart, make_rental
from core.errors import DomainError, InvalidInput, NotAllowed
from core.models import AuditEntry
from core.tests.race import lock_no_rows, meet_before, race
from tenants.enums import RoleCode
from tenants.models import Chain, Grant, Role, SupportAccess, User
from tenants.powers import Powers
from tenants.services import grant_role, revoke_grant, sweep_expired_grants
from tenants.services.support_access import end_support_access, open_support_access
from tenants.tests.factories import People, again, make_branch, make_grant, make_people, make_user
from tenants.tests.signing_in import browser_of

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


@pytest.fixture
def helper(people: People) -> User:
    """Support staff of the platform."""
    user = make_user(name="Hugo")
    make_grant(user=user, role="support")
    return user


def opened_by(user: User, chain: Chain, lasts: timedelta = HOUR) -> SupportAccess:
    return open_support_access(chain=chain, reason="A cart is stuck", lasts=lasts, actor=user)


def test_support_sees_no_tenants_things_until_it_opens_the_chain(people: People, helper: User) -> None:
    ours, theirs = make_cart(branch=people.branch), make_cart(branch=people.strange_branch)
    rental = make_rental(cart=ours)
    assert not any(helper.may(each, thing) for each, thing in (("carts:view", ours), ("rentals:view", rental)))

    opened_by(helper, people.chain)

    now = again(helper)
    assert now.may("carts:view", ours)
    assert now.may("rentals:close", rental)
    assert not now.may("carts:command", ours)
    assert not now.may("rentals:change", rental)
    assert not now.may("carts:view", theirs)


def test_access_runs_out_and_leaves_the_session_of_who_had_it(people: People, helper: User) -> None:
    cart = make_cart(branch=people.branch)
    opened_by(helper, people.chain)
    browser = browser_of(again(helper))
    Grant.objects.filter(role__code=RoleCode.SUPPORT_ACCESS).update(expires_at=timezone.now())

    before_sweep = again(helper).may("carts:view", cart)
    ended = sweep_expired_grants()

    assert (bool(before_sweep), ended) == (False, 1)
    assert again(helper).token_version == helper.token_version
    assert browser.get("/admin/").status_code == 200


def test_chain_reads_who_and_why_and_ends_it_at_once(people: People, helper: User) -> None:
    cart = make_cart(branch=people.branch)
    opened = opened_by(helper, people.chain)
    bob = browser_of(people.bob)

    assert "A cart is stuck" in bob.get("/control/").content.decode()
    page = bob.get("/control/support-access").content.decode()
    assert all(text in page for text in ("Hugo", "A cart is stuck", "Open now"))
    assert bob.post(f"/control/support-access/{opened.pk}/end").status_code == 302

    assert not again(helper).may("carts:view", cart)
    assert "A cart is stuck" not in bob.get("/control/").content.decode()
    assert "Ended early" in bob.get("/control/support-access").content.decode()
    told = AuditEntry.objects.filter(action__startswith="support access", chain_id=people.chain.pk).order_by("pk")
    assert [(row.action, row.actor_id) for row in told] == [
        ("support access opened", helper.pk),
        ("support access ended", people.bob.pk),
    ]
    assert told[0].reason == "A cart is stuck"


def test_other_chains_see_and_end_nothing(people: People, helper: User) -> None:
    opened = opened_by(helper, people.chain)
    charlie = browser_of(people.charlie)

    assert "A cart is stuck" not in charlie.get("/control/support-access").content.decode()
    assert "A cart is stuck" not in charlie.get("/control/").content.decode()
    assert charlie.post(f"/control/support-access/{opened.pk}/end").status_code == 404
    opened.refresh_from_db()
    assert opened.in_force


@pytest.mark.parametrize(
    ("reason", "lasts"),
    [(" ", HOUR), ("why", timedelta(minutes=14)), ("why", timedelta(hours=8, seconds=1)), ("why", -HOUR)],
)
def test_reason_and_length_are_asked_for(people: People, helper: User, reason: str, lasts: timedelta) -> None:
    with pytest.raises(InvalidInput):
        open_support_access(chain=people.chain, reason=reason, lasts=lasts, actor=helper)

    assert not SupportAccess.objects.exists()


@pytest.mark.parametrize("who", ["alice", "bob", "dora"])
def test_only_staff_who_may_open_it(people: People, who: str) -> None:
    with pytest.raises(NotAllowed):
        opened_by(getattr(people, who), people.chain)


def test_chain_manager_with_the_permission_is_no_platform_staff(people: People) -> None:
    Role.objects.filter(code="chain_manager").update(permissions=["support_access:open"])

    with pytest.raises(NotAllowed):
        opened_by(again(people.bob), people.chain)


def test_nobody_opens_it_in_the_name_of_another(people: People, helper: User) -> None:
    helper.powers = Powers(behind=people.erin.pk)

    with pytest.raises(NotAllowed):
        opened_by(helper, people.chain)


def test_role_is_given_by_nobody_by_hand(people: People, helper: User) -> None:
    with pytest.raises(NotAllowed):
        grant_role(user=helper, role=RoleCode.SUPPORT_ACCESS, chain=people.chain, actor=people.erin)


def test_access_ends_with_the_work_for_the_platform(people: People, helper: User) -> None:
    """Whoever is support no more looks in no more, though the access would last for hours."""
    cart = make_cart(branch=people.branch)
    opened_by(helper, people.chain)

    revoke_grant(grant=helper.grants.get(role__code="support"), actor=people.erin)

    assert not again(helper).may("carts:view", cart)
    assert not again(helper).is_staff


def test_taking_the_grant_ends_the_access(people: People, helper: User) -> None:
    opened = opened_by(helper, people.chain)

    revoke_grant(grant=opened.grant, actor=people.erin)

    opened.refresh_from_db()
    assert not opened.in_force


def test_who_opened_it_ends_it_and_a_second_time_changes_nothing(people: People, helper: User) -> None:
    opened = opened_by(helper, people.chain)

    for _ in range(2):
        end_support_access(opened=opened, actor=helper)

    assert AuditEntry.objects.filter(action="support access ended").count() == 1
    with pytest.raises(NotAllowed):
        end_support_access(opened=opened_by(again(helper), people.chain), actor=people.charlie)


def test_page_opens_one_for_staff(people: People, helper: User) -> None:
    staff = browser_of(helper)
    given = {"chain": people.chain.pk, "reason": "A cart is stuck", "lasts": "15"}

    assert staff.post("/control/support-access", {**given, "reason": ""}).status_code == 400
    assert staff.post("/control/support-access", {**given, "lasts": "9999"}).status_code == 400
    assert staff.post("/control/support-access", given).status_code == 302

    opened = SupportAccess.objects.get()
    assert opened.ends_at - opened.created_at <= timedelta(minutes=15)


def test_page_opens_none_for_the_chain_that_reads_it(people: People) -> None:
    given = {"chain": people.chain.pk, "reason": "A cart is stuck", "lasts": "15"}

    assert browser_of(people.bob).post("/control/support-access", given).status_code == 403
    assert not SupportAccess.objects.exists()


def test_page_is_not_there_for_branch_managers_and_customers(people: People) -> None:
    for person in (people.alice, people.dora):
        assert browser_of(person).get("/control/support-access").status_code == 404


@pytest.mark.django_db(transaction=True)
def test_two_at_once_open_one() -> None:
    people = make_people()
    user = make_user()
    make_grant(user=user, role="support")

    results = race(lambda: opened_by(again(user), people.chain), times=4)

    assert [type(each) for each in results if isinstance(each, Exception)] == [DomainError] * 3
    assert SupportAccess.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_two_at_once_would_open_more_control(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the lock each sees that none is open: the test above can fail."""
    people = make_people()
    user = make_user()
    make_grant(user=user, role="support")
    lock_no_rows(monkeypatch)
    meet_before(monkeypatch, service, "grant_role", parties=2)

    race(lambda: opened_by(again(user), people.chain), times=2)

    assert SupportAccess.objects.count() > 1


def test_branch_added_later_is_seen_too(people: People, helper: User) -> None:
    opened_by(helper, people.chain)

    assert again(helper).may("carts:view", make_cart(branch=make_branch(chain=people.chain)))
