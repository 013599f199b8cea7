"""Demo data and the commands scripts rely on."""

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from pytest_django import Settings

from carts.models import Cart
from devices.models import Controller, Device, EnrolmentCode
from devices.services import register_device
from devices.services.tokens import device_of_token, signed
from tenants.models import Branch, Chain, Grant, User
from tenants.tests.factories import make_branch

pytestmark = pytest.mark.django_db


def manage(*arguments: str, **options: Any) -> str:
    out = StringIO()
    call_command(*arguments, stdout=out, **options)
    return out.getvalue().strip()


def snapshot() -> dict[str, Any]:
    """What a seed decides; ids, codes and times are new each time."""
    return {
        "chains": list(Chain.objects.order_by("slug").values_list("slug", "name")),
        "branches": list(
            Branch.objects.order_by("code").values_list("code", "name", "city", "address", "latitude", "longitude")
        ),
        "devices": list(Device.objects.order_by("branch__code", "name").values_list("branch__code", "name")),
        "carts": list(Cart.objects.order_by("branch__code", "cart_number").values_list("cart_number", "locker_id")),
        "people": sorted(User.objects.values_list("email", flat=True)),
        "grants": Grant.objects.count(),
        "boards": Controller.objects.count(),
    }


def forget_demo() -> None:
    for model in (Cart, Controller, Device, Grant, Branch, Chain, User):
        model.objects.all().delete()


def test_same_seed_gives_the_same_data() -> None:
    manage("seed_demo", "--seed", "7")
    first = snapshot()
    forget_demo()

    manage("seed_demo", "--seed", "7")

    assert snapshot() == first


def test_seeding_twice_adds_nothing() -> None:
    manage("seed_demo")
    first = snapshot()
    versions = list(Device.objects.order_by("pk").values_list("config_version", flat=True))

    manage("seed_demo")

    assert snapshot() == first
    assert list(Device.objects.order_by("pk").values_list("config_version", flat=True)) == versions


def test_another_seed_gives_other_data_of_the_same_shape() -> None:
    manage("seed_demo", "--seed", "1")
    first = snapshot()
    forget_demo()

    manage("seed_demo", "--seed", "2")

    second = snapshot()
    assert (second["chains"], second["carts"]) == (first["chains"], first["carts"])
    assert second["branches"] != first["branches"]


def test_demo_pi_has_carts_to_rent() -> None:
    manage("seed_demo")

    device = Device.objects.get(name="demo-pi")
    assert device.branch.code == "BRANCH-001"
    assert Cart.objects.filter(controller__device=device).count() >= 6


def test_code_of_the_demo_pi_enrols_as_it() -> None:
    manage("seed_demo")
    device = Device.objects.get(name="demo-pi")

    code = manage("create_enrolment_code", "--branch", "BRANCH-001", "--device", "demo-pi")
    registration = register_device(
        mac_address="AA:BB:CC:DD:EE:FF",
        serial_number="",
        branch_code="BRANCH-001",
        code=code,
        claim="",
        address="127.0.0.1",
    )

    assert registration.token is not None
    assert device_of_token(signed(registration.token)) == device


def test_code_without_a_device_is_for_a_new_one() -> None:
    branch = make_branch()

    code = manage("create_enrolment_code", "--branch", branch.code)

    row = EnrolmentCode.objects.get()
    assert (row.branch, row.device) == (branch, None)
    assert len(code) == 9


@pytest.mark.parametrize("arguments", [["--branch", "NOWHERE"], ["--branch", "BRANCH-X", "--device", "nobody"]])
def test_code_for_what_does_not_exist_is_refused(arguments: list[str]) -> None:
    make_branch(code="BRANCH-X")

    with pytest.raises(CommandError):
        manage("create_enrolment_code", *arguments)

    assert not EnrolmentCode.objects.exists()


def test_device_may_be_named_by_its_id() -> None:
    manage("seed_demo")
    device = Device.objects.get(name="demo-pi")

    manage("create_enrolment_code", "--branch", "BRANCH-001", "--device", str(device.pk))

    assert EnrolmentCode.objects.get().device == device


def test_addresses_lead_where_they_say() -> None:
    manage("seed_demo")

    found = json.loads(manage("print_addresses", "--base-url", "http://testserver/"))

    assert list(found) == ["customer", "manager", "admin"]
    assert Client().get(found["customer"]).status_code == 200
    for name, page in (("manager", "/control/branches/"), ("admin", "/admin/")):
        path = found[name].removeprefix("http://testserver")
        response = Client().post(path) if Client().get(path).status_code == 200 else Client().get(path)
        assert response.status_code == 302
        assert response["Location"].startswith(page)


def test_addresses_without_demo_data_say_what_to_do() -> None:
    make_branch(code="BRANCH-001")
    User.objects.create_user(email="admin@cartwise.example")

    with pytest.raises(CommandError, match="seed_demo"):
        manage("print_addresses", "--base-url", "http://testserver")


def test_addresses_are_refused_in_production(settings: Settings) -> None:
    manage("seed_demo")
    settings.PRODUCTION = True

    with pytest.raises(CommandError):
        manage("print_addresses", "--base-url", "http://testserver")
