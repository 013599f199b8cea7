"""Scoping everywhere else: rows know their tenant, keys hold it, lists cost the same for many rows as for one."""

import inspect
import re
from collections.abc import Iterator
from typing import Any

import pytest
from celery import current_app
from django.apps import apps
from django.core.cache import cache
from django.db import connection, models
from django.test.utils import CaptureQueriesContext
from redis import Redis

from carts.tests.factories import make_cart, make_rental
from carts.views import control
from core.models import ActorKind, AuditEntry
from core.places import paths
from devices.models import Controller, Device
from devices.mqtt import rights
from devices.tests.factories import make_device
from tenants.enums import RoleCode
from tenants.models import Branch, Chain, User
from tenants.tests.factories import make_grant, make_user
from tests.matrix import declared
from tests.matrix.askers import World, asker, browser, program
from tests.matrix.asks import page_asks, rest_asks
from tests.matrix.estate import owned_models
from tests.matrix.judge import ask_now, undone

OURS = ("core", "tenants", "devices", "carts")
# Rows that may belong to no chain or branch: why.
PLATFORMS_TOO = {
    "tenants.grant": "a role on the whole platform",
    "tenants.invitation": "an invitation to the whole platform",
    "tenants.user": "people hold roles in many places, or none",
    "core.auditentry": "what was done on the platform; ids alone, because rows outlive what they tell of",
}
# Rows that hang on somebody's and say nothing of their place: nobody lists them, they are read through their owner.
READ_THROUGH = {
    "tenants.signinlink": "its person; found by a secret",
    "tenants.refreshtoken": "its person; found by a secret",
    "devices.devicetoken": "its device",
    "devices.brokeraccount": "its device",
}
# One for all chains, and why.
ONE_FOR_ALL = {
    "tenants.chain.slug": "a level of MQTT topics",
    "tenants.branch.code": "a Pi registers with it alone",
    "tenants.user.email": "people are known by it",
    "tenants.user.phone": "people are known by it",
    "tenants.user.client_id": "programs are known by it",
    "devices.device.mac_address": "a Pi is known by it",
    "carts.cart.public_code": "random; stands on the cart alone",
}
SECRET_HASHES = re.compile(r"(_hash|_hmac|session_key)$")


def _own_models() -> Iterator[type[models.Model]]:
    return (model for model in apps.get_models() if model._meta.app_label in OURS)


def _steps(model: type[models.Model], path: str) -> Iterator[models.Field]:
    for step in path.split("__"):
        if step in ("pk", "branches"):
            return
        column = model._meta.get_field(step)
        yield column
        if column.related_model:
            model = column.related_model


def test_every_way_to_a_tenant_is_never_empty() -> None:
    empty = {
        model._meta.label_lower
        for model in owned_models()
        for name in ("chain_path", "branch_path")
        for path in paths(model, name)
        if any(column.null for column in _steps(model, path))
    }
    assert empty == set(PLATFORMS_TOO)


def test_whatever_refers_to_a_tenants_row_says_whose_it_is() -> None:
    owned = {*owned_models(), User}
    silent = {
        model._meta.label_lower
        for model in _own_models()
        if model not in owned
        and any(
            isinstance(column, models.ForeignKey) and column.related_model in owned for column in model._meta.fields
        )
    }
    assert silent == set(READ_THROUGH)


def test_unique_indexes_hold_the_tenant_or_something_that_is_one_for_all() -> None:
    owned = {*owned_models(), User, Device, Controller}
    loose = set()
    for model in _own_models():
        if model not in owned:
            continue
        together = [tuple(each.fields) for each in model._meta.constraints if isinstance(each, models.UniqueConstraint)]
        alone = [(column.name,) for column in model._meta.fields if column.unique and not column.primary_key]
        for names in (*together, *alone):
            columns = [model._meta.get_field(name) for name in names]
            if any(column.related_model in owned for column in columns):
                continue
            if not (len(names) == 1 and SECRET_HASHES.search(names[0])):
                loose.add(f"{model._meta.label_lower}.{'+'.join(names)}")
    assert loose == set(ONE_FOR_ALL)


def test_rights_at_the_broker_are_of_the_own_devices_and_carts_alone(world: World) -> None:
    for side in world.sides:
        acls = rights._acls(side.row(Device))
        for each in acls:
            place = f"/{side.chain.slug}/{side.branch.code}/"
            assert place in each["topic"], each
            assert "+" not in each["topic"], each
        others = {text for other in world.sides if other is not side for text in other.canaries(shared=side)}
        if side in (world.theirs, world.abroad):
            assert [text for text in others if text in str(acls).lower()] == []


def test_no_task_is_told_whose_rows_to_change() -> None:
    """Sweeps go by what rows say themselves. One that takes an id would have to be asked in the matrix too."""
    current_app.loader.import_default_modules()
    told = {
        name
        for name, task in current_app.tasks.items()
        if not name.startswith("celery.") and inspect.signature(task.run).parameters
    }
    assert told == set()


# What may stand in a key of Redis besides an id, a hash or an address.
SHARED_KEYS = re.compile(r"(health|celery|_kombu|unacked)")
LIMITED = {"otp-send", "mail"}
SOMEBODYS = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}|[0-9a-f]{32}|127\.0\.0\.1|\+\d{7}")


def keys_after(world: World, redis_url: str, *roles: str) -> list[str]:
    """What stands in Redis after each page was read, and by who is nobody yet each way in was tried."""
    for role in roles:
        somebody = asker(world, role)
        for ask in (*page_asks(somebody.own), *rest_asks(somebody.own)):
            way_in = ask.json and ask.method == "POST" and declared.REST[ask.name].get("POST") == declared.FLOW
            if ask.method == "GET" or (way_in and role == "anonymous"):
                with somebody.same_cookies(), undone():
                    ask_now(somebody.program if ask.json else somebody.browser, ask)
    with Redis.from_url(redis_url) as redis:
        return [key.decode() for key in redis.scan_iter()]


def nobodys(keys: list[str]) -> list[str]:
    return [key for key in keys if not SOMEBODYS.search(key) and not SHARED_KEYS.search(key)]


def test_keys_in_redis_name_whose_they_are(world: World, redis_url: str, sms: object) -> None:
    keys = keys_after(world, redis_url, "anonymous", "customer", "branch_manager", "other_chain_manager")

    assert nobodys(keys) == []
    assert {kind for kind in LIMITED if any(f":{kind}:" in key for key in keys)} == LIMITED


def test_keys_in_redis_name_whose_they_are_control(
    world: World, redis_url: str, sms: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kept(*arguments: Any) -> Any:
        cache.set("branches", 1)
        return branches(*arguments)

    branches = control.branches_visible_to
    monkeypatch.setattr(control, "branches_visible_to", kept)

    assert [key for key in nobodys(keys_after(world, redis_url, "branch_manager")) if key.endswith("branches")]


MANAGERS_LISTS = (
    "/control/",
    "/control/branches/{branch}",
    "/control/branches/{branch}/posters",
    "/control/people",
    "/control/people?role=customer",
    "/control/audit",
    "/api/branches",
    "/api/devices",
    "/api/branches/{branch}/carts",
    "/api/branches/{branch}/rentals/active",
    "/api/branches/{branch}/rentals/history",
    "/api/telemetry/branches/{branch}",
    "/api/audit",
)
MOST_QUERIES = 25


@pytest.mark.django_db
@pytest.mark.parametrize("path", MANAGERS_LISTS)
def test_list_of_a_branch_manager_costs_the_same_for_fifty_rows_as_for_one(path: str) -> None:
    manager, controller = _shop()
    _rows(manager, controller, 1)
    branch = controller.device.branch
    client = program(_token(manager)) if path.startswith("/api/") else browser(manager)

    def cost() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert client.get(path.format(branch=branch.pk)).status_code == 200
        return len(queries)

    cost()
    with_one = cost()
    _rows(manager, controller, 49)
    with_fifty = cost()

    assert with_fifty == with_one
    assert with_one <= MOST_QUERIES


def _token(user: User) -> str:
    from tenants.services.sessions import issue_access_token

    return issue_access_token(user, second_factor=True)


def _shop() -> tuple[User, Controller]:
    device = make_device()
    manager = make_user(name="Alice")
    make_grant(user=manager, role=RoleCode.BRANCH_MANAGER, branch=device.branch)
    return manager, Controller.objects.create(device=device, address=1)


def _rows(manager: User, controller: Controller, count: int) -> None:
    """So many of everything that stands in a list of theirs."""
    branch: Branch = controller.device.branch
    owner: Chain = branch.chain
    for _ in range(count):
        rental = make_rental(cart=make_cart(controller=controller))
        make_rental(cart=make_cart(controller=controller), status="returned")
        make_grant(user=rental.customer, role=RoleCode.CUSTOMER, branch=branch)
        make_grant(user=make_user(), role=RoleCode.BRANCH_MANAGER, branch=branch)
        make_device(branch=branch)
        AuditEntry.objects.create(
            actor_kind=ActorKind.PERSON,
            actor_id=rental.customer.pk,
            action="changed",
            entity="carts.cart",
            entity_id=str(rental.cart_id),
            chain_id=owner.pk,
            branch_id=branch.pk,
        )
