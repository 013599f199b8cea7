"""“May X do Y to Z, and why”: one decision, every reason, and nothing about people and things the asker doesn't see."""

from datetime import timedelta
from itertools import product
from typing import Any

import pytest
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from django.contrib.auth.models import AnonymousUser
from django.test import Client
from django.utils import timezone, translation

from carts.models import Cart, Rental
from carts.tests.factories import make_cart, make_rental
from tenants import access
from tenants.explain import explain, people_who_may
from tenants.models import Grant, Role, User
from tenants.permission_words import known_permissions
from tenants.powers import Held, Powers
from tenants.reasons import Reason, ReasonKind
from tenants.services import deactivate_person, grant_role, revoke_grant, sweep_expired_grants
from tenants.tests.api import client_of, problem
from tenants.tests.factories import People, make_branch, make_chain, make_grant, make_user
from tenants.tests.signing_in import sign_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def things(people: People) -> list[Any]:
    """One of each kind, ours and theirs, and a rental of dora's."""
    carts = [make_cart(branch=branch) for branch in (people.branch, people.strange_branch)]
    rental = make_rental(cart=make_cart(branch=people.branch), customer=people.dora)
    return [None, people.chain, people.strange_branch, *carts, rental, people.alice.grants.get(), people.alice]


def kinds_of(user: User, permission: str, thing: object, *, asker: User | None = None) -> list[ReasonKind]:
    return [reason.kind for reason in explain(user, permission, thing, asker=asker or user).reasons]


FEW = ("carts:view", "carts:change", "rentals:view", "rentals:return", "users:view", "grants:add", "chains:change")
WAYS_IN = {
    "all": Powers(),
    "no factor": Powers(second_factor=False),
    "scopes": Powers(scopes=frozenset({"carts:view"})),
    "seen as": Powers(seen_as=Held("support", frozenset({"carts:view"})), read_only=True),
}


@pytest.mark.parametrize("way", WAYS_IN)
@pytest.mark.parametrize("who", ["alice", "bob", "charlie", "dora", "erin", "closed", "nobody"])
def test_explanation_is_the_decision(people: People, things: list[Any], who: str, way: str) -> None:
    """Over people × permissions × things × ways in: the same answer, and reasons that carry it."""
    User.objects.filter(pk=people.charlie.pk).update(is_active=who != "closed")
    user: Any = AnonymousUser() if who == "nobody" else User.objects.get(pk=_known(people, who).pk)
    if who != "nobody":
        user.powers = WAYS_IN[way]

    for permission, thing in product(sorted(known_permissions()) if way == "all" else FEW, things):
        told = explain(user, permission, thing, asker=people.erin)
        kinds = {reason.kind for reason in told.reasons}
        assert told.allowed == bool(access.may(user, permission, thing)), (permission, thing)
        assert told.allowed == bool(kinds & {ReasonKind.OWN, ReasonKind.GRANT}), (permission, thing, kinds)
        assert len(told.sentences()) == len(told.reasons) > 0


def _known(people: People, who: str) -> User:
    known: User = people.charlie if who == "closed" else getattr(people, who)
    return known


def test_yes_names_every_grant_that_allows_it_and_until_when(people: People) -> None:
    end = timezone.now() + timedelta(days=2)
    make_grant(user=people.alice, role="chain_manager", chain=people.chain, expires_at=end)

    told = explain(people.alice, "carts:view", make_cart(branch=people.branch), asker=people.bob)

    held = [(reason.held.role, reason.held.expires_at) for reason in told.reasons if reason.held]
    assert (told.allowed, sorted(held, key=str)) == (True, [("branch_manager", None), ("chain_manager", end)])
    assert "Our branch" in " ".join(told.sentences())


def test_no_tells_what_they_hold_elsewhere_only_where_the_asker_sees_it(people: People) -> None:
    sister = make_branch(chain=people.chain, name="Sister")
    make_grant(user=people.alice, role="branch_manager", branch=people.strange_branch)
    cart = make_cart(branch=sister)

    by_bob = explain(people.alice, "carts:view", cart, asker=people.bob)
    by_erin = explain(people.alice, "carts:view", cart, asker=people.erin)

    assert [reason.kind for reason in by_bob.reasons] == [ReasonKind.NOT_GRANTED, ReasonKind.ELSEWHERE]
    assert "Their branch" not in " ".join(by_bob.sentences())
    assert "Their branch" in " ".join(by_erin.sentences())


def test_no_tells_of_a_grant_that_ran_out_before_and_after_it_is_swept(people: People) -> None:
    Grant.objects.filter(user=people.alice).update(expires_at=timezone.now() - timedelta(minutes=1))

    before = kinds_of(people.alice, "carts:view", people.branch, asker=people.bob)
    sweep_expired_grants()
    after = kinds_of(User.objects.get(pk=people.alice.pk), "carts:view", people.branch, asker=people.bob)

    assert before == after == [ReasonKind.NOT_GRANTED, ReasonKind.RAN_OUT]


def test_no_tells_of_a_grant_that_was_taken_to_those_of_that_place_alone(people: People) -> None:
    revoke_grant(grant=people.alice.grants.get(), actor=people.bob)
    alice = User.objects.get(pk=people.alice.pk)

    assert kinds_of(alice, "carts:view", people.branch, asker=people.bob) == [ReasonKind.NOT_GRANTED, ReasonKind.TAKEN]
    assert kinds_of(alice, "carts:view", people.branch, asker=people.charlie) == [ReasonKind.NOT_GRANTED]


def test_no_tells_that_only_the_second_factor_is_missing(people: People) -> None:
    people.alice.powers = Powers(second_factor=False)

    assert kinds_of(people.alice, "carts:view", people.branch) == [ReasonKind.NO_SECOND_FACTOR]


def test_closed_account_nobody_and_scopes_are_the_only_reason(people: People) -> None:
    deactivate_person(user=people.alice, actor=people.erin)
    closed = User.objects.get(pk=people.alice.pk)
    people.bob.powers = Powers(scopes=frozenset({"rentals:view"}))

    assert kinds_of(closed, "carts:view", people.branch, asker=people.bob) == [ReasonKind.CLOSED]
    assert kinds_of(people.bob, "carts:view", people.branch) == [ReasonKind.SCOPES]
    told = explain(AnonymousUser(), "carts:view", None, asker=people.bob)
    assert [reason.kind for reason in told.reasons] == [ReasonKind.NOBODY]


def test_seen_as_a_role_says_so_and_that_nothing_can_be_changed(people: People) -> None:
    role = Role.objects.get(code="branch_manager")
    held = Held(role.code, frozenset(role.permissions), branch_id=people.branch.pk)
    people.bob.powers = Powers(seen_as=held, read_only=True)

    assert kinds_of(people.bob, "carts:change", people.branch) == [
        ReasonKind.SEEN_AS,
        ReasonKind.GRANT,
        ReasonKind.READ_ONLY,
    ]
    assert kinds_of(people.bob, "chains:view", people.chain) == [ReasonKind.SEEN_AS, ReasonKind.NOT_GRANTED]


@pytest.mark.parametrize("language", ["en", "he", "fa", "fr"])
def test_every_reason_has_words_in_every_language(people: People, language: str) -> None:
    with translation.override(language):
        for user in (people.alice, people.dora):
            assert all(explain(user, "carts:view", people.branch, asker=people.erin).sentences())


def test_everybody_who_may_are_those_of_whom_it_is_true_and_whom_the_asker_sees(
    people: People, things: list[Any]
) -> None:
    make_grant(user=make_user(), role="customer", branch=people.branch)
    for user in User.objects.all():
        TOTP.activate(user, generate_totp_secret())

    for permission, thing in product(FEW, things[1:]):
        for asker in (people.erin, people.bob):
            seen = set(access.visible(asker, User.objects.all(), "users:view")) | {asker}
            true = {user for user in seen if access.may(user, permission, thing)}
            assert set(people_who_may(permission, thing, asker=asker)) == true, (permission, thing)


def page(user: User, **query: Any) -> Any:
    client = Client()
    sign_in(client, user)
    return client.get("/control/access", {name: str(value) for name, value in query.items()})


def test_page_answers_with_reasons_and_with_everybody_who_may(people: People) -> None:
    cart = make_cart(branch=people.branch)

    answer = page(people.bob, person=people.alice.pk, permission="carts:view", kind="carts.cart", thing=cart.pk)

    assert answer.status_code == 200
    assert answer.context["answer"]["allowed"] is False  # alice has set up no second factor
    assert "second factor" in answer.content.decode()
    itself = page(people.bob, permission="carts:view", kind="carts.cart", thing=cart.pk)
    assert itself.context["answer"]["allowed"] is True


@pytest.mark.parametrize("who", ["alice", "bob", "dora"])
def test_people_and_things_of_others_do_not_exist(people: People, who: str) -> None:
    strange, asker = make_cart(branch=people.strange_branch), getattr(people, who)
    rest = client_of(asker)

    for query in (
        {"person": people.charlie.pk, "permission": "carts:view"},
        {"permission": "carts:view", "kind": "carts.cart", "thing": strange.pk},
        {"permission": "carts:view", "kind": "carts.cart", "thing": "1 or 1"},
        {"permission": "carts:view", "kind": "auth.group", "thing": "1"},
        {"person": "x", "permission": "carts:view"},
    ):
        assert page(asker, **query).status_code == 404
        renamed = {{"person": "user", "thing": "id"}.get(name, name): str(value) for name, value in query.items()}
        problem(rest.get("/api/access/explain", renamed), 404)


def test_stranger_would_be_told_control(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the scope charlie's people and carts are explained to bob: the test above can fail."""
    monkeypatch.setattr("tenants.access.visible", lambda user, rows, permission: rows)
    strange = make_cart(branch=people.strange_branch)

    told = page(people.bob, person=people.charlie.pk, permission="carts:view", kind="carts.cart", thing=strange.pk)

    assert told.status_code == 200


def test_search_offers_only_people_and_things_in_sight(people: People) -> None:
    ours, theirs = make_cart(branch=people.branch), make_cart(branch=people.strange_branch)

    who = page(people.bob, person_q="li").context["found_people"]
    what = page(people.bob, kind="carts.cart", thing_q="").context["found_things"]

    assert who == [people.alice]
    assert (ours in what, theirs in what) == (True, False)


def test_things_are_not_searched_by_numbers_of_customers_without_the_right_to_them(people: People) -> None:
    make_rental(cart=make_cart(branch=people.branch), customer=people.dora)
    digits = people.dora.phone[-6:]

    assert len(page(people.erin, kind="carts.rental", thing_q=digits).context["found_things"]) == 1
    assert page(people.alice, kind="carts.rental", thing_q=digits).context["found_things"] == []


def test_things_are_searched_by_whom_the_asker_may_contact_and_no_others(people: People) -> None:
    """Gina may contact the customers of our chain, and looks at the rentals of theirs."""
    gina, fred = make_user(name="Gina"), make_user(email="fred@example.com")
    looks = Role.objects.create(code="looks", name="Looks", permissions=["rentals:view"])
    make_grant(user=gina, role="chain_manager", chain=people.chain)
    Grant.objects.create(user=gina, role=looks, chain=people.strange_chain)
    both = make_user(email="both@example.com")
    for customer, branch in ((fred, people.strange_branch), (both, people.branch)):
        make_grant(user=customer, role="customer", branch=branch)
        make_rental(cart=make_cart(branch=branch), customer=customer)

    found = {term: page(gina, kind="carts.rental", thing_q=term).context["found_things"] for term in ("fred@", "both@")}

    assert found == {"fred@": [], "both@": [Rental.objects.get(customer=both)]}


def test_everybody_asks_about_themselves(people: People) -> None:
    rental = make_rental(cart=make_cart(branch=people.branch), customer=people.dora)
    query = {"permission": "rentals:return", "kind": "carts.rental", "id": str(rental.pk)}

    told = client_of(people.dora).get("/api/access/explain", query).json()

    assert (told["allowed"], [reason["kind"] for reason in told["reasons"]]) == (True, ["own"])


def test_rest_answers_with_data_and_words(people: People) -> None:
    grant_role(user=people.alice, role="branch_manager", branch=people.branch)
    query = {"permission": "carts:view", "kind": "tenants.branch", "id": str(people.branch.pk)}

    told = client_of(people.alice).get("/api/access/explain", query).json()

    assert told["reasons"] == [
        {
            "kind": "grant",
            "text": "They are Branch manager on Our branch, which allows it.",
            "role": "branch_manager",
            "chain_id": None,
            "branch_id": str(people.branch.pk),
            "until": None,
            "ended_at": None,
        }
    ]
    assert set(problem(client_of(people.alice).get("/api/access/explain"), 400)) == {"permission"}


FACTOR = pytest.mark.parametrize("factor", [True, False])


@pytest.fixture
def frank(people: People) -> User:
    """Manages alice's branch, charlie's chain, and did charlie's branch until a moment ago."""
    frank = make_user(name="Frank")
    make_grant(user=frank, role="branch_manager", branch=people.branch)
    make_grant(user=frank, role="chain_manager", chain=people.strange_chain)
    ended = timezone.now() - timedelta(seconds=5)
    make_grant(user=frank, role="branch_manager", branch=people.strange_branch, expires_at=ended)
    return frank


def whys(asker: User, user: User, permission: str, thing: User | None = None) -> str:
    """All that the page and REST say of it."""
    about = {"kind": "tenants.user", "id": str(thing.pk)} if thing else {}
    rest = {"user": str(user.pk), "permission": permission}
    told = client_of(asker).get("/api/access/explain", {**rest, **about})
    about = {"thing" if name == "id" else name: value for name, value in about.items()}
    shown = page(asker, person=user.pk, permission=permission, anywhere=1, **about)
    assert (told.status_code, shown.status_code) == (200, 200)
    return f"{told.content.decode()} {shown.context['answer']}"


@FACTOR
def test_why_names_nothing_of_places_the_asker_does_not_see(people: People, frank: User, factor: bool) -> None:
    if factor:
        TOTP.activate(frank, generate_totp_secret())
    chain, branch = people.strange_chain, people.strange_branch
    secrets = [chain.name, branch.name, str(chain.pk), str(branch.pk), "chain_manager"]

    for permission, thing in (
        ("carts:view", None),
        ("chains:view", None),
        ("users:view", frank),
        ("users:contact", frank),
    ):
        told = whys(people.alice, frank, permission, thing)
        assert [word for word in secrets if word in told] == [], (permission, thing)
    assert chain.name in whys(people.erin, frank, "carts:view")


@FACTOR
def test_why_tells_that_what_decides_is_held_elsewhere(people: People, frank: User, factor: bool) -> None:
    frank.powers = Powers(second_factor=factor)

    told = explain(frank, "chains:view", None, asker=people.alice)

    kind = ReasonKind.GRANT if factor else ReasonKind.NO_SECOND_FACTOR
    assert (told.allowed, told.reasons) == (factor, (Reason(kind, "chains:view"),))
    assert "in a place you don't see" in told.sentences()[0]


def test_why_would_name_them_control(people: People, frank: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the asker's scope on grants the test above would fail."""
    monkeypatch.setattr("tenants.explain._Told.itself", True)

    assert people.strange_chain.name in whys(people.alice, frank, "carts:view")


@pytest.mark.parametrize("many", [1, 30])
def test_everybody_who_may_costs_the_same_however_many(
    people: People, many: int, django_assert_max_num_queries: Any
) -> None:
    for _ in range(many):
        user = make_user()
        make_grant(user=user, role="branch_manager", branch=people.branch)
        TOTP.activate(user, generate_totp_secret())

    for thing in (people.branch, people.alice):
        with django_assert_max_num_queries(6):
            found = people_who_may("users:view", thing, asker=people.bob)
        assert len(found) == many


@pytest.mark.parametrize("many", [1, 30])
def test_why_costs_eight_queries_however_much_was_held(
    people: People, many: int, django_assert_max_num_queries: Any
) -> None:
    chain = make_chain()
    for _ in range(many):
        role = Role.objects.create(code=f"role-{make_chain().pk.hex}", name="Role", permissions=["users:view"])
        branch = make_branch(chain=people.chain)
        Grant.objects.create(user=people.alice, role=role, branch=branch)
        taken = Grant.objects.create(user=people.alice, role=role, chain=people.chain)
        revoke_grant(grant=taken, actor=people.erin)
    stranger = make_user()
    make_grant(user=stranger, role="chain_manager", chain=chain)

    with django_assert_max_num_queries(8):
        told = explain(User.objects.get(pk=people.alice.pk), "users:view", stranger, asker=people.erin)

    assert not told.allowed
    with django_assert_max_num_queries(8):
        assert explain(User.objects.get(pk=people.alice.pk), "users:view", people.alice, asker=people.erin).allowed


def test_asking_costs_a_few_queries_however_many_carts(people: People, django_assert_max_num_queries: Any) -> None:
    for _ in range(5):
        make_cart(branch=people.branch)
    client = Client()
    sign_in(client, people.bob)
    query = {"permission": "carts:view", "kind": "carts.cart", "thing": str(Cart.objects.latest("pk").pk)}

    with django_assert_max_num_queries(24):
        client.get("/control/access", query)
