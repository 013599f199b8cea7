"""What the product writes into its logs while people use it names none of them and opens nothing."""

import logging
import re
from pathlib import Path

import httpx
import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from carts.services import start_rental
from carts.tests.factories import make_cart
from core.logs import JsonFormatter
from tenants.models import Role, User
from tenants.services import create_sign_in_link, erase_person, export_person, request_registration
from tenants.services.invitations import invite_person
from tenants.tests.factories import People, make_people
from tenants.tests.mailbox import PASSWORD, make_known, received_at
from tenants.tests.signing_in import sign_in

pytestmark = pytest.mark.django_db

PHONE, LOCAL = "+972501234567", "0501234567"
# Addresses of these tests, numbers in any spelling, and what opens something.
_NAMES = re.compile(r"[\w.+-]+(?:@|%40)[\w-]+\.[a-z]|(?:\+|%2B)?(?:972|0)-?5[0-9][0-9-]{7}|cwp_|eyJ")


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Everything that was logged, before any mask."""
    plain = logging.Formatter()
    # Clocks and numbers of threads look like phones now and then.
    every = vars(logging.makeLogRecord({}))
    found = []
    for record in caplog.records:
        more = {key: value for key, value in vars(record).items() if key not in every and key != "request"}
        found.append(f"{plain.format(record)} {more}")
    return found


def naming(texts: list[str]) -> list[str]:
    return [text for text in texts if _NAMES.search(text)]


@pytest.fixture
def people(tmp_path: Path, settings: Settings) -> People:
    settings.ERASURE_JOURNAL = str(tmp_path / "erasures.jsonl")
    return make_people()


def use_phone(sms: httpx.Client) -> None:
    browser = Client()
    browser.post(reverse("tenants:phone"), {"country": "IL", "phone": LOCAL})
    browser.post(reverse("tenants:phone-code"), {"code": "000000"})
    browser.post(reverse("tenants:phone-code"), {"code": received_at(sms, "testserver", PHONE)})
    browser.post("/api/auth/otp/request", {"phone": "nonsense"}, content_type="application/json")
    assert User.objects.filter(phone=PHONE).exists()
    sms.put("/faults", json={"status": 500})
    Client().post(reverse("tenants:phone"), {"country": "IL", "phone": "0501234568"})


def use_mail(people: People) -> None:
    known = make_known("known@example.com")
    Client().post(reverse("account_login"), {"login": known.email, "password": "wrong"})
    Client().post(reverse("account_login"), {"login": known.email, "password": PASSWORD})
    Client().post(reverse("account_request_login_code"), {"email": known.email})
    Client().post(reverse("account_reset_password"), {"email": "nobody@example.com"})
    request_registration(
        email="new@example.com", password="a quite long one", name="", language="en", address="192.0.2.1"
    )
    role = Role.objects.get(code="branch_manager")
    invite_person(email="guest@example.com", name="Guest", role=role, branch=people.branch, actor=people.erin)
    Client().get(f"/auth/link/{create_sign_in_link(user=known, next_path='/')}")


def use_admin(people: People) -> None:
    browser = Client()
    sign_in(browser, people.erin)
    user = reverse("admin:tenants_user_change", args=[people.dora.pk])
    grants = {"grants-TOTAL_FORMS": "0", "grants-INITIAL_FORMS": "0"}
    taken = {"name": "Dora", "email": people.bob.email, "phone": people.dora.phone, "language": "en"}
    browser.post(user, {**taken, **grants})
    browser.post(user, {**taken, "email": "dora@example.com", **grants})
    assert User.objects.get(pk=people.dora.pk).email == "dora@example.com"
    browser.get(reverse("admin:tenants_user_changelist"), {"q": people.dora.phone})
    browser.get(f"/control/people?q={people.dora.phone}")
    start_rental(cart=make_cart(branch=people.branch), customer=User.objects.get(pk=people.bob.pk), idempotency_key="k")
    "".join(export_person(person=people.dora, actor=people.erin))
    erase_person(user=people.dora, actor=people.erin)
    assert User.objects.get(pk=people.dora.pk).erased_at


def test_nobody_is_named_in_the_logs(
    people: People, sms: httpx.Client, mail: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    use_phone(sms)
    use_mail(people)
    use_admin(people)

    said = {record.getMessage() for record in caplog.records}
    assert {"Bad Request: /auth/phone/code", "changed"} <= said
    assert naming(lines(caplog)) == []


def test_name_in_the_logs_is_noticed_and_masked_control(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("core").error("no such person", extra={"phone": PHONE, "who": "dora@example.com"})

    assert len(naming(lines(caplog))) == 1
    assert naming([JsonFormatter().format(record) for record in caplog.records]) == []
