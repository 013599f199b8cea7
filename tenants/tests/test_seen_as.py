"""Looking at the product as another role: what is seen, that nothing can be changed, and who may."""

from typing import Any

import pytest
from django.test import Client

from carts.tests.factories import make_cart
from core.models import AuditEntry
from tenants.models import Grant, Role, User
from tenants.requester import SEEN_AS, user_of_session
from tenants.tests.factories import People, make_branch, make_grant, make_user
from tenants.tests.signing_in import sign_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def bob(people: People) -> Client:
    """The chain manager's browser."""
    client = Client()
    sign_in(client, people.bob)
    return client


def see_as(client: Client, role: str, place: object) -> Any:
    named = f"{type(place).__name__.lower()}:{place.pk}" if place else "platform"
    return client.post("/auth/see-as", {"role": role, "place": named})


def test_pages_are_those_of_the_role_with_a_banner(bob: Client, people: People) -> None:
    sister = make_branch(chain=people.chain)

    begun = see_as(bob, "branch_manager", people.branch)

    assert (begun.status_code, begun["Location"]) == (302, "/control/")
    page = bob.get("/control/")
    assert [branch["id"] for branch in page.context["branches"]] == [str(people.branch.pk)]
    assert "You see this as Branch manager" in page.content.decode()
    assert bob.get(f"/control/branches/{sister.pk}").status_code == 404
    entry = AuditEntry.objects.get(action="seen as role")
    assert (entry.actor_id, entry.entity_id) == (people.bob.pk, str(Role.objects.get(code="branch_manager").pk))


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("post", "/control/branches/{branch}/carts/{cart}/unlock"),
        ("post", "/control/people/{alice}/grants"),
        ("post", "/auth/password"),
        ("post", "/control/support-access"),
        ("post", "/api/branches"),
        ("put", "/api/chains/{chain}"),
        ("delete", "/api/chains/{chain}"),
    ],
)
def test_nothing_can_be_changed(bob: Client, people: People, method: str, path: str) -> None:
    cart = make_cart(branch=people.branch)
    see_as(bob, "branch_manager", people.branch)

    answer = getattr(bob, method)(
        path.format(branch=people.branch.pk, cart=cart.pk, alice=people.alice.pk, chain=people.chain.pk)
    )

    assert answer.status_code == 403


def test_something_could_be_changed_control(bob: Client, people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the refusal a role is given while it is only looked at: the test above can fail."""
    monkeypatch.setattr("tenants.middleware._refusal", lambda request, user: None)
    see_as(bob, "branch_manager", people.branch)

    given = {"role": "branch_manager", "place": f"branch:{people.branch.pk}", "until": "2099-01-01"}
    bob.post(f"/control/people/{people.alice.pk}/grants", given)

    assert Grant.objects.get(user=people.alice).expires_at is not None


def test_leaving_gives_everything_back(bob: Client, people: People) -> None:
    see_as(bob, "customer", people.branch)
    assert bob.get("/control/").context["branches"] == []

    assert bob.post("/auth/leave").status_code == 302

    assert len(bob.get("/control/").context["branches"]) == 1
    assert AuditEntry.objects.filter(action="seen as role no more").count() == 1


def test_socket_sees_as_the_page_does(bob: Client, people: People) -> None:
    see_as(bob, "branch_manager", people.branch)

    user = user_of_session(bob.session.session_key)

    assert isinstance(user, User)
    assert (user.powers.read_only, user.powers.seen_as.role) == (True, "branch_manager")


@pytest.mark.parametrize(
    ("role", "where"),
    [("manager", "platform"), ("chain_manager", "strange_chain"), ("branch_manager", "strange_branch")],
)
def test_nobody_sees_more_than_they_may(bob: Client, people: People, role: str, where: str) -> None:
    place = None if where == "platform" else getattr(people, where)

    assert see_as(bob, role, place).status_code == 400
    assert bob.get("/control/").wsgi_request.user.powers.seen_as is None


def test_role_is_not_seen_where_it_can_not_be_held(bob: Client, people: People) -> None:
    assert see_as(bob, "branch_manager", people.chain).status_code == 400


def test_role_that_got_more_since_is_seen_no_more(bob: Client, people: People) -> None:
    see_as(bob, "branch_manager", people.branch)
    Role.objects.filter(code="branch_manager").update(permissions=["carts:*", "schedules:*"])

    page = bob.get("/control/")

    assert page.wsgi_request.user.powers.seen_as is None
    assert "seen_as" not in bob.session


def test_customers_and_those_without_second_factor_have_nothing_to_see_as(people: People) -> None:
    dora, half = Client(), Client()
    sign_in(dora, people.dora)
    sign_in(half, people.bob, second_factor=False)

    assert see_as(dora, "customer", people.branch).status_code == 403
    assert see_as(half, "branch_manager", people.branch).status_code == 302
    assert half.get("/me/").wsgi_request.user.powers.seen_as is None


def test_two_at_once_are_refused(bob: Client, people: People) -> None:
    see_as(bob, "branch_manager", people.branch)

    assert see_as(bob, "chain_manager", people.chain).status_code == 403


def test_what_was_sent_while_seen_as_a_role_is_not_done_when_that_ends(bob: Client, people: People) -> None:
    grant = make_grant(user=make_user(), role="branch_manager", branch=people.branch)
    see_as(bob, "branch_manager", people.branch)
    session = bob.session
    session[SEEN_AS] = {**session[SEEN_AS], "role": "gone"}
    session.save()

    answers = [bob.post(f"/control/people/{grant.user_id}/grants/{grant.pk}/take").status_code for _ in range(2)]

    assert answers == [403, 302]
    assert not Grant.objects.filter(pk=grant.pk).exists()
