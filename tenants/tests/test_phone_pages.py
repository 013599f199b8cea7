"""The pages that sign in with a phone away from a cart."""

import httpx
import pytest
from django.test import Client

from tenants.models import User
from tenants.tests.factories import make_user
from tenants.tests.mailbox import is_signed_in, other_than, received_at

PHONE = "+972501234567"
HOST = "testserver"
pytestmark = pytest.mark.django_db


def ask(client: Client, **fields: str) -> tuple[int, str]:
    answer = client.post("/auth/phone", {"country": "IL", "phone": "050-123-4567", **fields})
    return answer.status_code, answer.get("Location", "")


def give(client: Client, code: str, **fields: str) -> tuple[int, str]:
    answer = client.post("/auth/phone/code", {"code": code, **fields})
    return answer.status_code, answer.get("Location", "")


def test_phone_signs_in_and_makes_a_customer(client: Client, sms: httpx.Client) -> None:
    asked = ask(client, next="/me/")
    page = client.get(asked[1]).content.decode()
    given = give(client, received_at(sms, HOST), next="/me/")

    assert (asked, given) == ((302, "/auth/phone/code?next=%2Fme%2F"), (302, "/me/"))
    for part in ('autocomplete="one-time-code"', 'inputmode="numeric"', 'value="/me/"', "4567"):
        assert part in page
    assert "+972501234567" not in page
    assert client.session["_auth_user_id"] == str(User.objects.get(phone=PHONE).pk)
    assert client.session["account_authentication_methods"][-1]["method"] == "phone"


def test_answer_is_the_same_for_known_and_unknown_numbers(sms: httpx.Client) -> None:
    make_user(phone=PHONE)

    answers = [ask(Client(), phone=phone) for phone in ("0501234567", "0502345678")]

    assert answers == [(302, "/auth/phone/code")] * 2


def test_wrong_code_says_so_and_five_end_it(client: Client, sms: httpx.Client) -> None:
    ask(client)
    code = received_at(sms, HOST)

    wrong = [give(client, other)[0] for other in other_than(code, 5)]

    assert wrong == [400] * 5
    assert give(client, code)[0] == 400
    assert not is_signed_in(client)


def test_code_is_of_its_browser(client: Client, sms: httpx.Client) -> None:
    ask(client)

    assert give(Client(), received_at(sms, HOST)) == (302, "/auth/phone")


def test_code_can_be_sent_again_after_a_minute(client: Client, sms: httpx.Client) -> None:
    ask(client)

    answer = client.post("/auth/phone/resend?next=/me/", follow=True)

    assert answer.redirect_chain == [("/auth/phone/code?next=%2Fme%2F", 302)]
    assert "Please wait a little" in answer.content.decode()
    assert len(sms.get("/messages").json()) == 1


def test_number_that_is_none_says_so(client: Client, sms: httpx.Client) -> None:
    assert ask(client, phone="12")[0] == 400
    assert sms.get("/messages").json() == []


def test_closed_account_gets_nowhere(client: Client, sms: httpx.Client) -> None:
    make_user(phone=PHONE, is_active=False)
    ask(client)

    assert give(client, received_at(sms, HOST))[0] == 400
    assert not is_signed_in(client)


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)"]
)
def test_phone_leads_nowhere_else(client: Client, sms: httpx.Client, target: str) -> None:
    asked = ask(client, next=target)
    resent = client.post("/auth/phone/resend", {"next": target})["Location"]
    given = give(client, received_at(sms, HOST), next=target)
    signed_in = client.get("/auth/phone", {"next": target})["Location"]

    assert (asked[1], resent, given[1], signed_in) == (
        "/auth/phone/code",
        "/auth/phone/code",
        "/auth/home",
        "/auth/home",
    )


def test_session_is_new_after_the_code(client: Client, sms: httpx.Client) -> None:
    ask(client)
    before = client.cookies["sessionid"].value

    give(client, received_at(sms, HOST))

    assert client.cookies["sessionid"].value != before
    fixed = Client()
    fixed.cookies["sessionid"] = before
    assert not is_signed_in(fixed)
