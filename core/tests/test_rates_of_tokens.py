"""Who is counted for a bearer token: its person or device, with an allowance of theirs, and nobody for a forged one."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import jwt
import pytest
from django.conf import settings
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from core import rates, tokens
from core.tests.test_rates import browser, left, statuses
from devices.models import Device
from devices.tests.factories import make_device, make_device_token
from tenants.services import create_personal_token
from tenants.services.sessions import issue_access_token, issue_tokens, refresh_tokens
from tenants.tests.api import client_of
from tenants.tests.factories import People, again

pytestmark = pytest.mark.django_db


def with_token(token: str) -> Client:
    return Client(headers={"Authorization": f"Bearer {token}"})


def of_device(device: Device) -> Client:
    return with_token(make_device_token(device=device))


def answers(tokens: list[str], path: str = "/api/chains") -> list[bool]:
    """Whether each passes its limit, in order."""
    return [with_token(token).get(path).status_code != 429 for token in tokens]


def with_claims(token: str, **changes: Any) -> str:
    """Signed with our own key, as the same program of another version would."""
    claims = {**jwt.decode(token, options={"verify_signature": False}), **changes}
    key_id = tokens.newest_key_id()
    return jwt.encode(claims, settings.JWT_KEYS[key_id], algorithm="HS256", headers={"kid": key_id})


def test_two_tokens_of_one_person_and_their_browser_are_counted_together(
    people: People, limit: Callable[..., None]
) -> None:
    limit(customer={"read": 3})
    pairs = [issue_tokens(people.dora, second_factor=False) for _ in range(2)]

    assert answers([each.access for each in pairs]) == [True, True]
    assert statuses(browser(people.dora), "/me/", 2) == [200, 429]
    assert answers([issue_access_token(again(people.alice), second_factor=True)]) == [True]


def test_refreshed_token_is_counted_with_the_one_before(people: People, limit: Callable[..., None]) -> None:
    limit(customer={"read": 2})
    pair = issue_tokens(people.dora, second_factor=False)
    refreshed = refresh_tokens(refresh=pair.refresh)

    assert answers([pair.access, refreshed.access, refreshed.access]) == [True, True, False]


def test_tokens_would_be_counted_apart_by_their_text_control(
    people: People, limit: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rates, "_tier_of_token", lambda token: ("customer", token[-32:]))
    limit(customer={"read": 1})
    pair = issue_tokens(people.dora, second_factor=False)

    assert answers([pair.access, refresh_tokens(refresh=pair.refresh).access]) == [True, True]


@pytest.mark.parametrize(
    ("who", "tier"), [("dora", "customer"), ("alice", "manager"), ("bob", "manager"), ("erin", "staff")]
)
def test_token_of_a_person_has_the_allowance_of_what_they_are(
    people: People, limit: Callable[..., None], who: str, tier: str
) -> None:
    told = left(client_of(getattr(people, who)).get("/api/auth/me"))

    assert set(told) == {f"{tier}-read", "address-read"}


@pytest.mark.parametrize("said", ["program", "address", "device", "", None, 7, ["staff"]])
def test_token_that_says_no_tier_of_people_is_a_customers(
    people: People, limit: Callable[..., None], said: object
) -> None:
    token = with_claims(issue_access_token(people.erin, second_factor=True), tier=said)

    response = with_token(token).get("/api/auth/me")

    assert (response.status_code, set(left(response))) == (200, {"customer-read", "address-read"})


def test_tier_in_a_token_is_no_right(people: People, limit: Callable[..., None]) -> None:
    token = with_claims(issue_access_token(people.dora, second_factor=True), tier="staff")

    response = with_token(token).get("/api/auth/me")

    assert "staff-read" in left(response)
    assert (response.json()["id"], response.json()["grants"]) == (str(people.dora.pk), [])


def test_reads_of_a_device_are_its_own_whichever_token_it_brings(people: People, limit: Callable[..., None]) -> None:
    limit(device={"read": 2})
    device, other = make_device(branch=people.branch), make_device(branch=people.branch)
    path = f"/api/devices/{device.pk}/config"

    assert answers([make_device_token(device=device) for _ in range(3)], path) == [True, True, False]
    assert answers([make_device_token(device=other)], f"/api/devices/{other.pk}/config") == [True]


def forged(token: str) -> str:
    claims = jwt.decode(token, options={"verify_signature": False})
    return jwt.encode(claims, "x" * 48, algorithm="HS256", headers={"kid": tokens.newest_key_id()})


FORGERIES: dict[str, Callable[[str, int], str]] = {
    "foreign key": lambda token, number: forged(with_claims(token, sub=f"somebody-{number}")),
    "expired": lambda token, number: with_claims(token, sub=f"somebody-{number}", exp=1_700_000_000),
    "other kind": lambda token, number: with_claims(token, aud=f"{settings.JWT_ISSUER}:kind-{number}"),
    "no kind": lambda token, number: with_claims(token, sub=f"somebody-{number}", aud=["*"]),
    "words": lambda token, number: f"{number}.b.c",
    "huge": lambda token, number: f"{number}." + "a" * 9_000,
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_token_that_is_not_ours_counts_for_nobody(people: People, limit: Callable[..., None], forgery: str) -> None:
    limit(anonymous={"read": 2})
    token = issue_access_token(people.dora, second_factor=False)

    tries = [with_token(FORGERIES[forgery](token, number)).get("/api/chains") for number in range(3)]

    assert [response.status_code for response in tries] == [401, 401, 429]
    assert answers([token]) == [True]


def test_token_that_is_not_ours_counts_for_nobody_control(
    people: People, limit: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were it believed unverified, each invented name would have an allowance of its own."""
    unverified = {"options": {"verify_signature": False}}
    monkeypatch.setattr(rates, "read_any", lambda token: ("person", jwt.decode(token, **unverified)))
    limit(anonymous={"read": 2}, customer={"read": 2})
    token = issue_access_token(people.dora, second_factor=False)

    assert answers([FORGERIES["foreign key"](token, number) for number in range(4)]) == [True] * 4


def test_personal_tokens_are_programs_each_its_own(people: People, limit: Callable[..., None]) -> None:
    limit(program={"read": 1})
    ends = timezone.now() + timedelta(days=1)
    made = [
        create_personal_token(user=people.alice, name="x", scopes=["carts:view"], expires_at=ends)[1] for _ in range(2)
    ]

    assert answers([*made, *made]) == [True, True, False, False]


@pytest.mark.parametrize("who", ["person", "device"])
def test_signature_is_verified_once_a_request(
    people: People, limit: Callable[..., None], monkeypatch: pytest.MonkeyPatch, who: str
) -> None:
    device = make_device(branch=people.branch)
    client, path = client_of(people.alice), "/api/auth/me"
    if who == "device":
        client, path = of_device(device), f"/api/devices/{device.pk}/config"
    verified: list[str] = []
    whole = tokens._verify
    monkeypatch.setattr(tokens, "_verify", lambda token, kind: verified.append(kind) or whole(token, kind))

    counts = []
    for _ in range(2):
        assert client.get(path).status_code == 200
        counts.append(len(verified))

    assert counts == [1, 2]


def test_counting_by_a_token_costs_no_query(
    people: People, limit: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = client_of(people.alice)

    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert client.get("/api/auth/me").status_code == 200
        return len(captured)

    queries()
    counted = queries()
    monkeypatch.setattr(rates, "class_of", lambda request: "")

    assert counted == queries()
