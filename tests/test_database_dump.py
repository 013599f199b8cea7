"""A dump of the database holds nothing that lets anybody in: no cookie, token, code, seed or link in the clear."""

import base64
import re
import zlib
from datetime import timedelta
from uuid import uuid4

import httpx
import pytest
from allauth.mfa.models import Authenticator
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from carts.services import start_rental
from carts.tests.factories import make_cart
from core import outbox, secrets
from devices.services import create_enrolment_code, register_device
from devices.services.tokens import signed
from tenants.models import Branch, Chain, Role, User
from tenants.services import create_personal_token, create_sign_in_link, issue_tokens, request_otp, request_registration
from tenants.services.invitations import invite_person
from tenants.tests.authenticators import SECRET, give_app
from tenants.tests.factories import People, make_people
from tenants.tests.mailbox import PASSWORD, code_in, make_known, received, received_at
from tenants.tests.signing_in import sign_in

pytestmark = pytest.mark.django_db
KINDS = {
    "password",
    "seed of the app",
    "seed of the recovery codes",
    "recovery code",
    "access token",
    "refresh token",
    "personal token",
    "secret part of a personal token",
    "sign-in link",
    "code of a registration",
    "password of a registration",
    "invitation",
    "code by SMS",
    "enrolment code",
    "used enrolment code",
    "claim of a device that waits",
    "token of a device, its password at the broker",
    "secret of the device's token",
    "code of a password reset",
    "code of a change of address",
    "cookie of a browser",
    "cookie of a browser that waits for a code",
    "code by mail",
    "seed that is being set up",
}


def dump() -> dict[str, str]:
    """Every table as text, as a dump has it, with what is merely packed in it unpacked."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
        tables = [name for (name,) in cursor.fetchall()]
        found = {}
        for table in tables:
            cursor.execute(f"SELECT coalesce(string_agg(t::text, chr(10)), '') FROM \"{table}\" AS t")
            text = cursor.fetchone()[0]
            found[table] = f"{text} {' '.join(map(unpacked, re.findall(r'[A-Za-z0-9_+/=-]{40,}', text)))}"
        return found


def unpacked(text: str) -> str:
    """What base64 and zlib hide from nobody; Django signs sessions so."""
    packed = text.strip("=").replace("+", "-").replace("/", "_")
    try:
        raw = base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4))
    except ValueError:
        return ""
    try:
        raw = zlib.decompress(raw)
    except zlib.error:
        pass  # only base64, then
    return raw.decode(errors="replace")


def where(secret: str, tables: dict[str, str]) -> set[str]:
    """Tables it stands in, as a word of its own: six digits stand inside many a number."""
    word = re.compile(rf"(?<![\w.-]){re.escape(secret)}(?![\w-])")
    return {table for table, text in tables.items() if word.search(text)}


@pytest.fixture
def people() -> People:
    return make_people()


@pytest.fixture
def filled(people: People, sms: httpx.Client, mail: httpx.Client) -> dict[str, str]:
    """The product in use; answers what its people and devices hold in their hands."""
    return {
        **_of_a_person(),
        **_by_mail(people, mail),
        **_by_phone(sms),
        **_of_devices(people),
        **_of_browsers(people, mail),
    }


def _of_a_person() -> dict[str, str]:
    user = make_known("walter@example.com")
    seed = give_app(user)
    pair = issue_tokens(user, second_factor=True)
    token, secret = create_personal_token(
        user=user, name="nightly", scopes=["rentals:view"], expires_at=timezone.now() + timedelta(days=9)
    )
    codes = Authenticator.objects.get(user=user, type=Authenticator.Type.RECOVERY_CODES)
    recovery = codes.wrap().generate_codes()
    return {
        "password": PASSWORD,
        "seed of the app": seed,
        "seed of the recovery codes": secrets.decrypt(codes.data["seed"], place="mfa.authenticator.data"),
        "recovery code": recovery[0],
        "access token": pair.access,
        "refresh token": pair.refresh,
        "personal token": secret,
        "secret part of a personal token": secret.removeprefix(f"cwp_{token.pk.hex}_"),
        "sign-in link": create_sign_in_link(user=user, next_path="/"),
    }


def _by_mail(people: People, mail: httpx.Client) -> dict[str, str]:
    request_registration(
        email="new@example.com", password="a quite long one", name="", language="en", address="192.0.2.1"
    )
    role = Role.objects.get(code="branch_manager")
    invite_person(email="invited@example.com", name="", role=role, branch=people.branch, actor=people.erin)
    text = received(mail, "invited@example.com")[0]["text"]
    link = re.search(r"/auth/invitation/(\S+)", text)
    assert link
    return {
        "code of a registration": code_in(mail, "new@example.com"),
        "password of a registration": "a quite long one",
        "invitation": link[1],
    }


def _by_phone(sms: httpx.Client) -> dict[str, str]:
    phone = "+972501234567"
    request_otp(phone=phone, binding="api", address="192.0.2.1", language="en", host="testserver")
    return {"code by SMS": received_at(sms, "testserver", phone)}


def _of_devices(people: People) -> dict[str, str]:
    _row, waiting = create_enrolment_code(branch=people.branch)
    _row, used = create_enrolment_code(branch=people.branch)
    register_device_with = {
        "mac_address": "AA:BB:CC:00:00:09",
        "serial_number": "X",
        "branch_code": people.branch.code,
        "claim": "",
        "address": "127.0.0.1",
    }
    admitted = register_device(code=used, **register_device_with)
    assert admitted.token
    Chain.objects.filter(pk=people.chain.pk).update(approve_devices=True)
    _row, third = create_enrolment_code(branch=Branch.objects.get(pk=people.branch.pk))
    waits = register_device(code=third, **{**register_device_with, "mac_address": "AA:BB:CC:00:00:0A"})
    assert waits.claim
    cart = make_cart(branch=people.branch)
    start_rental(cart=cart, customer=people.dora, idempotency_key=uuid4().hex)
    outbox.sweep()
    return {
        "enrolment code": waiting,
        "used enrolment code": used,
        "claim of a device that waits": waits.claim,
        "token of a device, its password at the broker": signed(admitted.token),
        "secret of the device's token": signed(admitted.token).rpartition(".")[2],
    }


def _of_browsers(people: People, mail: httpx.Client) -> dict[str, str]:
    signed_in, by_code, setting_up = Client(), Client(), Client()
    sign_in(signed_in, people.erin)
    signed_in.get("/control/")
    user = make_known("coder@example.com")
    by_code.post(reverse("account_request_login_code"), {"email": user.email})
    fresh = make_known("fresh@example.com")
    sign_in(setting_up, fresh, second_factor=False)
    setting_up.get(reverse("mfa_activate_totp"))
    seed = setting_up.session["mfa.totp.secret"]
    forgot = make_known("forgot@example.com")
    Client().post(reverse("account_reset_password"), {"email": forgot.email})
    moving = Client()
    sign_in(moving, make_known("old@example.com"))
    moving.post(reverse("account_email"), {"email": "moved@example.com", "action_add": ""})
    return {
        "code of a password reset": code_in(mail, "forgot@example.com"),
        "code of a change of address": code_in(mail, "moved@example.com"),
        "cookie of a browser": signed_in.cookies["sessionid"].value,
        "cookie of a browser that waits for a code": by_code.cookies["sessionid"].value,
        "code by mail": code_in(mail, "coder@example.com"),
        "seed that is being set up": seed,
    }


def test_dump_holds_nothing_usable(filled: dict[str, str]) -> None:
    tables = dump()

    assert {name: found for name, secret in filled.items() if (found := where(secret, tables))} == {}


def test_every_kind_of_secret_is_looked_for(filled: dict[str, str]) -> None:
    assert set(filled) == KINDS
    assert len(set(filled.values())) == len(KINDS)
    assert all(len(secret) >= 6 for secret in filled.values())
    assert filled["seed of the app"] == SECRET


def test_dump_with_a_secret_is_noticed_control(filled: dict[str, str]) -> None:
    """Each of them, written into a plain column, is found there: the test above can fail."""
    for secret in filled.values():
        User.objects.filter(email="walter@example.com").update(name=secret[:255])
        assert where(secret[:255], dump()) == {"tenants_user"}


def test_seed_that_is_not_encrypted_is_noticed_control(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenants.allauth_adapters.encrypt", lambda text, place: text)
    monkeypatch.setattr("tenants.allauth_adapters.decrypt", lambda text, place: text)
    user = make_known("walter@example.com")
    give_app(user)

    assert where(SECRET, dump()) == {"mfa_authenticator"}


def test_session_that_is_not_encrypted_is_noticed_control(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenants.session_store.encrypt", lambda text, place: text)
    monkeypatch.setattr("tenants.session_store.decrypt", lambda text, place: text)
    client = Client()
    sign_in(client, make_known("fresh@example.com"), second_factor=False)

    client.get(reverse("mfa_activate_totp"))

    assert where(client.session["mfa.totp.secret"], dump()) == {"tenants_browsersession"}
