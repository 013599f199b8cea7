"""Signing in over REST by password and second factor."""

from typing import Any

import jwt
import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.contrib.auth.hashers import Argon2PasswordHasher
from django.test import Client

from core.tests.fixtures import lose_counters
from tenants.models import RefreshToken, User
from tenants.services import sign_in as module
from tenants.services.second_factor import use_code
from tenants.tests.api import problem
from tenants.tests.authenticators import code_of, give_app
from tenants.tests.factories import People, make_grant, make_user
from tenants.tests.mailbox import PASSWORD, make_known
from tenants.tests.test_api_auth import post

pytestmark = pytest.mark.django_db
EMAIL = "nora@example.com"


@pytest.fixture
def nora() -> User:
    """A customer."""
    return make_known(EMAIL)


def login(second_factor: str = "", *, email: str = EMAIL, password: str = PASSWORD) -> Any:
    return post("login", {"email": email, "password": password, "second_factor": second_factor})


def make_manager(user: User, people: People) -> None:
    make_grant(user=user, role="branch_manager", branch=people.branch)


def branches(answer: Any) -> set[str]:
    client = Client(headers={"Authorization": f"Bearer {answer.json()['access']}"})
    return {each["id"] for each in client.get("/api/branches").json()["results"]}


def seconds_of(answer: Any) -> int:
    claims = jwt.decode(answer.json()["access"], options={"verify_signature": False})
    return int(claims["exp"] - claims["iat"])


def test_customer_signs_in_with_a_password(nora: User) -> None:
    answer = login(email="NORA@example.com")

    assert (answer.status_code, set(answer.json()), seconds_of(answer)) == (200, {"access", "refresh"}, 30 * 86400)
    assert User.objects.get().last_login is not None


def test_manager_signs_in_with_password_and_app(nora: User, people: People) -> None:
    make_manager(nora, people)
    secret = give_app(nora)

    answer = login(code_of(secret))

    assert (answer.status_code, seconds_of(answer), branches(answer)) == (200, 3600, {str(people.branch.pk)})


def test_manager_without_a_second_factor_is_told_to_set_one_up(nora: User, people: People) -> None:
    make_manager(nora, people)

    answer = login()

    problem(answer, 403)
    assert answer.json()["type"] == "urn:cartwise:problem:second-factor-missing"
    assert not RefreshToken.objects.exists()


def test_manager_without_a_second_factor_is_told_to_set_one_up_control(
    nora: User, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were it forgotten here, the tokens would still be worth no more than a customer's."""
    make_manager(nora, people)
    monkeypatch.setattr(module, "_give_second_factor", lambda *_: False)

    answer = login()

    assert (answer.status_code, branches(answer)) == (200, set())


def test_second_factor_is_asked_for_after_the_right_password_only(nora: User) -> None:
    give_app(nora)

    right, wrong = login(), login(password="wrong")

    problem(right, 401)
    problem(wrong, 401)
    assert right.json()["type"] == "urn:cartwise:problem:second-factor-required"
    assert wrong.json()["type"] == "urn:cartwise:problem:wrong-sign-in"


def test_code_works_once(nora: User) -> None:
    code = code_of(give_app(nora))

    answers = [login(code).status_code, login(code).status_code, login(f"{code[:3]}-{code[3:]}").status_code]

    assert answers == [200, 401, 401]


def test_code_used_in_a_browser_is_used_here(nora: User) -> None:
    code = code_of(give_app(nora))
    use_code(user=nora, code=code, address="203.0.113.9")

    problem(login(code), 401)


def test_recovery_code_works_once(nora: User) -> None:
    give_app(nora)
    code = Authenticator.objects.get(type="recovery_codes").wrap().generate_codes()[0]

    assert [login(code).status_code, login(code).status_code] == [200, 401]


@pytest.mark.parametrize("code", ["000000x", "１２", "x" * 32, "-", "'", "\u0661\u0662\u0663"], ids=ascii)
def test_code_that_is_none_is_wrong(nora: User, code: str) -> None:
    give_app(nora)

    problem(login(code), 401)


def refused(kind: str) -> Any:
    """Why somebody does not get in; each must look the same."""
    match kind:
        case "unknown":
            return login(email="nobody@example.com")
        case "wrong password":
            make_known(EMAIL)
            return login(password="wrong")
        case "closed":
            make_known(EMAIL, is_active=False)
        case "never verified":
            user = make_user(email=EMAIL, password=PASSWORD)
            EmailAddress.objects.create(user=user, email=EMAIL, verified=False, primary=True)
        case "no address row":
            make_user(email=EMAIL, password=PASSWORD)
        case "no password":
            make_known(EMAIL, password=None)
        case "wrong code":
            give_app(make_known(EMAIL))
            return login("000000x")
    return login()


REFUSED = ["unknown", "wrong password", "closed", "never verified", "no address row", "no password", "wrong code"]


@pytest.fixture
def hashes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One entry for each time a password is hashed, which is what takes the time."""
    done: list[str] = []
    encode, verify = Argon2PasswordHasher.encode, Argon2PasswordHasher.verify

    def noted(name: str, real: Any) -> Any:
        def call(self: Argon2PasswordHasher, *arguments: Any) -> Any:
            done.append(name)
            return real(self, *arguments)

        return call

    monkeypatch.setattr(Argon2PasswordHasher, "encode", noted("encode", encode))
    monkeypatch.setattr(Argon2PasswordHasher, "verify", noted("verify", verify))
    return done


@pytest.mark.parametrize("kind", REFUSED)
def test_refusals_look_the_same_and_take_one_hash(
    hashes: list[str], monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(module, "take_password_try", lambda **_: hashes.clear())  # what was hashed to set the stage

    answer = refused(kind)

    body = {name: value for name, value in answer.json().items() if name != "request_id"}
    assert body == {
        "type": "urn:cartwise:problem:wrong-sign-in",
        "title": "E-mail address, password or code is wrong",
        "status": 401,
        "detail": "",
        "errors": {},
    }
    assert len(hashes) == 1


def test_guesses_at_a_name_are_bounded(nora: User) -> None:
    answers = [login(password=f"guess {number}").status_code for number in range(12)]

    assert answers == [401] * 10 + [429] * 2
    problem(login(), 429)


def test_guesses_at_a_name_are_bounded_control(nora: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the limit the twelfth guess is answered, and so would be the millionth."""
    monkeypatch.setattr(module, "take_password_try", lambda **_: None)

    assert [login(password=f"guess {number}").status_code for number in range(12)] == [401] * 12


def test_without_redis_nobody_signs_in(nora: User, monkeypatch: pytest.MonkeyPatch) -> None:
    lose_counters(monkeypatch)

    problem(login(), 503)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "email"),
        ({"email": EMAIL}, "password"),
        ({"email": EMAIL, "password": "\x00"}, "password"),
        ({"email": EMAIL, "password": "x", "second_factor": "x" * 33}, "second_factor"),
        ([], "non_field_errors"),
    ],
    ids=str,
)
def test_bad_input_is_named(body: object, field: str) -> None:
    assert field in problem(post("login", body), 400)
