"""The people pages: who is on them for whom, and what giving and taking there does."""

import re
from datetime import timedelta
from html import unescape

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from tenants.models import BrowserSession, Grant, Invitation, Role, User
from tenants.tests.factories import People, make_branch, make_grant, make_phone, make_user
from tenants.tests.signing_in import browser_of

pytestmark = pytest.mark.django_db
LIST = "/control/people"


def listed(user: User, **query: str) -> list[str]:
    """Names on the list, in their order."""
    return [row["person"].name for row in browser_of(user).get(LIST, query).context["rows"]]


def page_of(user: User) -> str:
    return f"{LIST}/{user.pk}"


@pytest.fixture
def shop(people: People) -> People:
    """Dora is a customer of alice's branch, fred of charlie's; gina works in both chains."""
    make_grant(user=people.dora, role="customer", branch=people.branch)
    fred = make_user(phone=make_phone(), name="Fred")
    make_grant(user=fred, role="customer", branch=people.strange_branch)
    gina = make_user(name="Gina")
    make_grant(user=gina, role="branch_manager", branch=people.branch)
    make_grant(user=gina, role="branch_manager", branch=people.strange_branch)
    return people


@pytest.mark.parametrize(
    ("who", "team", "customers"),
    [
        ("alice", ["Alice", "Gina"], ["Dora"]),
        ("bob", ["Alice", "Bob", "Gina"], ["Dora"]),
        ("charlie", ["Charlie", "Gina"], ["Fred"]),
        ("erin", ["Alice", "Bob", "Charlie", "Erin", "Gina"], ["Dora", "Fred"]),
    ],
)
def test_list_shows_who_holds_something_where_the_asker_looks(
    shop: People, who: str, team: list[str], customers: list[str]
) -> None:
    asker = getattr(shop, who)

    assert listed(asker) == team
    assert listed(asker, role="customer") == customers


def test_list_would_show_everybody_control(shop: People, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the scope charlie's people are on alice's list: the test above can fail."""
    monkeypatch.setattr("tenants.access.visible", lambda user, rows, permission: rows)

    assert "Charlie" in listed(shop.alice)


@pytest.mark.parametrize("who", ["alice", "bob", "charlie"])
def test_person_of_two_chains_is_shown_to_each_with_its_own_grant_alone(shop: People, who: str) -> None:
    gina = User.objects.get(name="Gina")

    shown = browser_of(getattr(shop, who)).get(page_of(gina))

    own = shop.strange_branch if who == "charlie" else shop.branch
    assert [entry["grant"].branch for entry in shown.context["grants"]] == [own]


def test_strangers_do_not_exist(shop: People) -> None:
    alice, fred = browser_of(shop.alice), User.objects.get(name="Fred")

    for person in (shop.charlie, shop.erin, fred):
        assert alice.get(page_of(person)).status_code == 404
        given = alice.post(f"{page_of(person)}/grants", {"role": "branch_manager", "place": f"branch:{shop.branch.pk}"})
        assert given.status_code == 404
    assert alice.post(f"{page_of(shop.charlie)}/grants/{shop.charlie.grants.get().pk}/take").status_code == 404
    assert shop.charlie.grants.count() == 1


def test_customer_has_no_people_pages(shop: People) -> None:
    dora = browser_of(shop.dora)

    assert {dora.get(path).status_code for path in (LIST, page_of(shop.alice), page_of(shop.dora))} == {404}
    assert dora.get(f"{LIST}/invite").status_code == 403


def test_search_takes_names_and_addresses_and_numbers_only_for_those_who_may_contact(shop: People) -> None:
    digits = shop.dora.phone[-7:]

    assert listed(shop.bob, q="gin") == ["Gina"]
    assert listed(shop.bob, q=shop.alice.email.upper()) == ["Alice"]
    assert listed(shop.bob, q=f"0{digits[:2]}-{digits[2:]}"[1:], role="customer") == ["Dora"]
    assert listed(shop.alice, q=digits, role="customer") == []


def test_number_is_masked_for_those_who_may_not_contact(shop: People) -> None:
    for asker, seen in ((shop.alice, False), (shop.bob, True)):
        for path in (f"{LIST}?role=customer", page_of(shop.dora)):
            assert (shop.dora.phone in unescape(browser_of(asker).get(path).content.decode())) is seen


def test_list_is_narrowed_and_sorted_by_its_address(shop: People) -> None:
    sister = make_branch(chain=shop.chain)
    make_grant(user=make_user(name="Hana", is_active=False), role="branch_manager", branch=sister)
    BrowserSession.objects.create(
        session_key="a" * 64,
        user=shop.alice,
        seen_at=timezone.now() + timedelta(minutes=1),
        expire_date=timezone.now() + timedelta(days=1),
    )

    assert listed(shop.bob, place=f"branch:{sister.pk}") == ["Hana"]
    assert listed(shop.bob, place=f"chain:{shop.chain.pk}") == ["Alice", "Bob", "Gina", "Hana"]
    assert listed(shop.bob, place=f"branch:{shop.strange_branch.pk}") == []
    assert listed(shop.bob, state="closed") == ["Hana"]
    assert listed(shop.bob, role="chain_manager") == ["Bob"]
    assert listed(shop.bob, sort="-name") == ["Hana", "Gina", "Bob", "Alice"]
    assert listed(shop.bob, sort="-seen")[0] == "Alice"
    assert listed(shop.bob, state="no-factor") == ["Alice", "Bob", "Gina"]


@pytest.mark.parametrize("nonsense", [{"place": "x"}, {"sort": "password"}, {"state": "x"}, {"page": "-3"}])
def test_nonsense_in_the_address_counts_as_nothing(shop: People, nonsense: dict[str, str]) -> None:
    assert listed(shop.alice, **nonsense) == ["Alice", "Gina"]


@pytest.mark.parametrize("who", ["alice", "bob", "erin"])
@pytest.mark.parametrize("rows", [1, 30])
def test_list_costs_the_same_for_few_and_many(
    people: People, rows: int, who: str, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for _ in range(rows):
        make_grant(user=make_user(), role="branch_manager", branch=people.branch)
    client = browser_of(getattr(people, who))

    with django_assert_max_num_queries(17):
        client.get(LIST)


def test_role_is_given_until_a_day_and_taken(shop: People) -> None:
    bob, sister = browser_of(shop.bob), make_branch(chain=shop.chain)
    day = (timezone.now() + timedelta(days=3)).date()

    given = bob.post(
        f"{page_of(shop.alice)}/grants",
        {"role": "branch_manager", "place": f"branch:{sister.pk}", "until": day.isoformat()},
    )

    grant = Grant.objects.get(user=shop.alice, branch=sister)
    assert (given.status_code, (grant.expires_at - timedelta(days=1)).date()) == (302, day)
    assert bob.post(f"{page_of(shop.alice)}/grants/{grant.pk}/take").status_code == 302
    assert not Grant.objects.filter(pk=grant.pk).exists()


def test_taking_the_last_role_here_leads_back_to_the_list(shop: People) -> None:
    bob, grant = browser_of(shop.bob), shop.alice.grants.get()

    answer = bob.post(f"{page_of(shop.alice)}/grants/{grant.pk}/take")

    assert answer["Location"] == LIST
    assert bob.get(page_of(shop.alice)).status_code == 404


@pytest.mark.parametrize(
    "wrong",
    [
        {"role": "chain_manager", "place": "chain"},
        {"role": "branch_manager", "place": "strange"},
        {"role": "manager", "place": "platform"},
        {"role": "support_access", "place": "chain"},
        {"role": "branch_manager", "place": "branch", "until": "2020-01-01"},
        {"role": "branch_manager", "place": "branch", "until": "9999-12-31"},
    ],
)
def test_nobody_gives_more_than_they_hold_or_elsewhere_or_for_yesterday(shop: People, wrong: dict[str, str]) -> None:
    places = {
        "chain": f"chain:{shop.chain.pk}",
        "branch": f"branch:{shop.branch.pk}",
        "strange": f"branch:{shop.strange_branch.pk}",
        "platform": "platform",
    }
    gina = User.objects.get(name="Gina")
    before = Grant.objects.count()

    answer = browser_of(shop.alice).post(f"{page_of(gina)}/grants", {**wrong, "place": places[wrong["place"]]})

    assert (answer.status_code, Grant.objects.count()) == (400, before)


def test_branch_manager_can_not_take_what_the_chain_gave_above_them(shop: People) -> None:
    """Bob is on alice's list once he holds something on her branch; his chain's role is out of her reach."""
    make_grant(user=shop.bob, role="branch_manager", branch=shop.branch)
    alice, chain_grant = browser_of(shop.alice), shop.bob.grants.get(chain=shop.chain)

    shown = alice.get(page_of(shop.bob)).context["grants"]

    assert [entry["grant"].branch for entry in shown] == [shop.branch]
    assert alice.post(f"{page_of(shop.bob)}/grants/{chain_grant.pk}/take").status_code == 404
    assert Grant.objects.filter(pk=chain_grant.pk).exists()


def invite(people: People, many: int) -> None:
    soon = timezone.now() + timedelta(days=3)
    role = Role.objects.get(code="branch_manager")
    Invitation.objects.bulk_create(
        Invitation(
            token_hash=f"{number:064}",
            email=f"new-{number}@example.com",
            role=role,
            branch=people.branch,
            expires_at=soon,
        )
        for number in range(many)
    )


def test_every_invitation_that_waits_is_listed(people: People) -> None:
    invite(people, 26)

    page = browser_of(people.alice).get(LIST)

    assert len(page.context["invitations"]) == page.content.decode().count("/withdraw") == 26


def test_list_says_when_there_are_more_invitations_than_it_shows(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tenants.views.people.MOST_INVITED", 2)
    client = browser_of(people.alice)

    for many, more in ((2, False), (3, True)):
        Invitation.objects.all().delete()
        invite(people, many)
        page = client.get(LIST)
        assert len(page.context["invitations"]) == 2
        assert ("Only the newest are shown" in page.content.decode()) is more


def test_whoever_takes_their_own_role_is_signed_out_and_told(people: People) -> None:
    grant, client = people.alice.grants.get(), browser_of(people.alice)

    taken = client.post(f"{page_of(people.alice)}/grants/{grant.pk}/take", follow=True)

    assert taken.redirect_chain == [("/auth/home", 302), ("/auth/sign-in?next=/auth/home", 302)]
    assert "Your role is taken" in taken.content.decode()
    assert not taken.wsgi_request.user.is_authenticated
    assert not Grant.objects.filter(pk=grant.pk).exists()


def test_whoever_takes_a_role_while_acting_as_its_holder_stays_signed_in(people: People) -> None:
    grant, client = people.bob.grants.get(), browser_of(people.erin)
    client.post(f"/auth/act-as/{people.bob.pk}", {"reason": "A call"})

    taken = client.post(f"{page_of(people.bob)}/grants/{grant.pk}/take")

    assert (taken.status_code, taken["Location"]) == (302, "/control/people")
    assert client.get("/control/").wsgi_request.user in (people.erin, people.bob)


def test_buttons_of_a_list_are_named_after_their_row(people: People) -> None:
    invite(people, 2)

    page = browser_of(people.bob).get(LIST).content.decode()

    named = re.findall(r'>(Send again|Withdraw)<span class="visually-hidden"> (\S+)</span></button>', page)
    assert sorted(named) == sorted(
        (word, email) for word in ("Send again", "Withdraw") for email in ("new-0@example.com", "new-1@example.com")
    )


@pytest.mark.parametrize(("role", "hidden"), [("technical", False), ("manager", True)])
def test_audit_is_reached_on_a_phone_by_who_has_no_page_of_people(people: People, role: str, hidden: bool) -> None:
    user = make_user()
    make_grant(user=user, role=role)

    page = browser_of(user).get("/control/").content.decode()

    for address in ("/control/audit", "/control/support-access"):
        link = re.search(rf'<a ([^>]*)href="{address}"', page)
        assert link
        assert ("hide-phone" in link[1]) == hidden
