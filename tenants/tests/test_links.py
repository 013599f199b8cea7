from datetime import timedelta

import pytest
from django.db.models import QuerySet
from django.test import Client
from django.utils import timezone

from core.errors import InvalidInput
from core.models import AuditEntry
from core.tests.race import race
from tenants.models import Grant, Role, SignInLink, User
from tenants.services import create_sign_in_link, update_person, use_sign_in_link
from tenants.services.links import LIFETIME
from tenants.tests.factories import People, make_user


def make_link(user: User | None = None, *, next_path: str = "/me/") -> str:
    return create_sign_in_link(user=user or make_user(), next_path=next_path)


def is_signed_in(client: Client) -> bool:
    return "_auth_user_id" in client.session


def use(token: str) -> bool:
    try:
        use_sign_in_link(token=token)
    except InvalidInput:
        return False
    return True


def test_link_signs_its_person_in_once(people: People, client: Client) -> None:
    token = make_link(people.alice)

    first = client.post(f"/auth/link/{token}")
    again = Client().post(f"/auth/link/{token}")

    told = AuditEntry.objects.filter(action="sign-in link used").values_list("actor_id", "branch_id")
    assert list(told) == [(people.alice.pk, people.branch.pk)]
    assert (first.status_code, first["Location"]) == (302, "/me/")
    assert client.session["_auth_user_id"] == str(people.alice.pk)
    assert (again.status_code, again.cookies.get("sessionid")) == (400, None)


@pytest.mark.django_db
def test_looking_at_a_link_does_not_use_it_up(client: Client) -> None:
    token = make_link()

    looked = [client.get(f"/auth/link/{token}").status_code, client.head(f"/auth/link/{token}").status_code]

    assert looked[0] == 200
    assert not is_signed_in(client)
    assert client.post(f"/auth/link/{token}").status_code == 302


@pytest.mark.django_db
def test_link_shows_no_token_to_the_next_site(client: Client) -> None:
    assert client.get(f"/auth/link/{make_link()}")["Referrer-Policy"] == "same-origin"


@pytest.mark.django_db
@pytest.mark.parametrize(("age", "expected"), [(LIFETIME - timedelta(minutes=1), True), (LIFETIME, False)])
def test_link_lives_twelve_hours(age: timedelta, expected: bool) -> None:
    token = make_link()
    SignInLink.objects.update(expires_at=timezone.now() + LIFETIME - age)

    assert timedelta(hours=12) == LIFETIME
    assert use(token) is expected


@pytest.mark.django_db
@pytest.mark.parametrize("token", ["x", "%00", "a" * 2000, "../../admin", "שלום"])
def test_link_nobody_made_signs_nobody_in(client: Client, token: str) -> None:
    assert client.post(f"/auth/link/{token}").status_code in (400, 404)
    assert not is_signed_in(client)


def test_link_of_an_inactive_person_opens_nothing(people: People, client: Client) -> None:
    token = make_link(people.erin)
    User.objects.filter(pk=people.erin.pk).update(is_active=False)

    client.post(f"/auth/link/{token}")

    assert client.get("/control/")["Location"].startswith("/auth/sign-in")


@pytest.mark.django_db
def test_database_holds_no_link_that_works() -> None:
    token = make_link()

    assert token not in str(SignInLink.objects.values())
    assert not use(SignInLink.objects.get().token_hash)


@pytest.mark.django_db(transaction=True)
def test_of_many_at_once_one_gets_in() -> None:
    token = make_link()

    assert sorted(race(lambda: use(token), times=8)) == [False] * 7 + [True]


@pytest.mark.django_db(transaction=True)
def test_of_many_at_once_one_gets_in_control(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the claim on the row everybody gets in."""
    token = make_link()
    monkeypatch.setattr(QuerySet, "update", lambda rows, **values: 1)

    assert race(lambda: use(token), times=8) == [True] * 8


def test_sign_out_is_no_link(people: People, client: Client) -> None:
    client.force_login(people.alice)

    assert client.get("/auth/sign-out").status_code == 405
    assert is_signed_in(client)
    client.post("/auth/sign-out")
    assert not is_signed_in(client)


@pytest.mark.parametrize("gone", ["dismissed", "closed", "outranked"])
def test_link_ends_with_who_made_it(people: People, gone: str) -> None:
    """Whoever could not make it any more has it still."""
    token = create_sign_in_link(user=people.dora, next_path="/", actor=people.erin)
    if gone == "dismissed":
        Grant.objects.filter(user=people.erin).delete()
    elif gone == "closed":
        User.objects.filter(pk=people.erin.pk).update(is_active=False)
    else:
        Grant.objects.filter(user=people.erin).update(role=Role.objects.get(code="support"))

    assert not use(token)
    assert SignInLink.objects.get().used_at is None


def test_link_of_who_may_still_make_it_works(people: People) -> None:
    assert use(create_sign_in_link(user=people.dora, next_path="/", actor=people.erin))


def test_link_ends_with_who_made_it_control(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not asked again, it is a way in for the dismissed."""
    monkeypatch.setattr("tenants.services.links._may_make", lambda actor, user: True)
    token = create_sign_in_link(user=people.dora, next_path="/", actor=people.erin)
    Grant.objects.filter(user=people.erin).delete()

    assert use(token)


def test_link_to_the_replaced_number_is_dead(people: People) -> None:
    token = create_sign_in_link(user=people.dora, next_path="/", actor=people.erin)

    update_person(
        user=people.dora, email=people.dora.email, phone="+972501234567", name="", language="en", actor=people.erin
    )

    assert not use(token)
