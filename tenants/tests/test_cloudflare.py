"""Cloudflare Access: who gets in by its header, as whom, and with what it is worth."""

import base64
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from jwt.algorithms import HMACAlgorithm, RSAAlgorithm
from pytest_django import Settings

from tenants import cloudflare
from tenants.models import BrowserSession, User
from tenants.requester import METHODS
from tenants.services import create_machine_user
from tenants.services.sessions import issue_access_token
from tenants.tests.access_team import AUDIENCE, OTHER_AUDIENCE, Team, client_with, forge
from tenants.tests.api import problem
from tenants.tests.factories import People, make_branch, make_grant, make_user
from tenants.tests.signing_in import sign_in

pytestmark = pytest.mark.django_db
PROGRAM = "0123456789abcdef.access"


@pytest.fixture
def program(people: People) -> User:
    """A machine that may see Alice's branch."""
    machine = create_machine_user(name="Till", client_id=PROGRAM, actor=people.erin)
    make_grant(user=machine, role="branch_manager", branch=people.branch)
    return machine


def me(client: Client) -> dict[str, Any]:
    answer = client.get("/api/auth/me")
    assert answer.status_code == 200, answer.content
    return dict(answer.json())


def branches(client: Client) -> set[str]:
    return {each["id"] for each in client.get("/api/branches").json()["results"]}


def signed_in(client: Client) -> str | None:
    return client.session.get("_auth_user_id")


def test_header_signs_its_person_in_with_a_first_factor(team: Team, people: People) -> None:
    client = client_with(team.mint(email=people.alice.email.upper()))

    page = client.get("/control/")

    assert signed_in(client) == str(people.alice.pk)
    assert (page.status_code, page["Location"].partition("?")[0]) == (302, "/auth/second-factor")
    assert [each["method"] for each in client.session[METHODS]] == ["cloudflare_access"]


def test_session_is_begun_once_and_costs_no_query_afterwards(team: Team, people: People) -> None:
    through, plain = client_with(team.mint(email=people.alice.email)), Client()
    sign_in(plain, people.alice, second_factor=False)
    counts = []

    for client in (through, plain):
        for _ in range(2):  # when the session was last seen is noted once it has a row
            client.get("/auth/second-factor")
        with CaptureQueriesContext(connection) as queries:
            client.get("/auth/second-factor")
        counts.append(len(queries))

    assert counts[0] == counts[1]
    assert BrowserSession.objects.filter(user=people.alice).count() == 2


def test_both_factors_count_where_the_setting_says_that_the_team_asks_for_two(
    team: Team, people: People, settings: Settings
) -> None:
    settings.CF_ACCESS_IS_SECOND_FACTOR = True
    client = client_with(team.mint(email=people.alice.email))

    assert client.get("/control/").status_code == 200
    assert branches(client) == {str(people.branch.pk)}
    assert branches(client_with(team.mint(email=people.alice.email))) == {str(people.branch.pk)}


def test_rest_with_the_header_alone_is_a_first_factor_and_begins_no_session(team: Team, people: People) -> None:
    client = client_with(team.mint(email=people.alice.email))

    answer = me(client)

    assert (answer["id"], answer["second_factor"], answer["grants"]) == (str(people.alice.pk), False, [])
    assert branches(client) == set()
    assert not BrowserSession.objects.exists()


def test_second_factor_given_in_the_session_counts_over_rest(team: Team, people: People) -> None:
    client = client_with(team.mint(email=people.alice.email))
    sign_in(client, people.alice)

    assert me(client)["second_factor"] is True
    assert branches(client) == {str(people.branch.pk)}


@pytest.mark.parametrize("path", ["/control/", "/auth/sign-in", "/api/branches", "/me/"])
def test_session_of_somebody_else_ends(team: Team, people: People, path: str) -> None:
    client = client_with(team.mint(email=people.alice.email))
    sign_in(client, people.erin)

    answer = client.get(path)

    assert not BrowserSession.objects.filter(user=people.erin).exists()
    assert signed_in(client) != str(people.erin.pk)
    assert answer.status_code in (200, 302)
    if path == "/api/branches":
        assert answer.json()["results"] == []


def test_what_another_site_makes_a_browser_send_changes_nothing(team: Team, people: People, settings: Settings) -> None:
    """Cloudflare's cookie, and so the header, comes along with it; a program's client secret does not."""
    settings.CF_ACCESS_IS_SECOND_FACTOR = True
    client = Client(enforce_csrf_checks=True, headers={"Cf-Access-Jwt-Assertion": team.mint(email=people.erin.email)})

    problem(client.post("/api/chains", {"name": "X", "slug": "x"}, content_type="application/json"), 403)


def test_program_reads_and_writes_what_it_was_granted(team: Team, people: People, program: User) -> None:
    client = Client(enforce_csrf_checks=True, headers={"Cf-Access-Jwt-Assertion": team.mint_for_program(PROGRAM)})

    answer = me(client)

    assert (answer["id"], answer["email"], answer["second_factor"]) == (str(program.pk), None, True)
    assert branches(client) == {str(people.branch.pk)}
    problem(client.post("/api/chains", {"name": "X", "slug": "x"}, content_type="application/json"), 403)
    make_grant(user=program, role="manager")
    User.objects.filter(pk=program.pk).update(access_version="00000000-0000-0000-0000-000000000001")
    assert client.post("/api/chains", {"name": "X", "slug": "x"}, content_type="application/json").status_code == 201


def test_program_gets_no_session_and_ends_one_that_comes_with_it(team: Team, people: People, program: User) -> None:
    client = client_with(team.mint_for_program(PROGRAM))
    sign_in(client, people.erin)

    assert me(client)["id"] == str(program.pk)
    assert client.get("/control/").status_code == 302
    assert not BrowserSession.objects.exists()


def test_program_makes_no_tokens_for_itself(team: Team, program: User) -> None:
    body = {"name": "x", "scopes": ["carts:view"], "expires_at": "2100-01-01T00:00:00Z"}

    problem(client_with(team.mint_for_program(PROGRAM)).post("/api/auth/tokens", body, "application/json"), 403)


@pytest.mark.parametrize(
    "claims",
    [
        {"email": "stranger@example.com"},
        {"email": "closed@example.com"},
        {"email": None},
        {"email": ""},
        {"email": ["alice@example.com"]},
        {"email": None, "common_name": "unknown.access", "sub": ""},
        {"email": None, "common_name": PROGRAM, "sub": "a-person"},
        {"email": None, "common_name": "", "sub": ""},
    ],
    ids=str,
)
@pytest.mark.parametrize("path", ["/", "/control/", "/admin/", "/me/", "/auth/sign-in", "/api/branches", "/api/schema"])
def test_stranger_gets_in_nowhere(team: Team, program: User, claims: dict[str, Any], path: str) -> None:
    make_user(email="closed@example.com", is_active=False)
    client = client_with(team.mint(**claims))

    assert client.get(path).status_code == 403
    assert "components" in client.get("/healthz").json()
    assert not BrowserSession.objects.exists()


def unsigned(team: Team, claims: dict[str, Any]) -> str:
    return forge({"alg": "none", "kid": team.published()[0]["kid"]}, claims, None)


def encoded(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


# What everybody may read of the team's key, in each way somebody writes it.
TEXTS_OF_THE_KEY: dict[str, Callable[[RSAPublicKey], bytes]] = {
    "pem": lambda key: key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    "pem-without-its-last-newline": lambda key: TEXTS_OF_THE_KEY["pem"](key).strip(),
    "der": lambda key: key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
    "pem-of-pkcs1": lambda key: key.public_bytes(Encoding.PEM, PublicFormat.PKCS1),
}


def signed_with_the_public_key(team: Team, claims: dict[str, Any], text_of: Callable[[RSAPublicKey], bytes]) -> str:
    """HS256 with the text of the public key as the secret: the classic confusion."""
    published = team.published()[0]
    key = RSAAlgorithm.from_jwk(dict(published))
    assert isinstance(key, RSAPublicKey)
    return forge({"alg": "HS256", "kid": published["kid"]}, claims, text_of(key))


def signed_with_the_modulus(team: Team, claims: dict[str, Any]) -> str:
    key = team.published()[0]
    return forge({"alg": "HS256", "kid": key["kid"]}, claims, key["n"].encode())


WRONG: dict[str, Callable[[Team, dict[str, Any]], str]] = {
    "wrong-audience": lambda team, claims: team.mint(**{**claims, "aud": ["c" * 64]}),
    "audience-of-another-kind": lambda team, claims: team.mint(**{**claims, "aud": {"x": AUDIENCE}}),
    "no-audience": lambda team, claims: team.mint(**{**claims, "aud": None}),
    "wrong-issuer": lambda team, claims: team.mint(**{**claims, "iss": "https://other.example.com"}),
    "issuer-with-a-slash": lambda team, claims: team.mint(**{**claims, "iss": f"{team.url}/"}),
    "no-issuer": lambda team, claims: team.mint(**{**claims, "iss": None}),
    "expired": lambda team, claims: team.mint(**{**claims, "exp": int(time.time()) - 60}),
    "no-expiry": lambda team, claims: team.mint(**{**claims, "exp": None}),
    "not-yet": lambda team, claims: team.mint(**{**claims, "nbf": int(time.time()) + 600}),
    "issued-in-future": lambda team, claims: team.mint(**{**claims, "iat": int(time.time()) + 600}),
    "retired-key": lambda team, claims: team.mint(key="retired", **claims),
    "unknown-kid": lambda team, claims: team.mint(headers={"kid": "nobody"}, **claims),
    "kid-of-the-other-key": lambda team, claims: team.mint(headers={"kid": team.published()[1]["kid"]}, **claims),
    "kid-is-a-number": lambda team, claims: forge({"alg": "RS256", "kid": 1}, claims, b"x"),
    "no-kid": lambda team, claims: forge({"alg": "RS256"}, claims, b"x"),
    "alg-none": unsigned,
    "key-confusion-modulus": signed_with_the_modulus,
    **{
        f"key-confusion-{name}": lambda team, claims, text_of=text_of: signed_with_the_public_key(team, claims, text_of)
        for name, text_of in TEXTS_OF_THE_KEY.items()
    },
    "rs512": lambda team, claims: team.mint(headers={"alg": "RS512"}, **claims),
    "cut-short": lambda team, claims: team.mint(**claims)[:-6],
    "twice": lambda team, claims: f"{team.mint(**claims)},{team.mint(**claims)}",
    "empty": lambda team, claims: "",
    "words": lambda team, claims: "let me in",
    "not-ascii": lambda team, claims: "ÿ.ÿ.ÿ",
    "huge": lambda team, claims: "a" * 100_000,
    "deep": lambda team, claims: f"{encoded('[' * 4000)}..",
}


def test_token_the_wrong_ones_are_made_from_is_right_control(team: Team, people: People) -> None:
    for audience in ([AUDIENCE], [OTHER_AUDIENCE], ["x", AUDIENCE], AUDIENCE):
        assert me(client_with(team.mint(email=people.erin.email, aud=audience)))["id"] == str(people.erin.pk)


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("also", ["nothing", "session", "bearer"])
def test_wrong_header_is_refused_and_never_ignored(team: Team, people: People, wrong: str, also: str) -> None:
    claims = {"email": people.erin.email, "aud": [AUDIENCE], "iss": team.url, "exp": int(time.time()) + 600}
    claims["iat"] = int(time.time())
    bearer = {"Authorization": f"Bearer {issue_access_token(people.erin, second_factor=True)}"}
    client = client_with(WRONG[wrong](team, claims), **(bearer if also == "bearer" else {}))
    if also == "session":
        sign_in(client, people.erin)

    problem(client.get("/api/branches"), 403)
    assert client.get("/control/").status_code == 403


@pytest.mark.parametrize(
    ("wrong", "unchecked"),
    [
        ("wrong-audience", "verify_aud"),
        ("wrong-issuer", "verify_iss"),
        ("expired", "verify_exp"),
        ("not-yet", "verify_nbf"),
        ("issued-in-future", "verify_iat"),
        ("kid-of-the-other-key", "verify_signature"),
    ],
)
def test_wrong_header_is_refused_and_never_ignored_control(
    team: Team, people: People, monkeypatch: pytest.MonkeyPatch, wrong: str, unchecked: str
) -> None:
    """Each check left out lets its forgery in."""
    decode = jwt.decode

    def careless(*arguments: Any, options: dict[str, Any], **named: Any) -> Any:
        return decode(*arguments, options={**options, unchecked: False}, **named)

    monkeypatch.setattr(cloudflare.jwt, "decode", careless)
    claims = {"email": people.erin.email}

    assert me(client_with(WRONG[wrong](team, claims)))["id"] == str(people.erin.pk)


@pytest.mark.parametrize("text", TEXTS_OF_THE_KEY)
@pytest.mark.parametrize("pinned", [True, False])
def test_key_confusion_is_refused_by_the_pin_alone_and_gets_in_without_it_control(
    team: Team, people: People, monkeypatch: pytest.MonkeyPatch, text: str, pinned: bool
) -> None:
    """The library's own guard is off: it takes a public key for a secret, as libraries did.

    Not pinned: the algorithm is the one that the token names.
    """
    monkeypatch.setattr(HMACAlgorithm, "prepare_key", lambda self, key: TEXTS_OF_THE_KEY[text](key))
    if not pinned:
        monkeypatch.setattr(cloudflare, "ALGORITHM", "HS256")
    now = int(time.time())
    claims = {"email": people.erin.email, "aud": [AUDIENCE], "iss": team.url, "iat": now, "exp": now + 600}
    client = client_with(WRONG[f"key-confusion-{text}"](team, claims))

    if pinned:
        problem(client.get("/api/auth/me"), 403)
    else:
        assert me(client)["id"] == str(people.erin.pk)


def test_stranger_gets_in_nowhere_control(team: Team, people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the middleware a header is not looked at."""
    monkeypatch.setattr(cloudflare, "_recognise", lambda request: None)

    assert client_with(team.mint(email="stranger@example.com")).get("/auth/sign-in").status_code == 200


def test_clock_that_is_a_little_off_is_no_fault(team: Team, people: People) -> None:
    now = int(time.time())

    assert me(client_with(team.mint(email=people.erin.email, iat=now + 20, nbf=now + 20)))["id"] == str(people.erin.pk)
    assert me(client_with(team.mint(email=people.erin.email, exp=now - 20)))["id"] == str(people.erin.pk)


def test_cookie_alone_is_nothing(team: Team, people: People, settings: Settings) -> None:
    settings.CF_ACCESS_IS_SECOND_FACTOR = True
    client = Client()
    client.cookies["CF_Authorization"] = team.mint(email=people.erin.email)

    problem(client.get("/api/branches"), 401)
    assert client.get("/control/")["Location"].startswith("/auth/sign-in")
    assert not BrowserSession.objects.exists()


def test_without_the_setting_the_header_means_nothing(team: Team, people: People, settings: Settings) -> None:
    token = team.mint(email=people.erin.email)
    settings.CF_ACCESS_TEAM_URL = ""
    before = team.fetches()

    for assertion in (token, "rubbish"):
        problem(client_with(assertion).get("/api/branches"), 401)
        assert client_with(assertion).get("/control/").status_code == 302
    assert (team.fetches(), BrowserSession.objects.count()) == (before, 0)


def test_without_audiences_nobody_gets_in(team: Team, people: People, settings: Settings) -> None:
    settings.CF_ACCESS_AUDIENCES = []

    problem(client_with(team.mint(email=people.erin.email)).get("/api/branches"), 403)


@pytest.mark.parametrize("path", ["/admin/", "/admin/tenants/user/", "/control/"])
@pytest.mark.parametrize("configured", [True, False])
def test_back_office_is_shut_without_the_header_where_it_is_required(
    team: Team, people: People, settings: Settings, path: str, configured: bool
) -> None:
    settings.CF_ACCESS_REQUIRED = True
    if not configured:
        settings.CF_ACCESS_TEAM_URL = ""
    client = Client()
    sign_in(client, people.erin)

    assert client.get(path).status_code == 403
    assert client.get("/me/").status_code == 200
    assert Client().get("/auth/sign-in").status_code == 200


def test_back_office_opens_with_the_header_where_it_is_required(team: Team, people: People, settings: Settings) -> None:
    settings.CF_ACCESS_REQUIRED = True
    client = client_with(team.mint(email=people.erin.email))
    sign_in(client, people.erin)

    assert (client.get("/admin/").status_code, client.get("/control/").status_code) == (200, 200)


def test_closed_account_is_out_at_once(team: Team, people: People) -> None:
    client = client_with(team.mint(email=people.alice.email))
    before = client.get("/auth/second-factor").status_code
    User.objects.filter(pk=people.alice.pk).update(is_active=False)

    assert (before, client.get("/auth/second-factor").status_code) == (200, 403)


def test_what_theirs_is_stays_theirs(team: Team, people: People, settings: Settings) -> None:
    """Another chain's branch is nowhere in what Charlie sees through the same door."""
    settings.CF_ACCESS_IS_SECOND_FACTOR = True
    make_branch(chain=people.chain)

    assert branches(client_with(team.mint(email=people.charlie.email))) == {str(people.strange_branch.pk)}
