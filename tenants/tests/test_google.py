"""Signing in with Google, against the simulator over the wire, in its moods."""

from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from allauth.socialaccount.models import SocialAccount
from django.test import Client
from pytest_django import Settings

from tenants import google as ours
from tenants.google import GoogleAdapter
from tenants.models import Grant, User
from tenants.tests.factories import People, make_user
from tenants.tests.mailbox import PASSWORD, is_signed_in, make_known
from tenants.tests.signing_in import sign_in as sign_in_as

ALICE = "alice@example.com"
pytestmark = pytest.mark.django_db


@pytest.fixture
def google(google_process: httpx.Client, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> httpx.Client:
    """The simulator the product is set up with; nothing misbehaves."""
    google_process.delete("/faults").raise_for_status()
    url = str(google_process.base_url).rstrip("/")
    settings.GOOGLE_CLIENT_ID = "cartwise"
    provider = {**settings.SOCIALACCOUNT_PROVIDERS["google"]}
    provider["APPS"] = [{"client_id": "cartwise", "secret": "simulated", "key": ""}]
    settings.SOCIALACCOUNT_PROVIDERS = {"google": provider}
    monkeypatch.setattr(GoogleAdapter, "authorize_url", f"{url}/authorize")
    monkeypatch.setattr(GoogleAdapter, "access_token_url", f"{url}/token")
    monkeypatch.setattr(GoogleAdapter, "id_token_issuer", url)
    monkeypatch.setattr(GoogleAdapter, "certs_url", f"{url}/certs")
    return google_process


def fault(google: httpx.Client, kind: str) -> None:
    google.post("/faults", json={"kind": kind}).raise_for_status()


def begin(client: Client, **fields: str) -> dict[str, str]:
    """What the browser is sent to Google with."""
    return dict(parse_qsl(urlsplit(client.post("/auth/google", fields)["Location"]).query))


def choose(google: httpx.Client, asked: dict[str, str], email: str, name: str = "") -> str:
    """Where Google sends the browser back to, once its person said who they are."""
    answer = google.post("/authorize", data={**asked, "email": email, "name": name})
    assert answer.status_code == 303, answer.text
    back = urlsplit(answer.headers["Location"])
    assert (back.netloc, back.path) == ("testserver", "/auth/google/callback")
    return f"{back.path}?{back.query}"


def come_back(client: Client, google: httpx.Client, email: str, **fields: str) -> tuple[int, str]:
    answer = client.get(choose(google, begin(client, **fields), email, "Alice Levi"))
    return answer.status_code, answer.get("Location", "")


def test_stranger_becomes_a_customer_without_grants(client: Client, google: httpx.Client) -> None:
    assert come_back(client, google, "New@Gmail.Example", next="/me/") == (302, "/me/")

    user = User.objects.get()
    assert (user.email, user.name, user.has_usable_password()) == ("new@gmail.example", "Alice Levi", False)
    assert client.session["_auth_user_id"] == str(user.pk)
    assert EmailAddress.objects.values_list("email", "verified", "primary").get() == ("new@gmail.example", True, True)
    assert SocialAccount.objects.get().extra_data == {"email": "new@gmail.example"}
    assert not Grant.objects.exists()


def test_asks_with_state_and_pkce_and_for_nothing_more_than_who(client: Client, google: httpx.Client) -> None:
    asked = begin(client)

    assert set(asked) == {
        "client_id",
        "redirect_uri",
        "scope",
        "response_type",
        "state",
        "code_challenge",
        "code_challenge_method",
    }
    assert sorted(asked["scope"].split()) == ["email", "openid", "profile"]
    assert asked["code_challenge_method"] == "S256"


def test_verified_address_signs_in_to_the_account_it_has_and_links_it(
    people: People, client: Client, google: httpx.Client
) -> None:
    assert people.bob.email
    assert come_back(client, google, people.bob.email)[0] == 302

    assert client.session["_auth_user_id"] == str(people.bob.pk)
    assert SocialAccount.objects.get().user == people.bob
    assert EmailAddress.objects.get().verified
    # A password alone, or Google's: a manager's grants wait for the second factor.
    assert client.get("/control/")["Location"].startswith("/auth/second-factor")


def test_second_visit_finds_the_link(client: Client, google: httpx.Client) -> None:
    come_back(client, google, ALICE)
    again = Client()
    come_back(again, google, ALICE)

    assert again.session["_auth_user_id"] == client.session["_auth_user_id"]
    assert (User.objects.count(), SocialAccount.objects.count()) == (1, 1)


def test_person_with_a_second_factor_is_asked_for_it(people: People, client: Client, google: httpx.Client) -> None:
    TOTP.activate(people.alice, generate_totp_secret())
    assert people.alice.email

    assert come_back(client, google, people.alice.email) == (302, "/auth/2fa/give")
    assert not is_signed_in(client)


def test_password_of_somebody_who_waited_with_the_address_is_forgotten(client: Client, google: httpx.Client) -> None:
    make_user(email=ALICE, password=PASSWORD)

    come_back(client, google, ALICE)

    assert is_signed_in(client)
    assert not User.objects.get().has_usable_password()


def test_password_of_a_proved_address_stays(client: Client, google: httpx.Client) -> None:
    make_known(ALICE)

    come_back(client, google, ALICE)

    assert User.objects.get().check_password(PASSWORD)


def test_closed_account_gets_nowhere(client: Client, google: httpx.Client) -> None:
    make_known(ALICE, is_active=False)

    assert come_back(client, google, ALICE) == (302, "/auth/inactive")
    assert not is_signed_in(client)
    assert not SocialAccount.objects.exists()


def test_account_that_was_closed_after_linking_gets_nowhere(client: Client, google: httpx.Client) -> None:
    come_back(Client(), google, ALICE)
    User.objects.update(is_active=False)

    assert come_back(client, google, ALICE) == (302, "/auth/inactive")
    assert not is_signed_in(client)


def take_over(google: httpx.Client, kind: str) -> bool:
    """Somebody tells Google that alice's address is theirs, which Google has not verified. Are they alice now?"""
    make_known(ALICE)
    fault(google, kind)
    thief = Client()
    come_back(thief, google, ALICE)
    return is_signed_in(thief)


@pytest.mark.parametrize("kind", ["unverified", "verified_word"])
def test_unverified_address_takes_nothing_over(google: httpx.Client, kind: str) -> None:
    assert not take_over(google, kind)
    assert not SocialAccount.objects.exists()


def test_unverified_address_takes_nothing_over_control(google: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ignored, `email_verified` false is a takeover."""
    decode = GoogleAdapter._decode_id_token
    monkeypatch.setattr(GoogleAdapter, "_decode_id_token", lambda *args: {**decode(*args), "email_verified": True})

    assert take_over(google, "unverified")


@pytest.mark.parametrize("kind", ["unverified", "verified_word"])
def test_unverified_stranger_gets_no_account(client: Client, google: httpx.Client, kind: str) -> None:
    fault(google, kind)

    assert come_back(client, google, "new@gmail.example")[0] == 403
    assert not User.objects.exists()


@pytest.mark.parametrize(
    "kind",
    [
        "wrong_audience",
        "wrong_issuer",
        "wrong_key",
        "unsigned",
        "hmac",
        "expired",
        "no_identity",
        "http_500",
        "wrong_state",
    ],
)
def test_whatever_google_does_wrong_signs_nobody_in(client: Client, google: httpx.Client, kind: str) -> None:
    fault(google, kind)

    answer = client.get(choose(google, begin(client), ALICE))

    assert answer.status_code == 401
    assert "did not work" in answer.content.decode()
    assert not is_signed_in(client)
    assert not User.objects.exists()


@pytest.mark.parametrize("kind", ["wrong_key", "unsigned", "wrong_audience", "wrong_issuer", "expired"])
def test_whatever_google_does_wrong_control(
    client: Client, google: httpx.Client, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """An id_token that is only read lets each of them in."""
    read = {"verify_signature": False, "verify_aud": False, "verify_iss": False, "verify_exp": False}
    decode = ours.jwt.decode
    monkeypatch.setattr(GoogleAdapter, "_decode_id_token", lambda adapter, app, token: decode(token, options=read))
    fault(google, kind)

    assert come_back(client, google, ALICE)[0] == 302
    assert is_signed_in(client)


def test_clock_that_is_a_little_off_is_no_fault(client: Client, google: httpx.Client) -> None:
    fault(google, "ahead")

    assert come_back(client, google, ALICE)[0] == 302
    assert is_signed_in(client)


def test_clock_that_is_a_little_off_is_no_fault_control(
    client: Client, google: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ours, "LEEWAY", 0)
    fault(google, "ahead")

    assert come_back(client, google, ALICE)[0] == 401


def test_google_that_hangs_is_given_up(client: Client, google: httpx.Client, settings: Settings) -> None:
    settings.SOCIALACCOUNT_REQUESTS_TIMEOUT = 0.5
    fault(google, "slow")

    assert come_back(client, google, ALICE)[0] == 401
    assert not is_signed_in(client)


def test_google_that_hangs_takes_only_some_of_the_webs_threads(client: Client, google: httpx.Client) -> None:
    back = choose(google, begin(client), ALICE)
    for _ in range(4):
        assert ours._ASKING.acquire(blocking=False)
    try:
        assert client.get(back).status_code == 503
    finally:
        for _ in range(4):
            ours._ASKING.release()
    assert client.get(back).status_code == 302


def test_saying_no_at_google_says_so(client: Client, google: httpx.Client) -> None:
    assert come_back(client, google, "") == (302, "/auth/google/cancelled")
    assert "You did not sign in" in client.get("/auth/google/cancelled").content.decode()


def test_code_is_used_once(client: Client, google: httpx.Client) -> None:
    back = choose(google, begin(client), ALICE)

    first = client.get(back)
    client.post("/auth/sign-out")
    again = client.get(back)

    assert (first.status_code, again.status_code) == (302, 401)
    assert not is_signed_in(client)


def test_answer_for_another_browser_is_refused(client: Client, google: httpx.Client) -> None:
    """Somebody sends a link with their own code: nobody else is signed in as them."""
    back = choose(google, begin(Client()), "thief@gmail.example")

    assert client.get(back).status_code == 401
    assert not is_signed_in(client)


def test_code_of_another_browser_fails_at_pkce(client: Client, google: httpx.Client) -> None:
    stolen = dict(parse_qsl(urlsplit(choose(google, begin(Client()), ALICE)).query))["code"]
    state = begin(client)["state"]

    assert client.get("/auth/google/callback", {"code": stolen, "state": state}).status_code == 401
    assert not is_signed_in(client)


def test_looking_at_the_address_begins_nothing(client: Client, google: httpx.Client) -> None:
    assert client.get("/auth/google").status_code == 200
    assert "socialaccount_states" not in client.session


@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example", "/\\evil.example"])
def test_google_leads_nowhere_else(client: Client, google: httpx.Client, target: str) -> None:
    assert come_back(client, google, ALICE, next=target) == (302, "/auth/home")


def test_session_is_new_after_google(client: Client, google: httpx.Client) -> None:
    back = choose(google, begin(client), ALICE)
    before = client.cookies["sessionid"].value

    client.get(back)

    assert client.cookies["sessionid"].value != before


def test_without_a_client_id_there_is_no_google(client: Client) -> None:
    paths = ["/auth/google", "/auth/google/callback", "/auth/google/connections"]

    assert [client.get(path).status_code for path in paths] == [404] * 3
    assert client.post("/auth/google").status_code == 404


def test_signed_in_customer_links_and_unlinks(client: Client, google: httpx.Client) -> None:
    alice = make_known(ALICE)
    sign_in_as(client, alice, second_factor=False)

    linked = come_back(client, google, "other@gmail.example", process="connect")
    shown = client.get("/auth/google/connections").content.decode()
    account = SocialAccount.objects.get()
    client.post("/auth/google/connections", {"account": account.pk})

    assert linked == (302, "/auth/google/connections")
    assert "other@gmail.example" in shown
    assert (account.user, User.objects.get().email) == (alice, ALICE)
    assert not SocialAccount.objects.exists()


def test_account_of_google_that_is_linked_to_somebody_stays_theirs(client: Client, google: httpx.Client) -> None:
    come_back(Client(), google, "first@gmail.example")
    sign_in_as(client, make_known(ALICE), second_factor=False)

    come_back(client, google, "first@gmail.example", process="connect")

    assert SocialAccount.objects.get().user.email == "first@gmail.example"


def test_token_a_browser_brings_is_no_way_in(google: httpx.Client) -> None:
    """Google's one-tap posts an id_token from anywhere; no address here takes one."""
    assert Client().post("/auth/google/token", {"credential": "x"}).status_code == 404
