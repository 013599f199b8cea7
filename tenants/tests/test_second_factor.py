"""Second factors through the pages: who must give one, how it is set up, given, renamed and removed."""

import json
import re
from hashlib import sha256
from itertools import product
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.test import Client
from fido2.utils import websafe_encode
from fido2.webauthn import AttestationObject, AuthenticatorData

from core.models import AuditEntry
from tenants import middleware
from tenants.models import User
from tenants.requester import RECENTLY
from tenants.services import create_sign_in_link
from tenants.services.second_factor import remove_factor
from tenants.tests.authenticators import ORIGIN, Passkey, code_of, give_app
from tenants.tests.factories import People, make_grant, make_phone, make_user
from tenants.tests.signing_in import sign_in

CONTROL = "/control/"
PASSWORD = "correct horse battery staple"
WAYS_IN = ("password", "code", "socialaccount", "link", "phone", "cloudflare_access")


def options_of(client: Client, url: str) -> dict[str, Any]:
    page = client.get(url)
    found = re.search(
        r'<script id="webauthn-options" type="application/json">(.*?)</script>', page.content.decode(), re.DOTALL
    )
    assert found, page.content.decode()
    options: dict[str, Any] = json.loads(found[1])
    return options


def add_key(client: Client, key: Passkey, name: str = "") -> Any:
    credential = key.create(options_of(client, "/auth/2fa/keys/add"))
    return client.post("/auth/2fa/keys/add", {"name": name, "credential": credential})


def set_up_app(client: Client) -> tuple[Any, str]:
    secret = "".join(client.get("/auth/2fa/app").context["secret"])
    return client.post("/auth/2fa/app", {"code": code_of(secret)}), secret


def age_proofs(client: Client, seconds: float = RECENTLY.total_seconds()) -> None:
    """The proofs of this session lie that much further back."""
    session = client.session
    session["account_authentication_methods"] = [
        {**each, "at": each["at"] - seconds} for each in session["account_authentication_methods"]
    ]
    session.save()


def pages_of(people: People) -> list[str]:
    return [CONTROL, f"/control/branches/{people.branch.pk}", "/admin/", "/auth/home", "/auth/tokens", "/auth/email"]


# Nobody of the back office gets anywhere without one.


@pytest.mark.parametrize("method", WAYS_IN)
@pytest.mark.parametrize("who", ["alice", "bob", "erin"])
def test_staff_and_managers_reach_no_page_without_one(people: People, client: Client, who: str, method: str) -> None:
    sign_in(client, getattr(people, who), second_factor=False, method=method)

    answers = {url: client.get(url) for url in pages_of(people)}

    assert {answer.status_code for answer in answers.values()} == {302}
    assert {answer["Location"].partition("?")[0] for answer in answers.values()} == {"/auth/second-factor"}


def test_staff_and_managers_reach_no_page_without_one_control(people: People, client: Client) -> None:
    sign_in(client, people.alice, second_factor=True)

    assert [client.get(url).status_code for url in pages_of(people)[:2]] == [200, 200]


@pytest.mark.parametrize("method", WAYS_IN)
def test_pages_that_forget_to_ask_show_nothing(
    people: People, client: Client, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """The grants themselves don't count: the redirect is only polite."""
    monkeypatch.setattr(middleware, "_refusal", lambda request, user: None)
    sign_in(client, people.alice, second_factor=False, method=method)

    branch = client.get(f"/control/branches/{people.branch.pk}")
    listed = client.get("/api/branches").json()
    pressed = client.post(f"/control/branches/{people.branch.pk}/carts/1/unlock")

    assert (branch.status_code, listed["results"], pressed.status_code) == (404, [], 404)
    assert people.branch.name not in client.get(CONTROL).content.decode()


def test_pages_that_forget_to_ask_show_nothing_control(
    people: People, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without both the redirect and the stripping everything is there."""
    monkeypatch.setattr(middleware, "_refusal", lambda request, user: None)
    monkeypatch.setattr("tenants.requester.has_second_factor", lambda session, user: True)
    sign_in(client, people.alice, second_factor=False)

    assert client.get(f"/control/branches/{people.branch.pk}").status_code == 200
    assert [each["name"] for each in client.get("/api/branches").json()["results"]] == [people.branch.name]


def test_without_the_whole_middleware_nobody_has_rights(people: People, client: Client, settings: Any) -> None:
    settings.MIDDLEWARE = [each for each in settings.MIDDLEWARE if each != "tenants.middleware.RequesterMiddleware"]
    sign_in(client, people.alice, second_factor=True)

    assert client.get(f"/control/branches/{people.branch.pk}").status_code == 404


def test_rest_with_a_session_is_refused_without_one(people: People, client: Client) -> None:
    sign_in(client, people.alice, second_factor=False)

    answer = client.get("/api/branches")

    assert (answer.status_code, answer.json()["type"]) == (403, "urn:cartwise:problem:second-factor-required")


def test_customers_need_none(people: People, client: Client) -> None:
    sign_in(client, people.dora, second_factor=False, method="phone")

    assert [client.get(url).status_code for url in ("/me/", "/auth/security", "/auth/sessions")] == [200, 200, 200]


def test_password_alone_does_not_sign_in_whoever_has_one(people: People, client: Client) -> None:
    user = make_user(email="fay@example.com", password=PASSWORD)
    EmailAddress.objects.create(user=user, email=user.email, verified=True, primary=True)
    secret = give_app(user)

    first = client.post("/auth/sign-in", {"login": "fay@example.com", "password": PASSWORD})
    before = client.session.get("_auth_user_id")
    second = client.post("/auth/2fa/give", {"code": code_of(secret)})

    assert (first["Location"], before) == ("/auth/2fa/give", None)
    assert second.status_code == 302
    assert client.session["_auth_user_id"] == str(user.pk)


def test_link_asks_for_it_too(people: People, client: Client) -> None:
    secret = give_app(people.alice)

    first = client.post(f"/auth/link/{create_sign_in_link(user=people.alice, next_path=CONTROL)}")
    before = client.session.get("_auth_user_id")
    second = client.post("/auth/2fa/give", {"code": code_of(secret)})

    assert (first["Location"], before) == ("/auth/2fa/give", None)
    assert second["Location"] == CONTROL
    assert client.get(CONTROL).status_code == 200


# Setting up.


def test_first_app_confirms_the_session_that_set_it_up(people: People, client: Client) -> None:
    sign_in(client, people.alice, second_factor=False)
    sent = client.get(CONTROL)
    choices = client.get(sent["Location"])
    cookie = client.cookies["sessionid"].value

    done, _ = set_up_app(client)

    assert (choices.status_code, done.status_code) == (200, 200)
    assert (len(done.context["codes"]), done.context["next"]) == (10, CONTROL)
    assert client.get(CONTROL).status_code == 200
    assert client.cookies["sessionid"].value != cookie
    assert list(AuditEntry.objects.values_list("action", "actor_id")) == [("authenticator app added", people.alice.pk)]


def test_first_key_confirms_the_session_that_set_it_up(people: People, client: Client) -> None:
    sign_in(client, people.alice, second_factor=False)

    done = add_key(client, Passkey(), "Phone")

    assert len(done.context["codes"]) == 10
    assert client.get(CONTROL).status_code == 200
    assert [str(each) for each in Authenticator.objects.filter(type="webauthn")] == ["Phone"]


def test_recovery_codes_are_shown_once_and_saved_as_text(people: People, client: Client) -> None:
    sign_in(client, people.alice, second_factor=False)

    first, _ = set_up_app(client)
    again = client.get("/auth/2fa/recovery-codes")
    second = add_key(client, Passkey())

    codes = first.context["codes"]
    text = re.search(r'download="[^"]+" href="data:text/plain;charset=utf-8,([^"]+)"', first.content.decode())
    assert text
    assert text[1].split("%0A") == codes
    assert "no-store" in first["Cache-Control"]
    assert not any(code in again.content.decode() for code in codes)
    assert again.context["left"] == 10
    assert second["Location"] == "/auth/security"


@pytest.mark.parametrize("url", ["/auth/2fa/app", "/auth/2fa/keys/add", "/auth/second-factor"])
def test_phone_code_alone_sets_up_none(people: People, client: Client, url: str) -> None:
    sign_in(client, people.alice, second_factor=False, method="phone")

    answer = client.get(url)
    posted = client.post(url, {"code": "000000"})

    assert (answer.status_code, 'class="qr"' in answer.content.decode()) == (403, False)
    assert posted.status_code in (403, 405)
    assert "mfa.totp.secret" not in client.session


def test_phone_code_alone_sets_up_none_control(people: People, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenants.proof.PROVEN_BY", frozenset({"phone"}))
    sign_in(client, people.alice, second_factor=False, method="phone")

    set_up_app(client)

    assert client.get(CONTROL).status_code == 200


def test_phone_code_alone_sets_no_password_that_would_prove_more(people: People, client: Client) -> None:
    sign_in(client, people.dora, second_factor=False, method="phone")

    client.post("/auth/password/set", {"password1": PASSWORD, "password2": PASSWORD})

    assert not User.objects.get(pk=people.dora.pk).has_usable_password()


def test_old_sign_in_sets_up_none(people: People, client: Client) -> None:
    sign_in(client, people.alice, second_factor=False)
    age_proofs(client)

    assert client.get("/auth/2fa/app").status_code == 403


def test_old_sign_in_with_a_password_is_asked_for_it(client: Client, db: None) -> None:
    user = make_user(email="fay@example.com", password=PASSWORD)
    sign_in(client, user, second_factor=False)
    age_proofs(client)

    asked = client.get("/auth/2fa/app")
    client.post(asked["Location"], {"password": PASSWORD})

    assert asked["Location"] == "/auth/confirm?next=%2Fauth%2F2fa%2Fapp"
    assert client.get("/auth/2fa/app").status_code == 200


# Whoever has one gives it before changing any.

CHANGES = ["/auth/2fa/app/remove", "/auth/2fa/keys", "/auth/2fa/keys/add", "/auth/2fa/recovery-codes"]


# Managers get to no other page than these without one.
@pytest.mark.parametrize(("who", "url"), [*product(["alice", "dora"], CHANGES), ("dora", "/auth/password")])
def test_whoever_has_one_gives_it_before_changing_any(people: People, client: Client, who: str, url: str) -> None:
    user = getattr(people, who)
    user.set_password(PASSWORD)
    user.save()
    secret = give_app(user)
    sign_in(client, user, second_factor=False)

    asked, posted = client.get(url), client.post(url)
    by_password = client.post("/auth/confirm", {"password": PASSWORD})
    still_asked = client.get(url)
    client.post("/auth/2fa/confirm", {"code": code_of(secret)})

    assert {asked["Location"].partition("?")[0], still_asked["Location"].partition("?")[0]} == {"/auth/2fa/confirm"}
    assert by_password["Location"].startswith("/auth/2fa/confirm")
    assert posted.status_code in (302, 405)
    assert Authenticator.objects.filter(user=user).count() == 2
    # A manager's last one stays.
    assert client.get(url).status_code == (403 if who == "alice" and url.endswith("app/remove") else 200)


def test_password_typed_before_the_factor_was_set_up_elsewhere_is_not_enough(client: Client, db: None) -> None:
    """The session confirmed itself with the password while there was no factor; another one set one up."""
    user = make_user(email="fay@example.com", password=PASSWORD)
    sign_in(client, user, second_factor=False)
    client.post("/auth/confirm", {"password": PASSWORD})
    give_app(user)

    assert client.get("/auth/2fa/keys/add").status_code == 302


def test_code_given_long_ago_is_asked_for_again(people: People, client: Client) -> None:
    give_app(people.alice)
    sign_in(client, people.alice, second_factor=True)
    age_proofs(client)

    assert client.get("/auth/2fa/keys/add").status_code == 302
    assert client.get(CONTROL).status_code == 200


# Giving.


def test_code_is_given_while_signed_in(people: People, client: Client) -> None:
    secret = give_app(people.alice)
    sign_in(client, people.alice, second_factor=False)
    cookie = client.cookies["sessionid"].value

    sent = client.get("/auth/second-factor?next=/control/", follow=True)
    done = client.post("/auth/2fa/confirm?next=/control/", {"code": code_of(secret)})

    assert sent.redirect_chain[-1][0] == "/auth/2fa/confirm?next=%2Fcontrol%2F"
    assert done["Location"] == CONTROL
    assert client.get(CONTROL).status_code == 200
    assert client.cookies["sessionid"].value != cookie
    assert Client(headers={"Cookie": f"sessionid={cookie}"}).get(CONTROL)["Location"].startswith("/auth/sign-in")


def test_key_is_given_while_signed_in(people: People, client: Client) -> None:
    sign_in(client, people.alice, second_factor=False)
    key = Passkey()
    add_key(client, key)
    sign_in(other := Client(), people.alice, second_factor=False)

    sent = other.get("/auth/second-factor?next=/control/")
    credential = key.get(options_of(other, sent["Location"]))
    done = other.post(sent["Location"], {"credential": credential, "next": CONTROL})
    again = other.post(sent["Location"], {"credential": credential})

    assert sent["Location"] == "/auth/2fa/keys/confirm?next=%2Fcontrol%2F"
    assert (done["Location"], other.get(CONTROL).status_code) == (CONTROL, 200)
    assert again["Location"] == sent["Location"]


def test_passkey_signs_in_alone(people: People, client: Client) -> None:
    sign_in(client, people.alice, second_factor=False)
    key = Passkey()
    add_key(client, key)
    other = Client()

    options = other.get("/auth/2fa/keys/sign-in", headers={"Accept": "application/json"}).json()
    answer = other.post("/auth/2fa/keys/sign-in", {"credential": key.get(options), "next": CONTROL})

    assert answer["Location"] == CONTROL
    assert other.get(CONTROL).status_code == 200


def test_another_ones_passkey_signs_nobody_else_in(people: People, client: Client) -> None:
    sign_in(client, people.charlie, second_factor=False)
    key = Passkey()
    add_key(client, key)
    sign_in(Client(), people.alice, second_factor=False)
    key.owner = str(people.alice.pk).encode()
    other = Client()

    options = other.get("/auth/2fa/keys/sign-in", headers={"Accept": "application/json"}).json()
    answer = other.post("/auth/2fa/keys/sign-in", {"credential": key.get(options)})

    assert answer["Location"] == "/auth/sign-in"
    assert "_auth_user_id" not in other.session


GARBAGE = ["", "x", "1", "null", "[]", "{}", '"x"', '{"response": 1}', '{"id": "\\u0000", "response": {}}']
GARBAGE.append(
    '{"id": "QQ", "rawId": "QQ", "type": "public-key", "response": {"clientDataJSON": "e30", "userHandle": 5}}'
)


def made_up(**response: bytes) -> str:
    """A credential whose parts are these."""
    parts = {name: websafe_encode(part) for name, part in response.items()}
    return json.dumps({"id": "QQ", "rawId": "QQ", "type": "public-key", "response": parts})


DEEP = b"[" * 100_000
CREATED = b'{"type": "webauthn.create", "challenge": "QQ", "origin": "x"}'
NESTED = b"\x81" * 3000  # CBOR: a list in a list in a list
GARBAGE += ["[" * 5000, DEEP.decode(), '{"response":' * 10_000]
GARBAGE.append(made_up(clientDataJSON=DEEP, authenticatorData=b"A", signature=b"A", userHandle=b"A"))
GARBAGE += [
    made_up(clientDataJSON=CREATED, attestationObject=raw)
    for raw in (DEEP, NESTED, b"", b"{", b"\xa1", b"\xa0", b"\xff", b"\x1b\0", b"\x9b" + b"\xff" * 8, b"\x61\xff")
]


@pytest.mark.parametrize("credential", GARBAGE, ids=range(len(GARBAGE)))
def test_credential_that_is_none_is_refused(people: People, client: Client, credential: str) -> None:
    fay = make_user(email="fay@example.com", password=PASSWORD)
    EmailAddress.objects.create(user=fay, email=fay.email, verified=True, primary=True)
    give_app(fay)
    sign_in(client, people.alice, second_factor=True)
    options_of(client, "/auth/2fa/keys/add")
    stranger = Client()
    stranger.get("/auth/2fa/keys/sign-in", headers={"Accept": "application/json"})

    added = client.post("/auth/2fa/keys/add", {"credential": credential})
    give_app(people.alice)
    answers = [
        client.post("/auth/2fa/keys/confirm", {"credential": credential}),
        stranger.post("/auth/2fa/keys/sign-in", {"credential": credential}),
    ]

    waiting = Client()
    waiting.post("/auth/sign-in", {"login": "fay@example.com", "password": PASSWORD})
    answers.append(waiting.post("/auth/2fa/give", {"credential": credential}))

    assert added.status_code == 200
    assert all(answer.status_code in (200, 302) for answer in answers)
    assert not Authenticator.objects.filter(type="webauthn").exists()
    assert "_auth_user_id" not in stranger.session


def test_key_that_says_nothing_of_itself_is_not_added(people: People, client: Client) -> None:
    """An attestation for the right challenge, but without the key."""

    class Empty(Passkey):
        def create(self, options: dict[str, Any]) -> str:
            wanted = options["publicKey"]
            client_data = {"type": "webauthn.create", "challenge": wanted["challenge"], "origin": ORIGIN}
            data = AuthenticatorData.create(sha256(wanted["rp"]["id"].encode()).digest(), 0x05, 0)
            attestation = AttestationObject.create("none", data, {})
            return made_up(clientDataJSON=json.dumps(client_data).encode(), attestationObject=bytes(attestation))

    sign_in(client, people.alice, second_factor=False)

    assert add_key(client, Empty()).status_code == 200
    assert not Authenticator.objects.exists()


# Renaming and removing; other people's don't exist.


def test_key_is_renamed(people: People, client: Client) -> None:
    sign_in(client, people.alice, second_factor=False)
    add_key(client, Passkey())
    key = Authenticator.objects.get(type="webauthn")

    client.post(f"/auth/2fa/keys/{key.pk}/rename", {"name": "Yubi"})

    assert "Yubi" in client.get("/auth/2fa/keys").content.decode()


@pytest.mark.parametrize("what", ["rename", "remove"])
def test_key_of_somebody_else_does_not_exist(people: People, client: Client, what: str) -> None:
    sign_in(client, people.charlie, second_factor=False)
    add_key(client, Passkey(), "Charlie's")
    key = Authenticator.objects.get(type="webauthn")
    sign_in(other := Client(), people.alice)

    answers = [
        other.get(f"/auth/2fa/keys/{key.pk}/{what}"),
        other.post(f"/auth/2fa/keys/{key.pk}/{what}", {"name": "x"}),
    ]

    assert [answer.status_code for answer in answers] == [404, 404]
    assert str(Authenticator.objects.get(type="webauthn")) == "Charlie's"


def test_last_one_of_a_manager_stays(people: People, client: Client) -> None:
    sign_in(client, people.alice, second_factor=False)
    add_key(client, Passkey())
    key = Authenticator.objects.get(type="webauthn")

    alone = client.post(f"/auth/2fa/keys/{key.pk}/remove").status_code
    set_up_app(client)
    with_app = client.post(f"/auth/2fa/keys/{key.pk}/remove").status_code
    last = client.post("/auth/2fa/app/remove").status_code

    assert (alone, with_app, last) == (403, 302, 403)
    assert set(Authenticator.objects.values_list("type", flat=True)) == {"totp", "recovery_codes"}


def test_last_one_of_a_customer_goes_with_its_recovery_codes(client: Client, db: None) -> None:
    user = make_user(phone=make_phone(), email="fay@example.com")
    sign_in(client, user, second_factor=False, method="code")
    set_up_app(client)

    removed = client.post("/auth/2fa/app/remove")

    assert removed.status_code == 302
    assert not Authenticator.objects.exists()


def test_new_recovery_codes_end_the_old_ones(people: People, client: Client) -> None:
    sign_in(client, people.alice, second_factor=False)
    old = set_up_app(client)[0].context["codes"]

    new = client.post("/auth/2fa/recovery-codes").context["codes"]
    sign_in(other := Client(), people.alice, second_factor=False)
    refused = other.post("/auth/2fa/confirm", {"code": old[0]})
    accepted = other.post("/auth/2fa/confirm", {"code": new[0]})

    assert not set(old) & set(new)
    assert (refused.status_code, accepted.status_code) == (200, 302)


def test_grant_given_later_asks_the_customer_who_has_none(client: Client, people: People) -> None:
    sign_in(client, people.dora, second_factor=False, method="phone")
    assert client.get("/auth/security").status_code == 200

    make_grant(user=people.dora, role="branch_manager", branch=people.branch)
    User.objects.filter(pk=people.dora.pk).update(access_version="00000000-0000-0000-0000-000000000001")

    assert client.get("/auth/security")["Location"].startswith("/auth/second-factor")


def test_factor_removed_elsewhere_leaves_the_session_confirmed(client: Client, people: People) -> None:
    """A session that gave its factor keeps what it gave: only a reset takes it, by ending the session."""
    give_app(people.dora)
    sign_in(client, people.dora, second_factor=True)

    remove_factor(user=people.dora, factor=Authenticator.objects.select_related("user").get(type="totp"))

    assert client.get("/auth/security").status_code == 200
