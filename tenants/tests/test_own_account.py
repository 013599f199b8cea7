"""One's own account: a password that is forgotten, changed or first; an address that is replaced."""

import time
from datetime import timedelta

import httpx
import pytest
from allauth.account.models import EmailAddress
from allauth.socialaccount.models import SocialAccount
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from tenants.models import PersonalToken, User
from tenants.requester import METHODS
from tenants.services import create_personal_token, create_sign_in_link, update_person
from tenants.services.sessions import issue_tokens, user_of_token
from tenants.tests.authenticators import code_of, give_app
from tenants.tests.factories import People, make_phone, make_user
from tenants.tests.mailbox import PASSWORD, code_in, is_signed_in, make_known, received
from tenants.tests.signing_in import sign_in as sign_in_as
from tenants.tests.test_second_factor import age_proofs

ALICE = "alice@example.com"


def sign_in(client: Client, name: str, password: str) -> int:
    return client.post("/auth/sign-in", {"login": name, "password": password}).status_code


def ask_code(client: Client, email: str) -> str:
    """Where asking for a code by mail leads."""
    return client.post("/auth/code", {"email": email})["Location"]


# Passwords


@pytest.mark.django_db
def test_forgotten_password_is_set_anew_with_a_code(client: Client, mail: httpx.Client) -> None:
    alice = make_known(ALICE)
    elsewhere = Client()
    sign_in_as(elsewhere, alice, second_factor=False)

    asked = client.post("/auth/password-reset", {"email": ALICE})
    confirmed = client.post("/auth/password-reset/confirm", {"code": code_in(mail, ALICE)})
    weak = client.post("/auth/password-reset/complete", {"password1": "password"})
    done = client.post("/auth/password-reset/complete", {"password1": "another long one"})

    assert [answer["Location"] for answer in (asked, confirmed, done)] == [
        "/auth/password-reset/confirm",
        "/auth/password-reset/complete",
        "/auth/password-reset/done",
    ]
    assert weak.status_code == 200
    assert not is_signed_in(client)
    assert elsewhere.get("/auth/email")["Location"].startswith("/auth/sign-in")
    assert sign_in(client, ALICE, "another long one") == 302
    assert is_signed_in(client)
    assert received(mail, ALICE)[0]["subject"] == "Your password was changed"
    assert User.objects.get().token_version == alice.token_version + 1


@pytest.mark.django_db
def test_new_password_needs_the_code_first(client: Client, mail: httpx.Client) -> None:
    make_known(ALICE)
    client.post("/auth/password-reset", {"email": ALICE})

    skipped = client.post("/auth/password-reset/complete", {"password1": "another long one"})

    assert skipped["Location"] == "/auth/password-reset/confirm"
    assert User.objects.get().check_password(PASSWORD)


@pytest.mark.django_db
def test_reset_answers_the_same_for_unknown_addresses(mail: httpx.Client) -> None:
    make_known(ALICE)

    answers = []
    for email in (ALICE, "nobody@example.com"):
        browser = Client()
        asked = browser.post("/auth/password-reset", {"email": email})
        page = browser.get("/auth/password-reset/confirm")
        wrong = [browser.post("/auth/password-reset/confirm", {"code": "x"}).status_code for _ in range(5)]
        answers.append((asked["Location"], page.status_code, wrong))

    assert answers[0] == answers[1]


@pytest.mark.django_db
def test_reset_proves_an_address_that_staff_set(people: People, client: Client, mail: httpx.Client) -> None:
    bob = people.bob
    assert bob.email
    client.post("/auth/password-reset", {"email": bob.email})
    client.post("/auth/password-reset/confirm", {"code": code_in(mail, bob.email)})
    client.post("/auth/password-reset/complete", {"password1": "another long one"})

    assert sign_in(client, bob.email, "another long one") == 302
    assert is_signed_in(client)


@pytest.mark.django_db
def test_changed_password_ends_every_session(client: Client, mail: httpx.Client) -> None:
    alice = make_known(ALICE)
    elsewhere = Client()
    for browser in (client, elsewhere):
        sign_in_as(browser, alice, second_factor=False)

    changed = client.post("/auth/password", {"oldpassword": PASSWORD, "password1": "another long one"})

    assert changed["Location"] == "/auth/sign-in"
    for browser in (client, elsewhere):
        assert browser.get("/auth/email")["Location"].startswith("/auth/sign-in")
    assert sign_in(client, ALICE, "another long one") == 302


@pytest.mark.django_db
def test_first_password_may_be_set_by_customers(client: Client, mail: httpx.Client) -> None:
    alice = make_known(ALICE, password=None)
    sign_in_as(client, alice, second_factor=False, method="code")

    assert client.get("/auth/password")["Location"] == "/auth/password/set"
    assert client.post("/auth/password/set", {"password1": "another long one"})["Location"] == "/auth/sign-in"
    assert sign_in(client, ALICE, "another long one") == 302


@pytest.mark.parametrize("path", ["/auth/password/set", "/auth/email", "/auth/google"])
def test_phone_of_a_manager_changes_no_way_in(people: People, client: Client, settings: Settings, path: str) -> None:
    """With a SIM card taken over and an address of their own a thief would set up the second factor."""
    settings.GOOGLE_CLIENT_ID = "cartwise"
    sign_in_as(client, people.alice, second_factor=False, method="phone")

    answer = client.post(path, {"password1": "another long one", "email": "thief@example.com", "action_add": ""})

    assert answer["Location"].startswith("/auth/second-factor")
    assert not User.objects.get(pk=people.alice.pk).has_usable_password()


@pytest.mark.django_db
def test_password_alone_changes_no_password_of_who_has_a_second_factor(client: Client, mail: httpx.Client) -> None:
    alice = make_known(ALICE)
    secret = give_app(alice)
    sign_in_as(client, alice, second_factor=False)
    given = {"oldpassword": PASSWORD, "password1": "another long one"}

    refused = client.post("/auth/password", given)
    before = User.objects.get().check_password(PASSWORD)
    client.post("/auth/2fa/confirm", {"code": code_of(secret)})
    changed = client.post("/auth/password", given)

    assert (refused["Location"], before) == ("/auth/2fa/confirm?next=%2Fauth%2Fpassword", True)
    assert changed["Location"] == "/auth/sign-in"
    assert User.objects.get().check_password("another long one")


@pytest.mark.django_db
def test_password_is_typed_once_to_change_it_after_a_while(client: Client, mail: httpx.Client) -> None:
    """The page asks for it itself."""
    sign_in_as(client, make_known(ALICE), second_factor=False)
    age_proofs(client)

    changed = client.post("/auth/password", {"oldpassword": PASSWORD, "password1": "another long one"})

    assert changed["Location"] == "/auth/sign-in"


@pytest.mark.django_db
def test_strangers_password_is_forgotten_by_a_reset_that_is_left_halfway(client: Client, mail: httpx.Client) -> None:
    Client().post("/auth/sign-up", {"email": ALICE, "password1": PASSWORD})
    client.post("/auth/password-reset", {"email": ALICE})

    client.post("/auth/password-reset/confirm", {"code": code_in(mail, ALICE)})

    assert sign_in(stranger := Client(), ALICE, PASSWORD) == 200
    assert not is_signed_in(stranger)


# Changing the address


@pytest.mark.django_db
def test_new_address_counts_once_its_code_came_back(client: Client, mail: httpx.Client) -> None:
    alice = make_known(ALICE, password=None)
    sign_in_as(client, alice, second_factor=False, method="code")

    asked = client.post("/auth/email", {"email": "New@Example.com", "action_add": ""})
    before = User.objects.get().email
    done = client.post("/auth/email/confirm", {"code": code_in(mail, "new@example.com")})

    assert asked["Location"] == "/auth/email/confirm"
    assert before == ALICE
    assert done.status_code == 302
    assert User.objects.get().email == "new@example.com"
    assert list(EmailAddress.objects.values_list("email", "verified", "primary")) == [("new@example.com", True, True)]
    assert "new@example.com" in received(mail, ALICE)[0]["text"]
    assert ask_code(Client(), ALICE) == "/auth/code/confirm"
    assert "has no account" in received(mail, ALICE)[0]["text"]


@pytest.mark.django_db
def test_new_address_needs_the_password_once_more_after_a_while(client: Client, mail: httpx.Client) -> None:
    sign_in_as(client, make_known(ALICE), second_factor=False)
    session = client.session
    session[METHODS] = [{"method": "password", "at": time.time() - 3600}]
    session.save()

    answer = client.post("/auth/email", {"email": "new@example.com", "action_add": ""})

    assert answer["Location"].startswith("/auth/confirm?next=")
    assert mail.get("/messages").json() == []


def change_address_with_an_old_sign_in(mail: httpx.Client, method: str) -> str | None:
    """Somebody finds a browser that was signed in weeks ago; the address of the account afterwards."""
    found = Client()
    dora = make_known("dora@example.com", password=None, phone="+972501234567")
    sign_in_as(found, dora, second_factor=False, method=method)
    age_proofs(found, 20 * 86400)
    found.post("/auth/email", {"email": "thief@example.com", "action_add": ""})
    if mail.get("/messages", params={"to": "thief@example.com"}).json():
        found.post("/auth/email/confirm", {"code": code_in(mail, "thief@example.com")})
    return User.objects.get().email


@pytest.mark.django_db
@pytest.mark.parametrize("method", ["phone", "code"])
def test_old_sign_in_changes_no_address(mail: httpx.Client, method: str) -> None:
    assert change_address_with_an_old_sign_in(mail, method) == "dora@example.com"


@pytest.mark.django_db
def test_old_sign_in_changes_no_address_control(mail: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing else asks: without password and factor there is nothing allauth could ask for."""
    monkeypatch.setattr("tenants.views.second_factor.missing_proof", lambda *args, **kwargs: None)

    assert change_address_with_an_old_sign_in(mail, "phone") == "thief@example.com"


@pytest.mark.django_db
def test_address_of_another_account_stays_theirs(client: Client, mail: httpx.Client) -> None:
    """Whoever reads its mail is told so; nobody else learns that it has an account."""
    make_user(email="staff@example.com")
    alice = make_known(ALICE, password=None)
    sign_in_as(client, alice, second_factor=False, method="code")

    asked = client.post("/auth/email", {"email": "staff@example.com", "action_add": ""})
    done = client.post("/auth/email/confirm", {"code": code_in(mail, "staff@example.com")}, follow=True)

    assert asked["Location"] == "/auth/email/confirm"
    assert "belongs to another account" in done.content.decode()
    assert User.objects.get(pk=alice.pk).email == ALICE
    assert EmailAddress.objects.get(verified=True).email == ALICE


@pytest.mark.django_db
def test_address_can_be_replaced_but_not_taken_away(client: Client) -> None:
    alice = make_known(ALICE, password=None)
    sign_in_as(client, alice, second_factor=False, method="code")

    client.post("/auth/email", {"email": ALICE, "action_remove": ""})

    assert User.objects.get().email == ALICE
    assert EmailAddress.objects.get().verified


def test_address_that_staff_replaced_signs_nobody_in(people: People, client: Client, mail: httpx.Client) -> None:
    bob = make_known("old@example.com")
    SocialAccount.objects.create(user=bob, provider="google", uid="1")

    update_person(user=bob, email="right@example.com", phone=None, name="", language="en", actor=people.erin)
    ask_code(client, "old@example.com")

    assert "has no account" in received(mail, "old@example.com")[0]["text"]
    assert not SocialAccount.objects.exists()
    ask_code(Client(), "right@example.com")
    assert code_in(mail, "right@example.com")


# Whoever read the old address, after staff replaced it


def replace_address(people: People, user: User) -> None:
    update_person(user=user, email="right@example.com", phone=None, name="", language="en", actor=people.erin)


def addresses(user: User) -> tuple[str | None, list[str]]:
    """The account's, and those that are proved."""
    user.refresh_from_db()
    return user.email, list(EmailAddress.objects.filter(verified=True).values_list("email", flat=True))


def test_code_sent_to_the_replaced_address_signs_nobody_in(people: People, client: Client, mail: httpx.Client) -> None:
    bob = make_known("old@example.com")
    ask_code(client, "old@example.com")
    replace_address(people, bob)

    answer = client.post("/auth/code/confirm", {"code": code_in(mail, "old@example.com")})

    assert (answer.status_code, is_signed_in(client)) == (400, False)
    assert addresses(bob) == ("right@example.com", [])
    assert "account_authentication_methods" not in client.session
    assert client.get("/auth/code/confirm")["Location"] == "/auth/code"


def test_code_sent_to_the_replaced_address_control(
    people: People, client: Client, mail: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless it is compared, its reader takes the account back."""
    monkeypatch.setattr("tenants.views.codes.require_still_theirs", lambda user, email: None)
    bob = make_known("old@example.com")
    ask_code(client, "old@example.com")
    replace_address(people, bob)

    client.post("/auth/code/confirm", {"code": code_in(mail, "old@example.com")})

    assert is_signed_in(client)
    assert addresses(bob) == ("old@example.com", ["old@example.com"])


@pytest.mark.parametrize("confirmed_before", [True, False])
def test_reset_begun_at_the_replaced_address_sets_no_password(
    people: People, client: Client, mail: httpx.Client, confirmed_before: bool
) -> None:
    bob = make_known("old@example.com")
    client.post("/auth/password-reset", {"email": "old@example.com"})
    confirm = "/auth/password-reset/confirm", {"code": code_in(mail, "old@example.com")}
    if confirmed_before:
        client.post(*confirm)
    replace_address(people, bob)

    if not confirmed_before:
        assert client.post(*confirm).status_code == 400
    client.post("/auth/password-reset/complete", {"password1": "another long one"})

    assert addresses(bob) == ("right@example.com", [])
    assert bob.check_password(PASSWORD)


def test_sign_in_that_waits_for_the_replaced_address_proves_nothing(
    people: People, client: Client, mail: httpx.Client
) -> None:
    """Somebody signed up with it, and types the code after staff gave the account another one."""
    client.post("/auth/sign-up", {"email": "old@example.com", "password1": PASSWORD})
    bob = User.objects.get(email="old@example.com")
    replace_address(people, bob)

    client.post("/auth/email/confirm", {"code": code_in(mail, "old@example.com")})

    assert not is_signed_in(client)
    assert addresses(bob) == ("right@example.com", [])


def prove_as_another(people: People, client: Client, mail: httpx.Client) -> User:
    """The same, but the code is typed after somebody else has signed in in that browser; whose account it was."""
    client.post("/auth/sign-up", {"email": "old@example.com", "password1": PASSWORD})
    bob = User.objects.get(email="old@example.com")
    replace_address(people, bob)
    sign_in_as(client, make_user(phone=make_phone()), second_factor=False, method="phone")

    client.post("/auth/email/confirm", {"code": code_in(mail, "old@example.com")})
    return bob


def test_code_begun_by_another_account_proves_nothing(people: People, client: Client, mail: httpx.Client) -> None:
    bob = prove_as_another(people, client, mail)

    assert addresses(bob) == ("right@example.com", [])


def test_code_begun_by_another_account_proves_nothing_control(
    people: People, client: Client, mail: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is signed in is taken for whose code it is."""
    monkeypatch.setattr("tenants.allauth_adapters._is_another", lambda request, user: False)

    bob = prove_as_another(people, client, mail)

    assert addresses(bob) == ("old@example.com", ["old@example.com"])


@pytest.mark.parametrize(
    ("changes", "ends"),
    [
        ({"email": "right@example.com"}, True),
        ({"phone": "+972501234568"}, True),
        ({"phone": None}, True),
        ({"name": "Robert"}, False),
    ],
    ids=str,
)
def test_another_address_or_number_ends_sessions_and_tokens(
    people: People, client: Client, changes: dict[str, str | None], ends: bool
) -> None:
    bob = make_known("old@example.com", phone="+972501234567")
    sign_in_as(client, bob, second_factor=False)
    tokens = issue_tokens(bob, second_factor=False)

    known = {"email": bob.email, "phone": bob.phone, "name": "", "language": "en", **changes}
    changed = update_person(user=bob, **known, actor=people.erin)

    assert client.get("/auth/security").status_code == (302 if ends else 200)
    assert (user_of_token(tokens.access) is None) is ends
    assert changed.token_version == User.objects.get(pk=bob.pk).token_version


# A stranger's password


def prove_after_a_stranger(mail: httpx.Client, *, reauthenticates: bool = False) -> bool:
    """Somebody signed up with the address; its owner came in by a link and proves it. Is the stranger in now?"""
    Client().post("/auth/sign-up", {"email": ALICE, "password1": PASSWORD})
    owner = Client()
    owner.post(f"/auth/link/{create_sign_in_link(user=User.objects.get(), next_path='/me/')}")
    if reauthenticates:
        owner.post("/auth/confirm", {"password": PASSWORD})
    owner.post("/auth/email", {"email": ALICE, "action_send": ""})
    owner.post("/auth/email/confirm", {"code": code_in(mail, ALICE)})
    stranger = Client()
    sign_in(stranger, ALICE, PASSWORD)
    return is_signed_in(stranger)


@pytest.mark.django_db
def test_strangers_password_is_forgotten_when_the_address_is_proved_in_a_session_without_it(mail: httpx.Client) -> None:
    assert not prove_after_a_stranger(mail)


@pytest.mark.django_db
def test_password_given_in_the_session_that_proves_the_address_stays(mail: httpx.Client) -> None:
    assert prove_after_a_stranger(mail, reauthenticates=True)


@pytest.mark.django_db
def test_password_stays_when_a_proved_address_is_changed(client: Client, mail: httpx.Client) -> None:
    alice = make_known(ALICE)
    sign_in_as(client, alice, second_factor=False, method="code")

    client.post("/auth/email", {"email": "new@example.com", "action_add": ""})
    client.post("/auth/email/confirm", {"code": code_in(mail, "new@example.com")})

    assert sign_in(Client(), "new@example.com", PASSWORD) == 302


@pytest.mark.parametrize(
    ("changes", "ends"),
    [({"phone": "+972501234568"}, True), ({"phone": None}, True), ({"email": "also@example.com"}, False)],
    ids=str,
)
def test_what_was_linked_with_a_number_ends_with_it(people: People, changes: dict[str, str | None], ends: bool) -> None:
    """A thief of the number had linked their own Google and made a token."""
    dora = make_user(phone="+972501234567")
    SocialAccount.objects.create(user=dora, provider="google", uid="1")
    soon = timezone.now() + timedelta(days=1)
    create_personal_token(user=dora, name="Theirs", scopes=["rentals:view"], expires_at=soon)

    known = {"email": None, "phone": dora.phone, "name": "", "language": "en", **changes}
    if not known["email"] and not known["phone"]:
        known["email"] = "right@example.com"
    update_person(user=dora, **known, actor=people.erin)

    assert SocialAccount.objects.exists() is not ends
    assert PersonalToken.objects.get().in_force is not ends
