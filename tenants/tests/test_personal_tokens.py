"""Personal tokens: what a program may do with one, who may make one, and what ends one."""

from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.utils import timezone

from carts.models import Cart
from carts.tests.factories import make_cart
from core.errors import InvalidInput, NotAllowed
from core.models import AuditEntry
from tenants import access
from tenants.models import Grant, PersonalToken, User
from tenants.powers import Held, Powers
from tenants.requester import RECENTLY
from tenants.services import (
    create_personal_token,
    deactivate_person,
    issue_tokens,
    personal_tokens,
    reactivate_person,
    refresh_tokens,
    revoke_grant,
    revoke_personal_token,
    sign_out_everywhere,
    sweep_expired_grants,
    user_of_personal_token,
)
from tenants.services.accounts import change_password
from tenants.services.second_factor import reset_second_factor
from tenants.services.sessions import SignedOut, issue_access_token
from tenants.tests.api import client_of, problem
from tenants.tests.authenticators import SECRET, code_of, give_app
from tenants.tests.factories import People, again, make_grant, make_user
from tenants.tests.signing_in import sign_in
from tenants.tests.test_second_factor import age_proofs
from tenants.tests.test_sessions import time_machine

pytestmark = pytest.mark.django_db


def in_days(days: float) -> datetime:
    return timezone.now() + timedelta(days=days)


def make(user: User, *scopes: str, name: str = "Nightly report", expires_at: datetime | None = None) -> str:
    """The secret of a new token."""
    return create_personal_token(user=user, name=name, scopes=scopes, expires_at=expires_at or in_days(30))[1]


def using(secret: str) -> Client:
    return Client(headers={"Authorization": f"Bearer {secret}"})


def works(secret: str) -> bool:
    return user_of_personal_token(secret) is not None


def seen(secret: str) -> set[str]:
    return {each["id"] for each in using(secret).get("/api/branches").json()["results"]}


def test_token_does_what_its_scopes_say_where_its_person_may(people: People) -> None:
    cart, strange = make_cart(branch=people.branch), make_cart(branch=people.strange_branch)

    user = user_of_personal_token(make(people.alice, "carts:view"))

    assert user == people.alice
    assert list(access.visible(user, Cart.objects.all(), "carts:view")) == [cart]
    assert not access.may(user, "carts:command", cart)
    assert not access.may(user, "carts:view", strange)
    assert not access.may(user, "branches:view", people.branch)


def test_token_over_rest_sees_what_its_scopes_name_and_nothing_else(people: People) -> None:
    assert seen(make(people.alice, "branches:view")) == {str(people.branch.pk)}
    assert seen(make(people.alice, "carts:view")) == set()


def test_scope_is_an_upper_limit_and_follows_what_the_person_holds(people: People) -> None:
    secret = make(people.bob, "branches:view")
    before = seen(secret)

    Grant.objects.filter(user=people.bob).update(chain=people.strange_chain)
    access.rights_changed(people.bob.pk)

    assert (before, seen(secret)) == ({str(people.branch.pk)}, {str(people.strange_branch.pk)})


def test_secret_is_recognisable_and_not_in_the_database(people: People) -> None:
    secret = make(people.alice, "carts:view")

    row = PersonalToken.objects.values().get()
    assert secret == f"cwp_{row['id'].hex}_{secret[-43:]}"
    assert secret[-43:] not in str(row)
    assert row["hint"] == secret[-4:]
    assert not works(f"cwp_{row['id'].hex}_{row['token_hash'][:43]}")


@pytest.mark.parametrize(
    ("who", "scopes"),
    [
        ("alice", ["schedules:change"]),
        ("alice", ["carts:view", "chains:view"]),
        ("alice", ["*"]),
        ("alice", ["branches:*"]),
        ("dora", ["carts:view"]),
        ("erin", ["*"]),
        ("erin", ["carts"]),
        ("erin", ["carts:view\x00"]),
        ("erin", []),
    ],
    ids=str,
)
def test_token_gets_no_scope_its_person_does_not_hold(people: People, who: str, scopes: list[str]) -> None:
    with pytest.raises(InvalidInput) as refused:
        make(getattr(people, who), *scopes)

    assert (set(refused.value.errors), PersonalToken.objects.count()) == ({"scopes"}, 0)


def test_token_gets_no_scope_its_person_does_not_hold_control(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even a scope that slipped through gives nothing: it is a limit, not a right."""
    monkeypatch.setattr(personal_tokens, "may_carry", lambda user, scope: True)

    secret = make(people.alice, "chains:view")

    assert using(secret).get("/api/chains").json()["results"] == []


@pytest.mark.parametrize(("who", "scope"), [("alice", "carts:*"), ("erin", "users:*"), ("dora", "rentals:view")])
def test_token_gets_scopes_its_person_holds(people: People, who: str, scope: str) -> None:
    assert works(make(getattr(people, who), scope))


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"expires_at": timezone.now() - timedelta(seconds=1)}, "expires_at"),
        ({"expires_at": timezone.now() + timedelta(days=370)}, "expires_at"),
        ({"name": " "}, "name"),
        ({"name": "x" * 81}, "name"),
    ],
    ids=["past", "too-late", "no-name", "long-name"],
)
def test_bad_input_is_named(people: People, fields: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        make(people.alice, "carts:view", **fields)

    assert set(refused.value.errors) == {field}


MANAGER = Held(role="manager", permissions=frozenset({"*"}))


@pytest.mark.parametrize(
    "powers",
    [
        Powers(second_factor=False),
        Powers(scopes=frozenset({"carts:*"})),
        Powers(behind=uuid4()),
        Powers(seen_as=MANAGER, read_only=True),
    ],
    ids=["no-second-factor", "personal-token", "acting-as", "seen-as"],
)
def test_way_in_that_may_not_make_keys_makes_none_and_revokes_none(people: People, powers: Powers) -> None:
    make(people.alice, "carts:view")
    people.alice.powers = powers

    with pytest.raises(NotAllowed):
        make(people.alice, "carts:view")
    with pytest.raises(NotAllowed):
        revoke_personal_token(token=PersonalToken.objects.get(), actor=people.alice)
    assert PersonalToken.objects.get().in_force


def test_token_of_a_customer_is_no_token_of_staff_when_they_become_staff(people: People) -> None:
    """It was made without a second factor, and nobody gives one for it later."""
    user = make_user()
    user.powers = Powers(second_factor=False)
    secret = make(user, "rentals:view")

    make_grant(user=user, role="branch_manager", branch=people.branch)

    found = user_of_personal_token(secret)
    assert found is not None
    assert not access.may(found, "rentals:view", people.branch)
    PersonalToken.objects.update(second_factor=True)
    found = user_of_personal_token(secret)
    assert found is not None
    assert access.may(found, "rentals:view", people.branch)  # the control: with one it would be


@pytest.mark.parametrize(
    "end",
    [
        lambda people, token: revoke_personal_token(token=token, actor=people.alice),
        lambda people, token: revoke_personal_token(token=token, actor=people.erin),
        lambda people, token: PersonalToken.objects.update(expires_at=timezone.now()),
        lambda people, token: deactivate_person(user=people.alice, actor=people.erin),
        lambda people, token: User.objects.filter(pk=people.alice.pk).update(is_active=False),
        lambda people, token: revoke_grant(grant=Grant.objects.get(user=people.alice), actor=people.erin),
        lambda people, token: reset_second_factor(user=people.alice, actor=people.erin),
    ],
    ids=["revoked", "revoked-by-staff", "expired", "deactivated", "closed", "grant-taken", "second-factor-reset"],
)
def test_token_ends_with_what_it_leans_on(people: People, end: Any) -> None:
    secret = make(people.alice, "carts:view")
    before = works(secret)

    end(people, PersonalToken.objects.get())

    assert (before, works(secret)) == (True, False)
    problem(using(secret).get("/api/branches"), 401)


def test_token_ends_with_a_grant_that_runs_out(people: People) -> None:
    secret = make(people.alice, "carts:view")
    Grant.objects.filter(user=people.alice).update(expires_at=timezone.now() - timedelta(seconds=1))
    sweep_expired_grants()

    assert not works(secret)


def test_token_of_a_closed_account_stays_ended_when_it_opens_again(people: People) -> None:
    secret = make(people.alice, "carts:view")

    deactivate_person(user=people.alice, actor=people.erin)
    reactivate_person(user=people.alice, actor=people.erin)

    assert not works(secret)


def test_token_survives_signing_out_and_a_new_password(people: People) -> None:
    """A program goes on while its person changes what they themselves sign in with."""
    secret = make(people.alice, "carts:view")

    sign_out_everywhere(people.alice.pk)
    change_password(user=again(people.alice), password="another good password")

    assert works(secret)


def test_nobody_makes_a_token_whose_access_ended_meanwhile(people: People) -> None:
    stale = again(people.alice)
    deactivate_person(user=people.alice, actor=people.erin)

    with pytest.raises(SignedOut):
        make(stale, "rentals:view")
    assert not PersonalToken.objects.exists()


def test_nobody_revokes_a_token_of_somebody_who_outranks_them(people: People) -> None:
    make(people.erin, "carts:view")

    with pytest.raises(NotAllowed):
        revoke_personal_token(token=PersonalToken.objects.get(), actor=people.bob)


def test_tokens_of_one_person_are_bounded(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(personal_tokens, "MOST_IN_FORCE", 2)
    first, _ = make(people.alice, "carts:view"), make(people.alice, "carts:view")

    with pytest.raises(InvalidInput):
        make(people.alice, "carts:view")
    revoke_personal_token(token=PersonalToken.objects.get(hint=first[-4:]), actor=people.alice)
    assert works(make(people.alice, "carts:view"))


def test_use_is_noted_every_few_minutes(people: People) -> None:
    secret = make(people.alice, "carts:view")

    works(secret)
    first = PersonalToken.objects.get().last_used_at
    works(secret)
    second = PersonalToken.objects.get().last_used_at
    PersonalToken.objects.update(last_used_at=timezone.now() - timedelta(minutes=6))
    works(secret)
    third = PersonalToken.objects.get().last_used_at

    assert first is not None
    assert first == second < third


def test_audit_tells_who_made_and_revoked_it_and_what_was_done_with_it(people: People) -> None:
    secret = make(people.erin, "chains:*")
    token = PersonalToken.objects.get()

    using(secret).post("/api/chains", {"name": "X", "slug": "x"}, content_type="application/json")
    revoke_personal_token(token=token, actor=people.erin)

    about = AuditEntry.objects.filter(entity="tenants.personaltoken").order_by("pk")
    assert [(each.action, each.actor_id) for each in about] == [
        ("created", people.erin.pk),
        ("revoked", people.erin.pk),
    ]
    assert secret[-43:] not in str(AuditEntry.objects.values())
    done = AuditEntry.objects.filter(token_id=token.pk)
    assert {(each.entity, each.actor_id, each.actor_kind) for each in done} <= {
        ("tenants.chain", people.erin.pk, "program")
    }


@pytest.mark.parametrize(
    "spoilt",
    [
        lambda secret: secret[:-1],
        lambda secret: secret + "x",
        lambda secret: secret[:-1] + ("A" if secret[-1] != "A" else "B"),
        lambda secret: secret.upper(),
        lambda secret: "cwp_",
        lambda secret: f"cwp_{'0' * 32}_{secret[-43:]}",
        lambda secret: f"cwp_{'é' * 32}_{secret[-43:]}",
        lambda secret: "cwp_" + "x" * 10_000,
    ],
    ids=["short", "long", "changed", "upper", "prefix", "other-id", "not-ascii", "huge"],
)
def test_what_is_not_quite_a_token_is_nobodys(people: People, spoilt: Any) -> None:
    problem(using(spoilt(make(people.alice, "carts:view"))).get("/api/branches"), 401)


# Over REST.


def wanted(**fields: object) -> dict[str, object]:
    return {"name": "Report", "scopes": ["branches:view"], "expires_at": in_days(30).isoformat(), **fields}


def post(client: Client, **fields: object) -> Any:
    return client.post("/api/auth/tokens", wanted(**fields), content_type="application/json")


def test_person_makes_lists_and_revokes_their_own(people: People) -> None:
    client = client_of(people.alice)
    made = post(client)
    secret, key = made.json()["token"], made.json()["id"]

    listed = client.get("/api/auth/tokens").json()["results"]
    used = seen(secret)
    revoked = client.delete(f"/api/auth/tokens/{key}")

    assert (made.status_code, used, revoked.status_code) == (201, {str(people.branch.pk)}, 204)
    assert [sorted(each) for each in listed] == [
        ["created_at", "expires_at", "hint", "id", "last_used_at", "name", "scopes"]
    ]
    problem(using(secret).get("/api/branches"), 401)
    assert client.get("/api/auth/tokens").json()["results"] == []
    problem(client.delete(f"/api/auth/tokens/{key}"), 404)


def refused_for_lack_of_proof(client: Client, **fields: object) -> bool:
    answer = post(client, **fields)
    if answer.status_code == 201:
        return False
    problem(answer, 403)
    assert answer.json()["type"] == "urn:cartwise:problem:proof-required"
    return True


@pytest.mark.parametrize("owns_factor", [True, False])
def test_session_makes_one_while_its_proof_is_fresh(people: People, client: Client, owns_factor: bool) -> None:
    user = people.alice if owns_factor else people.dora
    if owns_factor:
        give_app(user)
    sign_in(client, user, second_factor=owns_factor)

    fresh = post(client, scopes=["rentals:view"])
    age_proofs(client)

    assert fresh.status_code == 201
    assert refused_for_lack_of_proof(client, scopes=["rentals:view"])
    assert PersonalToken.objects.count() == 1


def test_session_makes_one_without_its_second_factor_as_little_as_the_page_does(people: People, client: Client) -> None:
    give_app(people.dora)
    sign_in(client, people.dora, second_factor=False)

    assert refused_for_lack_of_proof(client, scopes=["rentals:view"])


@pytest.fixture(params=["alone", "family", "refreshed"])
def old_token(request: pytest.FixtureRequest, people: People) -> str:
    """An access token of alice's, who gave her factor 11 minutes ago."""
    give_app(people.alice)
    with time_machine(RECENTLY + timedelta(minutes=1)):
        pair = issue_tokens(people.alice, second_factor=True)
        alone = issue_access_token(people.alice, second_factor=True)
    if request.param == "refreshed":
        pair = refresh_tokens(refresh=pair.refresh)
    return alone if request.param == "alone" else pair.access


def test_access_token_of_an_old_sign_in_makes_one_with_a_code_only(people: People, old_token: str) -> None:
    client = using(old_token)

    without = refused_for_lack_of_proof(client)
    wrong = problem(post(client, second_factor="000000"), 400)
    code = code_of(SECRET)
    given = post(client, second_factor=code)
    again = problem(post(client, second_factor=code), 400)

    assert (without, set(wrong), given.status_code, set(again)) == (True, {"second_factor"}, 201, {"second_factor"})
    assert PersonalToken.objects.count() == 1


def test_access_token_of_an_old_sign_in_makes_one_with_a_code_only_control(
    people: People, old_token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever found a token of an hour would have a key for a year."""
    monkeypatch.setattr("tenants.api.tokens.require_proof", lambda request, **given: None)

    assert post(using(old_token)).status_code == 201


def test_access_token_of_a_sign_in_a_moment_ago_makes_one(people: People) -> None:
    give_app(people.alice)
    pair = issue_tokens(people.alice, second_factor=True)
    renewed = refresh_tokens(refresh=pair.refresh)

    assert post(using(renewed.access)).status_code == 201


def test_customer_without_a_second_factor_signs_in_again(people: People) -> None:
    with time_machine(RECENTLY + timedelta(minutes=1)):
        old = issue_tokens(people.dora, second_factor=False).access
    new = issue_tokens(people.dora, second_factor=False).access

    assert refused_for_lack_of_proof(using(old), scopes=["rentals:view"])
    assert post(using(new), scopes=["rentals:view"]).status_code == 201


def test_code_to_a_phone_alone_makes_none(people: People) -> None:
    """Whoever has the number would have a key for a year."""
    by_phone = issue_tokens(people.dora, second_factor=False, by_phone=True)
    renewed = refresh_tokens(refresh=by_phone.refresh)

    assert refused_for_lack_of_proof(using(by_phone.access), scopes=["rentals:view"])
    assert refused_for_lack_of_proof(using(renewed.access), scopes=["rentals:view"])


def test_customer_with_a_second_factor_gives_it(people: People) -> None:
    """Signed in by phone a moment ago, which asks for none."""
    secret = give_app(people.dora)
    client = using(issue_tokens(people.dora, second_factor=False).access)

    assert refused_for_lack_of_proof(client, scopes=["rentals:view"])
    assert post(client, scopes=["rentals:view"], second_factor=code_of(secret)).status_code == 201


def test_staff_token_without_a_second_factor_makes_none(people: People) -> None:
    token = issue_access_token(people.alice, second_factor=False)

    problem(post(using(token), scopes=["rentals:view"]), 403)


def test_others_tokens_are_not_there(people: People) -> None:
    make(people.alice, "carts:view")
    key = PersonalToken.objects.get().pk

    for other in (people.bob, people.charlie, people.erin):
        assert client_of(other).get("/api/auth/tokens").json()["results"] == []
        problem(client_of(other).delete(f"/api/auth/tokens/{key}"), 404)
    assert PersonalToken.objects.get().in_force


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("get", "tokens"),
        ("post", "tokens"),
        ("delete", "tokens/{key}"),
        ("post", "logout"),
        ("patch", "me"),
    ],
)
def test_personal_token_reaches_nothing_of_the_account_but_me(people: People, method: str, path: str) -> None:
    client = using(make(people.alice, "branches:view"))
    address = f"/api/auth/{path.format(key=PersonalToken.objects.get().pk)}"

    problem(getattr(client, method)(address, wanted(), content_type="application/json"), 403)

    assert PersonalToken.objects.get().in_force
    assert client.get("/api/auth/me").status_code == 200


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"name": ""}, "name"),
        ({"scopes": "carts:view"}, "scopes"),
        ({"scopes": []}, "scopes"),
        ({"scopes": [None]}, "scopes.0"),
        ({"scopes": ["schedules:change"]}, "scopes"),
        ({"expires_at": "tomorrow"}, "expires_at"),
        ({"expires_at": None}, "expires_at"),
        ({"expires_at": "9999-12-31T23:59:59Z"}, "expires_at"),
        ({"expires_at": "0001-01-01T00:00:00+14:00"}, "expires_at"),
    ],
    ids=str,
)
def test_bad_input_over_rest_is_named(people: People, wrong: dict[str, object], field: str) -> None:
    assert field in problem(post(client_of(people.alice), **wrong), 400)
