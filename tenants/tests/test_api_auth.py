import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from core.errors import TooMany
from core.tokens import sign
from tenants.models import OtpChallenge, PersonalToken, RefreshToken, User
from tenants.services import create_personal_token, issue_tokens, otp
from tenants.tests.api import client_of, problem
from tenants.tests.factories import People, make_user
from tenants.tests.mailbox import other_than
from tenants.tests.signing_in import sign_in
from tenants.tests.test_otp import a_minute_passes

pytestmark = pytest.mark.django_db
PHONE = "+972501234567"
Attack = Callable[[httpx.Client, str], None]


def post(path: str, body: object, client: Client | None = None) -> Any:
    return (client or Client()).post(f"/api/auth/{path}", body, content_type="application/json")


def code_sent(sms: httpx.Client) -> str:
    return str(sms.get("/messages", params={"to": PHONE}).json()[0]["text"]).rpartition("#")[2]


def ask(phone: str = PHONE) -> str:
    """The challenge of a new code."""
    return str(post("otp/request", {"phone": phone}).json()["challenge"])


def verify(challenge: object, code: str, phone: str = PHONE) -> Any:
    return post("otp/verify", {"challenge": str(challenge), "phone": phone, "code": code})


def test_customer_gets_tokens_for_a_code(sms: httpx.Client) -> None:
    asked = post("otp/request", {"phone": "050-123 4567"})
    challenge = asked.json()["challenge"]
    answered = verify(challenge, f" {code_sent(sms)} ")

    assert asked.status_code == 202
    assert asked.json() == {"challenge": str(UUID(challenge)), "resend_in_s": 60, "expires_in_s": 300}
    assert (answered.status_code, set(answered.json())) == (200, {"access", "refresh"})
    assert User.objects.get().phone == PHONE
    assert (
        Client(headers={"Authorization": f"Bearer {answered.json()['access']}"}).get("/api/branches").status_code == 200
    )


def test_second_sign_in_is_the_same_person(sms: httpx.Client) -> None:
    known = make_user(phone=PHONE, name="Dora")

    answered = verify(ask(), code_sent(sms))

    assert answered.status_code == 200
    assert User.objects.get() == known


def test_known_and_unknown_phones_get_the_same_answer(sms: httpx.Client) -> None:
    make_user(phone=PHONE)

    answers = [post("otp/request", {"phone": phone}).json() for phone in (PHONE, "+972502345678")]

    assert len({answer.pop("challenge") for answer in answers}) == 2
    assert answers[0] == answers[1]


def test_inactive_customer_gets_no_tokens(sms: httpx.Client) -> None:
    make_user(phone=PHONE, is_active=False)

    answered = verify(ask(), code_sent(sms))

    problem(answered, 403)
    assert not RefreshToken.objects.exists()


def test_wrong_code_is_named_and_makes_nobody(sms: httpx.Client) -> None:
    challenge = ask()

    errors = problem(verify(challenge, other_than(code_sent(sms), 1)[0]), 400)

    assert set(errors) == {"code"}
    assert not User.objects.exists()


def stranger_guesses_wrong(sms: httpx.Client, redis_url: str) -> None:
    """Whoever knows the number alone, with ids they think of."""
    for wrong in other_than(code_sent(sms), otp.MAX_GUESSES + 1):
        verify(uuid4(), wrong)


def stranger_asks_too(sms: httpx.Client, redis_url: str) -> None:
    a_minute_passes(redis_url)
    ask()


def stranger_asks_and_guesses_wrong(sms: httpx.Client, redis_url: str) -> None:
    a_minute_passes(redis_url)
    challenge = ask()
    for wrong in other_than(code_sent(sms), otp.MAX_GUESSES + 1):
        verify(challenge, wrong)


STRANGERS = [stranger_guesses_wrong, stranger_asks_too, stranger_asks_and_guesses_wrong]


@pytest.mark.parametrize("attack", STRANGERS)
def test_code_outlives_what_strangers_do(sms: httpx.Client, redis_url: str, attack: Attack) -> None:
    challenge = ask()
    code = code_sent(sms)

    attack(sms, redis_url)

    assert verify(challenge, code).status_code == 200


@pytest.mark.parametrize("attack", STRANGERS)
def test_code_outlives_what_strangers_do_control(
    sms: httpx.Client, redis_url: str, attack: Attack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bound to the same for all, the code is ended or used up."""
    monkeypatch.setattr(otp, "binding_of", lambda challenge: "api")
    challenge = ask()
    code = code_sent(sms)

    attack(sms, redis_url)

    problem(verify(challenge, code), 400)


def test_code_works_for_its_own_challenge_alone(sms: httpx.Client, redis_url: str) -> None:
    first = ask()
    a_minute_passes(redis_url)
    second = ask()
    code = code_sent(sms)

    problem(verify(first, code), 400)
    problem(verify(uuid4(), code), 400)
    assert verify(second, code).status_code == 200


def test_code_works_for_its_own_challenge_alone_control(
    sms: httpx.Client, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(otp, "binding_of", lambda challenge: "api")
    first = ask()
    a_minute_passes(redis_url)
    ask()

    assert verify(first, code_sent(sms)).status_code == 200


def test_challenge_of_another_phone_opens_nothing(sms: httpx.Client) -> None:
    """Neither the asker's own code makes them somebody else, nor does a stranger's challenge take it."""
    make_user(phone="+972502345678")
    mine = ask()

    problem(verify(mine, code_sent(sms), "+972502345678"), 400)

    assert verify(mine, code_sent(sms)).status_code == 200


def told_for(challenge: object, code: str) -> tuple[dict[str, Any], list[str]]:
    """What the answer says, and what was asked of the database for it."""
    with CaptureQueriesContext(connection) as queries:
        answer = verify(challenge, code).json()
    shapes = [re.sub(r"'[^']*'", "?", each["sql"]) for each in queries]
    return {name: value for name, value in answer.items() if name != "request_id"}, shapes


def test_unknown_challenge_is_answered_like_a_wrong_code(sms: httpx.Client) -> None:
    challenge = ask()
    wrong = other_than(code_sent(sms), 1)[0]

    assert told_for(uuid4(), wrong) == told_for(challenge, wrong)


def test_unknown_challenge_is_answered_like_a_wrong_code_control(
    sms: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused as soon as nothing is found, it is told by the queries."""
    challenge = ask()
    wrong = other_than(code_sent(sms), 1)[0]

    class Hasty:
        objects = OtpChallenge.objects

        def __init__(self, **fields: object) -> None:
            raise otp._wrong_code()

    monkeypatch.setattr(otp, "OtpChallenge", Hasty)
    unknown, known = told_for(uuid4(), wrong), told_for(challenge, wrong)

    assert unknown[0] == known[0]
    assert unknown[1] != known[1]


@pytest.mark.parametrize("challenge", [None, "", "api", "x" * 200, ["x"], "\x00"], ids=repr)
def test_challenge_that_is_none_is_named(challenge: object) -> None:
    body = {"challenge": challenge, "phone": PHONE, "code": "123456"}

    assert set(problem(post("otp/verify", body), 400)) == {"challenge"}


def test_second_request_within_a_minute_is_refused(sms: httpx.Client) -> None:
    post("otp/request", {"phone": PHONE})

    refused = post("otp/request", {"phone": "0501234567"})

    problem(refused, TooMany.status)
    assert 50 <= int(refused["Retry-After"]) <= 60
    assert len(sms.get("/messages").json()) == 1


def test_gateway_that_fails_is_an_answer_and_no_crash(sms: httpx.Client) -> None:
    sms.post("/faults", json={"kind": "html"}).raise_for_status()

    problem(post("otp/request", {"phone": PHONE}), 503)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "phone"),
        ({"phone": ""}, "phone"),
        ({"phone": None}, "phone"),
        ({"phone": ["+972501234567"]}, "phone"),
        ({"phone": "x" * 33}, "phone"),
        ({"phone": "\x00"}, "phone"),
        ({"phone": "+14155552671"}, "phone"),
        ({"phone": "03-6123456"}, "phone"),
        ({"phone": "0501234567", "region": "ISR"}, "region"),
        ([], "non_field_errors"),
    ],
    ids=str,
)
def test_bad_input_is_named_and_sends_nothing(sms: httpx.Client, body: object, field: str) -> None:
    assert set(problem(post("otp/request", body), 400)) == {field}
    assert sms.get("/messages").json() == []
    assert not OtpChallenge.objects.exists()


@pytest.mark.parametrize("path", ["otp/request", "otp/verify", "register", "verify", "login", "token/refresh"])
@pytest.mark.parametrize("method", ["get", "put", "patch", "delete"])
def test_other_methods_are_refused(path: str, method: str) -> None:
    assert getattr(Client(), method)(f"/api/auth/{path}").status_code == 405


def test_refresh_gives_a_new_pair_and_each_works_once() -> None:
    pair = issue_tokens(make_user(), second_factor=True)

    renewed = post("token/refresh", {"refresh": pair.refresh})
    again = post("token/refresh", {"refresh": pair.refresh})
    descendant = post("token/refresh", {"refresh": renewed.json()["refresh"]})

    assert renewed.status_code == 200
    problem(again, 401)
    problem(descendant, 401)


def test_revoked_token_is_refused_with_the_envelope(people: People) -> None:
    client = client_of(people.alice)
    before = client.get("/api/branches").status_code
    User.objects.update(token_version=2)

    refused = client.get("/api/branches")

    problem(refused, 401)
    assert (before, refused["WWW-Authenticate"]) == (200, "Bearer")


@pytest.mark.parametrize("header", ["Bearer", "Bearer ", "Bearer x", "bearer a.b.c", "Bearer \xff\xfe", "BEARER a b c"])
def test_header_that_holds_no_token_of_ours_is_refused_not_ignored(people: People, header: str) -> None:
    client = Client(headers={"Authorization": header})
    sign_in(client, people.alice)

    problem(client.get("/api/branches"), 401)


def test_without_any_sign_in_nothing_is_shown() -> None:
    problem(Client().get("/api/branches"), 401)


def test_token_of_another_kind_is_no_persons_even_with_a_persons_id(people: People) -> None:
    now = timezone.now()
    claims = {"subject": people.erin.pk, "issued_at": now, "expires_at": now + timedelta(hours=1), "ver": 1, "sf": 1}
    tokens = {kind: sign(kind=kind, **claims) for kind in ("person", "device")}
    answers = {kind: Client(headers={"Authorization": f"Bearer {token}"}) for kind, token in tokens.items()}

    assert answers["person"].get("/api/branches").status_code == 200
    problem(answers["device"].get("/api/branches"), 401)


def test_token_of_a_person_is_no_devices(people: People) -> None:
    problem(client_of(people.erin).get(f"/api/devices/{uuid4()}/config"), 401)


def test_session_of_a_browser_reads_and_needs_a_csrf_token_to_write(people: People) -> None:
    client = Client(enforce_csrf_checks=True)
    sign_in(client, people.erin)

    assert client.get("/api/chains").status_code == 200
    problem(client.post("/api/chains", {"name": "X", "slug": "x"}, content_type="application/json"), 403)


# Staff and managers who came in with a phone code alone.


@pytest.fixture
def by_phone(people: People, sms: httpx.Client) -> Client:
    """Alice's program, with what a code by SMS is worth."""
    User.objects.filter(pk=people.alice.pk).update(phone=PHONE)
    return using(verify(ask(), code_sent(sms)).json()["access"])


def using(token: str) -> Client:
    return Client(headers={"Authorization": f"Bearer {token}"})


def make_token(user: User) -> PersonalToken:
    in_a_day = timezone.now() + timedelta(days=1)
    return create_personal_token(user=user, name="Report", scopes=["rentals:view"], expires_at=in_a_day)[0]


def account_asks(client: Client, token: PersonalToken) -> dict[str, Any]:
    """What answers each request that shows or changes the account; the last ends the token that asks."""
    wanted = {
        "name": "Mine",
        "scopes": ["rentals:view"],
        "expires_at": (timezone.now() + timedelta(days=1)).isoformat(),
    }
    return {
        "list": client.get("/api/auth/tokens"),
        "create": post("tokens", wanted, client),
        "delete": client.delete(f"/api/auth/tokens/{token.pk}"),
        "profile": client.patch("/api/auth/me", {"name": "Mallory"}, content_type="application/json"),
        "everywhere": post("logout", {"everywhere": True}, client),
    }


DONE = {"list": 200, "create": 201, "delete": 204, "profile": 200, "everywhere": 204}


def test_staff_with_a_phone_code_alone_change_nothing_of_their_account(people: People, by_phone: Client) -> None:
    token = make_token(people.alice)
    before = User.objects.values().get(pk=people.alice.pk)

    answers = account_asks(by_phone, token)

    for answer in answers.values():
        problem(answer, 403)
    assert {answer.json()["type"] for answer in answers.values()} == {"urn:cartwise:problem:second-factor-required"}
    assert token.name not in str([answer.json() for answer in answers.values()])
    assert User.objects.values().get(pk=people.alice.pk) == before
    assert PersonalToken.objects.get().in_force


def test_staff_with_a_phone_code_alone_change_nothing_of_their_account_control(
    people: People, by_phone: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nobody asks, whoever took the number over reads, makes and ends everything."""
    for module in ("api.authentication.require_second_factor", "api.auth.require_second_factor"):
        monkeypatch.setattr(f"tenants.{module}", lambda user: None)
    for module in ("api.tokens.require_themselves", "services.personal_tokens.require_themselves"):
        monkeypatch.setattr(f"tenants.{module}", lambda user: None)
    monkeypatch.setattr("tenants.api.tokens.require_proof", lambda request, **given: None)

    answers = account_asks(by_phone, make_token(people.alice))

    assert {name: answer.status_code for name, answer in answers.items()} == DONE


def test_staff_with_a_phone_code_alone_read_who_they_are_and_sign_out(people: People, by_phone: Client) -> None:
    assert by_phone.get("/api/auth/me").json()["id"] == str(people.alice.pk)
    assert post("logout", {}, by_phone).status_code == 204
    problem(by_phone.get("/api/auth/me"), 401)


@pytest.mark.parametrize(("who", "second_factor"), [("alice", True), ("dora", False)])
def test_who_needs_no_more_proof_reaches_their_account(people: People, who: str, second_factor: bool) -> None:
    user = getattr(people, who)
    client = using(issue_tokens(user, second_factor=second_factor).access)

    answers = account_asks(client, make_token(user))

    assert {name: answer.status_code for name, answer in answers.items()} == DONE
