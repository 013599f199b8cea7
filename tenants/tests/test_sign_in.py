"""Coming in with a password, a code by mail or a one-time link; limits, next, sessions, forgeries."""

from collections.abc import Callable

import httpx
import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from django.test import Client
from pytest_django import Settings

from core.tests.fixtures import lose_counters
from core.tests.race import race
from tenants import forms, sign_in_limits
from tenants.models import BrowserSession, User
from tenants.tests.authenticators import code_of
from tenants.tests.factories import People, make_user
from tenants.tests.mailbox import PASSWORD, code_in, is_signed_in, make_known, other_than, received
from tenants.tests.signing_in import sign_in as sign_in_as

ALICE = "alice@example.com"
ELSEWHERE = [
    "https://evil.example/",
    "//evil.example",
    "/\\evil.example",
    "javascript:alert(1)",
    "http:///evil.example",
    "https:evil.example",
    "\x08//evil.example",
    "https://testserver@evil.example/",
]


def sign_in(client: Client, name: str, password: str = PASSWORD, **fields: str) -> int:
    return client.post("/auth/sign-in", {"login": name, "password": password, **fields}).status_code


def ask_code(client: Client, email: str = ALICE, **fields: str) -> str:
    """Where asking for a code by mail leads."""
    return client.post("/auth/code", {"email": email, **fields})["Location"]


def give_code(client: Client, code: str, **fields: str) -> tuple[int, str]:
    answer = client.post("/auth/code/confirm", {"code": code, **fields})
    return answer.status_code, answer.get("Location", "")


@pytest.mark.django_db
def test_password_signs_in_whatever_the_case_of_the_address(client: Client) -> None:
    make_known(ALICE)

    assert sign_in(client, "Alice@Example.com") == 302
    assert is_signed_in(client)


@pytest.mark.django_db
def test_sign_in_page_offers_every_way_and_says_what_browsers_may_fill_in(client: Client) -> None:
    page = client.get("/auth/sign-in", {"next": "/me/"}).content.decode()

    for part in (
        'autocomplete="username"',
        'autocomplete="current-password"',
        'href="/auth/code?next=/me/"',
        'href="/auth/phone?next=/me/"',
        'href="/auth/sign-up?next=/me/"',
        'href="/auth/password-reset?next=/me/"',
    ):
        assert part in page
    assert "Google" not in page


@pytest.mark.django_db
def test_sign_in_page_offers_google_where_it_is_set_up(client: Client, settings: Settings) -> None:
    settings.GOOGLE_CLIENT_ID = "cartwise"

    assert 'action="/auth/google"' in client.get("/auth/sign-in").content.decode()


@pytest.mark.django_db
def test_answer_is_the_same_for_wrong_passwords_and_unknown_addresses(client: Client) -> None:
    make_known(ALICE)

    answers = [
        client.post("/auth/sign-in", {"login": name, "password": "wrong"}).content.decode().replace(name, "NAME")
        for name in (ALICE, "nobody@example.com")
    ]

    tokens = [
        part.split('"')[0] for answer in answers for part in answer.split('name="csrfmiddlewaretoken" value="')[1:]
    ]
    for token in tokens:
        answers = [answer.replace(token, "TOKEN") for answer in answers]
    assert answers[0] == answers[1]
    assert "don&#x27;t belong together" in answers[0]


@pytest.mark.django_db
def test_password_of_an_address_nobody_proved_asks_for_a_code(client: Client, mail: httpx.Client) -> None:
    make_user(email=ALICE, password=PASSWORD)

    answer = client.post("/auth/sign-in", {"login": ALICE, "password": PASSWORD})

    assert answer["Location"] == "/auth/email/confirm"
    assert not is_signed_in(client)
    assert client.post("/auth/email/confirm", {"code": code_in(mail, ALICE)}).status_code == 302
    assert is_signed_in(client)
    assert EmailAddress.objects.get().verified
    # It was given in this session: it stays.
    assert User.objects.get(email=ALICE).check_password(PASSWORD)


@pytest.mark.django_db
def test_closed_account_gets_nowhere_and_says_so_only_to_who_knows_the_password(client: Client) -> None:
    make_known(ALICE, is_active=False)

    right = client.post("/auth/sign-in", {"login": ALICE, "password": PASSWORD})
    wrong = client.post("/auth/sign-in", {"login": ALICE, "password": "wrong"})

    assert right["Location"] == "/auth/inactive"
    assert "This account is closed" in client.get("/auth/inactive").content.decode()
    assert wrong.status_code == 200
    assert not is_signed_in(client)


@pytest.mark.django_db
def test_customer_without_a_password_does_not_sign_in_here(client: Client) -> None:
    make_user(phone="+972501234567")

    assert [sign_in(client, "+972501234567", password) for password in ("", "!")] == [200, 200]
    assert not is_signed_in(client)


# Limits


@pytest.mark.django_db
def test_tries_at_a_name_are_limited_even_with_the_right_password(client: Client) -> None:
    make_known(ALICE)
    for number in range(10):
        client.post("/auth/sign-in", {"login": ALICE, "password": "wrong"}, REMOTE_ADDR=f"10.0.{number}.1")

    refused = client.post("/auth/sign-in", {"login": "ALICE@example.com", "password": PASSWORD})

    assert refused.status_code == 429
    assert int(refused["Retry-After"]) > 3000
    assert not is_signed_in(client)


@pytest.mark.django_db
def test_tries_at_a_name_are_limited_control(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the limit guessing goes on."""
    monkeypatch.setattr("tenants.allauth_adapters.take_password_try", lambda **kwargs: None)
    make_known(ALICE)
    for _ in range(12):
        sign_in(client, ALICE, "wrong")

    assert sign_in(client, ALICE) == 302
    assert is_signed_in(client)


@pytest.mark.django_db
def test_tries_from_an_address_are_limited_over_all_names(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "allauth.account.auth_backends.AuthenticationBackend.authenticate", lambda *args, **kwargs: None
    )

    answers = [sign_in(client, f"person-{number}@example.com", "wrong") for number in range(31)]

    assert answers == [200] * 30 + [429]


@pytest.mark.django_db
def test_neighbours_of_an_ipv6_address_are_one(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "allauth.account.auth_backends.AuthenticationBackend.authenticate", lambda *args, **kwargs: None
    )

    answers = [
        client.post(
            "/auth/sign-in",
            {"login": f"person-{number}@example.com", "password": "wrong"},
            REMOTE_ADDR=f"2001:db8::{number + 1:x}",
        ).status_code
        for number in range(31)
    ]

    assert answers == [200] * 30 + [429]


@pytest.mark.django_db
def test_password_asked_once_more_and_old_password_are_tries_too(client: Client) -> None:
    alice = make_known(ALICE)
    sign_in_as(client, alice, second_factor=False)

    again = [client.post("/auth/confirm", {"password": "wrong"}).status_code for _ in range(5)]
    old = [
        client.post("/auth/password", {"oldpassword": "wrong", "password1": "another long one"}).status_code
        for _ in range(6)
    ]

    assert (again, old) == ([200] * 5, [200] * 5 + [429])


@pytest.mark.django_db
def test_codes_by_mail_to_an_address_are_limited_known_or_not(mail: httpx.Client) -> None:
    make_known(ALICE)

    for email in (ALICE, "nobody@example.com"):
        answers = [Client().post("/auth/code", {"email": email}).status_code for _ in range(6)]
        assert answers == [302] * 5 + [429]
    assert len(received(mail, ALICE)) == 5


@pytest.mark.django_db
def test_mails_from_an_address_are_limited_over_all_recipients(mail: httpx.Client) -> None:
    answers = [
        Client().post("/auth/code", {"email": f"person-{number}@example.com"}).status_code for number in range(31)
    ]

    assert answers == [302] * 30 + [429]


@pytest.mark.django_db
def test_resets_count_as_mails(mail: httpx.Client) -> None:
    make_known(ALICE)

    answers = [Client().post("/auth/password-reset", {"email": ALICE}).status_code for _ in range(6)]

    assert answers == [302] * 5 + [429]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("path", "fields"),
    [
        pytest.param("/auth/sign-in", {"login": ALICE, "password": PASSWORD}, id="password"),
        pytest.param("/auth/code", {"email": ALICE}, id="code"),
        pytest.param("/auth/password-reset", {"email": ALICE}, id="reset"),
        pytest.param("/auth/sign-up", {"email": "new@example.com", "password1": PASSWORD}, id="sign-up"),
    ],
)
def test_without_counters_nobody_gets_in(
    client: Client, mail: httpx.Client, monkeypatch: pytest.MonkeyPatch, path: str, fields: dict[str, str]
) -> None:
    make_known(ALICE)
    lose_counters(monkeypatch)

    answer = client.post(path, fields)

    assert answer.status_code == 503
    assert not is_signed_in(client)
    assert mail.get("/messages").json() == []
    assert not User.objects.filter(email="new@example.com").exists()


# Codes by mail


@pytest.mark.django_db
def test_code_by_mail_signs_in(client: Client, mail: httpx.Client) -> None:
    alice = make_known(ALICE)

    assert ask_code(client) == "/auth/code/confirm"
    page = client.get("/auth/code/confirm").content.decode()
    code = code_in(mail, ALICE)

    assert 'autocomplete="one-time-code"' in page
    assert 'inputmode="numeric"' in page
    assert give_code(client, code) == (302, "/auth/home")
    assert client.session["_auth_user_id"] == str(alice.pk)
    assert client.session["account_authentication_methods"][-1]["method"] == "code"


@pytest.mark.django_db
@pytest.mark.parametrize("digits", ["٠١٢٣٤٥٦٧٨٩", "۰۱۲۳۴۵۶۷۸۹"])
def test_code_may_be_typed_in_the_digits_of_its_reader(client: Client, mail: httpx.Client, digits: str) -> None:
    make_known(ALICE)
    ask_code(client)

    typed = "".join(digits[int(digit)] for digit in code_in(mail, ALICE))

    assert give_code(client, typed) == (302, "/auth/home")


@pytest.mark.django_db
def test_code_goes_to_unknown_addresses_as_a_mail_without_one(client: Client, mail: httpx.Client) -> None:
    known, unknown = Client(), Client()
    make_known(ALICE)

    answers = [
        (ask_code(browser, email), browser.get("/auth/code/confirm").status_code, give_code(browser, "000000x")[0])
        for browser, email in ((known, ALICE), (unknown, "nobody@example.com"))
    ]

    assert answers[0] == answers[1]
    assert "has no account" in received(mail, "nobody@example.com")[0]["text"]


@pytest.mark.django_db
def test_code_is_of_its_browser_and_works_once(client: Client, mail: httpx.Client) -> None:
    make_known(ALICE)
    ask_code(client)
    code = code_in(mail, ALICE)

    stranger = Client()
    ask_code(stranger, "nobody@example.com")
    assert give_code(stranger, code)[0] == 200
    assert give_code(client, code)[0] == 302
    client.post("/auth/sign-out")
    assert give_code(client, code) == (302, "/auth/code")
    assert not is_signed_in(client)
    assert not is_signed_in(stranger)


@pytest.mark.django_db
def test_code_dies_of_five_wrong_guesses(client: Client, mail: httpx.Client) -> None:
    make_known(ALICE)
    ask_code(client)
    code = code_in(mail, ALICE)

    wrong = [give_code(client, other)[0] for other in other_than(code, 5)]

    assert wrong == [200] * 4 + [302]
    give_code(client, code)
    assert not is_signed_in(client)


def guess_together(mail: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> int:
    """Twenty wrong guesses of one browser at one moment; how many of them were compared with the code."""
    make_known(ALICE)
    browser = Client()
    ask_code(browser)
    wrong = iter(other_than(code_in(mail, ALICE), 20))
    compared: list[str] = []
    compare: Callable[..., bool] = forms.allauth.compare_user_code

    def note(*, actual: str, expected: str) -> bool:
        compared.append(actual)
        return compare(actual=actual, expected=expected)

    def guess() -> None:
        one = Client()
        one.cookies = browser.cookies
        give_code(one, next(wrong))

    monkeypatch.setattr(forms.allauth, "compare_user_code", note)
    race(guess, times=20)
    return len(compared)


@pytest.mark.django_db(transaction=True)
def test_parallel_guesses_all_count(mail: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    assert guess_together(mail, monkeypatch) == sign_in_limits.MAX_GUESSES


@pytest.mark.django_db(transaction=True)
def test_parallel_guesses_all_count_control(mail: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """The session's own count is read before the others write it: without ours more than five are compared."""
    monkeypatch.setattr(forms, "take_code_guess", lambda **kwargs: None)

    assert guess_together(mail, monkeypatch) > sign_in_limits.MAX_GUESSES


@pytest.mark.django_db
def test_first_code_proves_an_address_that_staff_set(people: People, client: Client, mail: httpx.Client) -> None:
    bob = people.bob
    assert bob.email
    ask_code(client, bob.email)

    assert give_code(client, code_in(mail, bob.email))[0] == 302

    assert is_signed_in(client)
    assert EmailAddress.objects.values_list("user", "email", "verified", "primary").get() == (
        bob.pk,
        bob.email,
        True,
        True,
    )


@pytest.mark.django_db
def test_start_again_leads_back_to_the_page_that_asks(client: Client, mail: httpx.Client) -> None:
    make_known(ALICE)
    ask_code(client)

    assert client.get("/auth/code")["Location"] == "/auth/code/confirm"
    assert client.post("/auth/sign-out-now", {"next": "/auth/code"})["Location"] == "/auth/code"
    assert client.get("/auth/code").status_code == 200


# Where one is led, sessions, forgeries


@pytest.mark.django_db
@pytest.mark.parametrize("target", ELSEWHERE)
def test_sign_in_and_out_lead_nowhere_else(client: Client, mail: httpx.Client, target: str) -> None:
    alice = make_known(ALICE)

    inward = client.post("/auth/sign-in", {"login": ALICE, "password": PASSWORD, "next": target})
    signed_in = client.get("/auth/sign-in", {"next": target})
    outward = client.post("/auth/sign-out", {"next": target})
    sign_in_as(client, alice)
    out_now = client.post("/auth/sign-out-now", {"next": target})
    asked = ask_code(client, next=target)
    coded = give_code(client, code_in(mail, ALICE), next=target)[1]

    assert (inward["Location"], signed_in["Location"], outward["Location"], out_now["Location"]) == (
        "/auth/home",
        "/auth/home",
        "/",
        "/",
    )
    assert (asked, coded) == ("/auth/code/confirm", "/auth/home")


@pytest.mark.django_db
def test_other_hosts_of_ours_are_elsewhere_too(client: Client, settings: Settings) -> None:
    settings.ALLOWED_HOSTS = ["testserver", "other.example"]
    settings.CSRF_TRUSTED_ORIGINS = ["https://third.example"]
    make_known(ALICE)

    for target in ("http://other.example/", "https://third.example/"):
        answer = client.post("/auth/sign-in", {"login": ALICE, "password": PASSWORD, "next": target})
        assert answer["Location"] == "/auth/home"
        client.post("/auth/sign-out")


@pytest.mark.django_db
def test_sign_in_leads_on_within_the_site(client: Client, mail: httpx.Client) -> None:
    make_known(ALICE)

    by_password = client.post("/auth/sign-in", {"login": ALICE, "password": PASSWORD, "next": "/me/?page=2"})
    client.post("/auth/sign-out")
    asked = ask_code(client, next="/me/")

    assert by_password["Location"] == "/me/?page=2"
    assert asked == "/auth/code/confirm?next=%2Fme%2F"
    assert give_code(client, code_in(mail, ALICE), next="/me/") == (302, "/me/")


@pytest.mark.django_db
def test_session_is_new_after_sign_in(client: Client, mail: httpx.Client) -> None:
    make_known(ALICE)
    ask_code(client)
    before = client.cookies["sessionid"].value

    give_code(client, code_in(mail, ALICE))

    assert client.cookies["sessionid"].value != before
    fixed = Client()
    fixed.cookies["sessionid"] = before
    assert not is_signed_in(fixed)
    assert BrowserSession.objects.filter(user__isnull=False).count() == 1


@pytest.mark.django_db
@pytest.mark.parametrize(
    "path",
    [
        "/auth/sign-in",
        "/auth/sign-up",
        "/auth/code",
        "/auth/code/confirm",
        "/auth/password-reset",
        "/auth/password-reset/confirm",
        "/auth/password-reset/complete",
        "/auth/email",
        "/auth/email/confirm",
        "/auth/password",
        "/auth/password/set",
        "/auth/confirm",
        "/auth/phone",
        "/auth/phone/code",
        "/auth/phone/resend",
        "/auth/sign-out",
        "/auth/sign-out-now",
        "/auth/google",
        "/auth/google/connections",
        "/auth/link/token",
    ],
)
def test_forged_posts_are_refused(path: str) -> None:
    assert Client(enforce_csrf_checks=True).post(path, {"email": ALICE}).status_code == 403


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/auth/sign-in", "/auth/code", "/auth/sign-up", "/auth/password-reset"])
@pytest.mark.parametrize("typed", ["\x00", "a" * 5000, "a@b@c", "שלום", "' OR 1=1 --"])
def test_nonsense_is_a_wrong_entry_and_no_error(client: Client, path: str, typed: str) -> None:
    fields = {"login": typed, "email": typed, "password": typed, "password1": typed, "name": typed}

    assert client.post(path, fields).status_code == 200


# One-time links, with a second factor


def test_link_of_somebody_with_a_second_factor_asks_for_it(people: People, client: Client) -> None:
    from tenants.tests.test_links import make_link

    secret = generate_totp_secret()
    TOTP.activate(people.alice, secret)
    token = make_link(people.alice, next_path="/control/")

    linked = client.post(f"/auth/link/{token}")
    before = is_signed_in(client)
    given = client.post("/auth/2fa/give", {"code": code_of(secret)})

    assert (linked["Location"], before) == ("/auth/2fa/give", False)
    assert given["Location"] == "/control/"
    assert is_signed_in(client)
    assert client.get("/control/").status_code == 200


def test_link_of_a_manager_without_a_second_factor_opens_no_back_office(people: People, client: Client) -> None:
    from tenants.tests.test_links import make_link

    client.post(f"/auth/link/{make_link(people.alice)}")

    assert is_signed_in(client)
    assert client.get("/control/")["Location"].startswith("/auth/second-factor")
