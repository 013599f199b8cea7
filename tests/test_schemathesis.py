"""The whole REST API, asked by Schemathesis as everybody there is: no server error, nothing without the right to it,
and every answer as the document says.

Examples come from the document, ids half of the time from rows that are there; each example is undone, so that the next
finds the same rows. `SCHEMATHESIS_SEED` plays a run again, `SCHEMATHESIS_EXAMPLES` asks more.
"""

import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from typing import Any

import hypothesis
import pytest
import schemathesis
from django.conf import settings as live
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, transaction
from django.test import override_settings
from django.urls import include, path
from django.utils import timezone
from drf_spectacular.generators import SchemaGenerator
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st
from pytest_django import Settings
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from carts.tests.factories import make_cart, make_rental
from devices.tests.factories import make_command, make_device, make_device_token
from tenants.cloudflare import HEADER
from tenants.enums import RoleCode
from tenants.models import User
from tenants.services import create_machine_user
from tenants.services.personal_tokens import create_personal_token
from tenants.services.sessions import issue_access_token
from tenants.services.support_access import open_support_access
from tenants.tests.access_team import Team, team, team_process
from tenants.tests.factories import People, make_grant, make_people, make_user

__all__ = ["team", "team_process"]

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(300)]
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    ignored_auth,
]
Headers = dict[str, str]
Cases = dict[str, st.SearchStrategy[Case]]
PEOPLE = ("alice", "bob", "charlie", "dora", "erin")
STAFF = ("technical", "support_with_access", "manager_without_second_factor")
# A person's program has a personal token; a service's comes through Cloudflare Access.
ROLES = ("nobody", *PEOPLE, *STAFF, "device", "program", "service")
# Each role is asked other examples, so that few for each are many for an operation.
EXAMPLES = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "3"))
SEED = int(os.environ.get("SCHEMATHESIS_SEED") or random.randrange(2**32))


@pytest.fixture
def people() -> People:
    return make_people()


@pytest.fixture
def known(people: People) -> dict[str, Any]:
    """Values of rows that are there, by the names parameters and fields have."""
    rental = make_rental(cart=make_cart(branch=people.branch), customer=people.dora)
    cart = make_cart(branch=people.branch)
    device = make_device(branch=people.branch)
    make_command(device=device)
    return {
        "branch": people.branch.pk,
        "branch_id": people.branch.pk,
        "branch_code": people.branch.code,
        "cart": cart.pk,
        "cart_id": cart.pk,
        "cart_number": cart.cart_number,
        "chain": people.chain.pk,
        "chain_id": people.chain.pk,
        "device": device.pk,
        "device_id": device.pk,
        "rental_id": rental.pk,
        "user_id": people.dora.pk,
        "phone": people.dora.phone,
    }


@pytest.fixture
def credential(people: People, known: dict[str, Any], request: pytest.FixtureRequest) -> Callable[[str], Headers]:
    """The headers a role is known by; none for nobody."""

    def make(role: str) -> Headers:
        if role == "nobody":
            return {}
        if role == "service":
            team: Team = request.getfixturevalue("team")
            machine = create_machine_user(name="Till", client_id="till.access", actor=people.erin)
            make_grant(user=machine, role=RoleCode.BRANCH_MANAGER, branch=people.branch)
            return {HEADER: team.mint_for_program("till.access")}
        return {"Authorization": f"Bearer {token_of(role, people)}"}

    return make


def token_of(role: str, people: People) -> str:
    if role == "device":
        return make_device_token(device=make_device(branch=people.branch))
    if role == "program":
        ends = timezone.now() + timedelta(days=1)
        return create_personal_token(user=people.bob, name="Reports", scopes=["carts:view"], expires_at=ends)[1]
    if role == "manager_without_second_factor":
        return issue_access_token(people.bob, second_factor=False)
    return issue_access_token(getattr(people, role) if role in PEOPLE else staff_of(role, people), second_factor=True)


def staff_of(role: str, people: People) -> User:
    """Staff of the platform; support has our chain open."""
    user = make_user(email=f"{role}@example.com", name=role)
    make_grant(user=user, role=RoleCode.TECHNICAL if role == "technical" else RoleCode.SUPPORT)
    if role == "support_with_access":
        open_support_access(chain=people.chain, reason="Asked to", lasts=timedelta(hours=1), actor=user)
    return User.objects.get(pk=user.pk)


@pytest.fixture(autouse=True)
def connection_stays() -> Iterator[None]:
    """As for Django's own test client: a request must not close the connection whose transaction the test is in."""
    signals = (request_started, request_finished)
    for signal in signals:
        signal.disconnect(close_old_connections)
    yield
    for signal in signals:
        signal.connect(close_old_connections)


@pytest.fixture(autouse=True)
def outside(settings: Settings, sms: object) -> None:
    """Codes go to a gateway that takes them; no broker hears of the devices that are made up here."""
    settings.BROKER_WAIT_S = 0


@cache
def cases_of_the_product() -> Cases:
    """Made once: it takes as long as asking."""
    return cases_of(SchemaGenerator().get_schema(request=None, public=True))


def cases_of(document: dict[str, Any]) -> Cases:
    """By operation, what may be asked of it, rightly and wrongly."""
    schema = schemathesis.openapi.from_dict(document)
    schema.app = WSGIHandler()
    modes = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    operations = [found.ok() for found in schema.get_all_operations()]
    return {each.label: st.one_of([each.as_strategy(mode) for mode in modes]) for each in operations}


@contextmanager
def undone() -> Iterator[None]:
    """What happens inside leaves nothing behind."""
    block = transaction.atomic()
    block._from_testcase = True  # services that insist on the outermost transaction are content with it
    with block:
        yield
        transaction.set_rollback(True)


def with_known(case: Case, known: dict[str, Any], chance: random.Random) -> Case:
    """The case, half of its ids those of rows that are there."""
    for container in (case.path_parameters, case.query, case.body):
        if isinstance(container, dict):
            for name in container.keys() & known.keys():
                if chance.random() < 0.5:
                    container[name] = str(known[name]) if name != "cart_number" else known[name]
    return case


def without_credentials(case: Case) -> None:
    """Made-up ones are for nobody: beside a real one they decide nothing, but the checks would take them for used."""
    for name in ("Authorization", HEADER):
        case.headers.pop(name, None)
    case.cookies.pop(live.SESSION_COOKIE_NAME, None)


def wrongs_of(cases: Cases, role: str, headers: Headers, known: dict[str, Any], examples: int = EXAMPLES) -> list[str]:
    """What is wrong with each operation for a role, which is known by these headers."""
    print(f"SCHEMATHESIS_SEED={SEED}")  # noqa: T201  pytest shows it with a failure
    wrongs = []
    for label, of_operation in cases.items():

        @hypothesis.seed(SEED + ROLES.index(role))
        @hypothesis.settings(
            max_examples=examples,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        )
        @hypothesis.given(case=of_operation, chance=st.randoms(use_true_random=False))
        def ask(case: Case, chance: random.Random) -> None:
            with_known(case, known, chance)
            if headers:
                without_credentials(case)
            with undone():
                case.call_and_validate(headers=headers, checks=CHECKS)

        try:
            ask()
        except FailureGroup as failures:
            wrongs += [f"{label}: {' '.join(str(each).split())}" for each in failures.exceptions]
    return wrongs


@pytest.mark.parametrize("role", ROLES)
def test_every_operation_keeps_its_word_to(
    role: str, known: dict[str, Any], credential: Callable[[str], Headers]
) -> None:
    wrongs = wrongs_of(cases_of_the_product(), role, credential(role), known)

    assert wrongs == [], "\n".join(wrongs)


# --- It would have told -----------------------------------------------------------------------------------------------


class Shape(serializers.Serializer[None]):
    """What the seeded views promise."""

    name = serializers.CharField()


class Honest(APIView):
    """Asks for a token and answers as promised."""

    serializer_class = Shape
    answer: Any = {"name": "a"}

    def get(self, request: Request) -> Response:
        return Response(self.answer)


class Crashing(Honest):
    """A bug."""

    def get(self, request: Request) -> Response:
        raise RuntimeError("seeded")


class Lying(Honest):
    """Answers otherwise than promised."""

    answer = {"name": {"first": "a"}}


class Open(Honest):
    """Says that it asks for a token, and asks for none."""

    permission_classes = ()


SEEDED = {"honest": Honest, "crashing": Crashing, "lying": Lying, "open": Open}
urlpatterns = [
    *(path(f"api/{name}", view.as_view()) for name, view in SEEDED.items()),
    path("", include("config.urls")),
]


@pytest.mark.parametrize(
    ("name", "role", "told"),
    [
        ("honest", "alice", ""),
        ("crashing", "alice", "Server error"),
        ("lying", "alice", "Response violates schema"),
        ("open", "nobody", "API accepts"),
        ("open", "alice", "API accepts"),
    ],
)
def test_seeded_bug_is_told_of_control(
    name: str, role: str, told: str, known: dict[str, Any], credential: Callable[[str], Headers]
) -> None:
    with override_settings(ROOT_URLCONF=__name__):
        document = SchemaGenerator(patterns=urlpatterns[: len(SEEDED)]).get_schema(request=None, public=True)
        operation = document["paths"][f"/api/{name}"]["get"]
        operation["security"] = [{"personToken": []}]
        cases = cases_of({**document, "paths": {f"/api/{name}": {"get": operation}}})
        wrongs = wrongs_of(cases, role, credential(role), known)

    assert bool(wrongs) is bool(told)
    assert any(told in wrong for wrong in wrongs) is bool(told), wrongs
