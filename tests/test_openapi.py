"""The REST document: whole, valid, and the same in the repository as in the code."""

import re
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command
from django.urls import get_resolver
from drf_spectacular.drainage import GENERATOR_STATS, reset_generator_stats
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.validation import validate_schema

from tests.addresses import named

REWRITE = "run: manage.py spectacular --file docs/protocol/openapi.yaml"
METHODS = {"get", "put", "post", "delete", "patch"}
# What the product's description names; the ids in the addresses are ours.
PROMISED = """
POST /api/auth/otp/request
POST /api/auth/otp/verify
POST /api/auth/register
POST /api/auth/verify
POST /api/auth/login
POST /api/auth/token/refresh
POST /api/auth/logout
GET /api/auth/me
PATCH /api/auth/me
GET /api/auth/tokens
POST /api/auth/tokens
DELETE /api/auth/tokens/{token_id}
GET /api/chains
POST /api/chains
GET /api/chains/{chain_id}
PUT /api/chains/{chain_id}
DELETE /api/chains/{chain_id}
GET /api/branches
POST /api/branches
GET /api/branches/{branch_id}
GET /api/branches/{branch_id}/stats
POST /api/devices/register
POST /api/devices/heartbeat
POST /api/devices/{device_id}/heartbeat
GET /api/devices/{device_id}
GET /api/devices/{device_id}/status
PUT /api/devices/{device_id}/firmware
GET /api/branches/{branch_id}/carts
POST /api/branches/{branch_id}/carts/assign
POST /api/branches/{branch_id}/carts/return
GET /api/branches/{branch_id}/carts/{cart_id}
GET /api/branches/{branch_id}/rentals/active
GET /api/branches/{branch_id}/rentals/history
GET /api/branches/{branch_id}/rentals/stats
GET /api/telemetry/devices/{device_id}
GET /api/telemetry/branches/{branch_id}
GET /api/telemetry/chains/{chain_id}
"""


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    reset_generator_stats()
    schema: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)
    return schema


def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Each operation by its method and path."""
    return {
        f"{method.upper()} {path}": operation
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    }


def test_document_is_built_without_a_warning_and_is_valid(document: dict[str, Any]) -> None:
    assert not GENERATOR_STATS, GENERATOR_STATS.emit_summary()
    validate_schema(document)


@pytest.mark.parametrize("operation", PROMISED.split("\n")[1:-1])
def test_promised_operation_is_there(document: dict[str, Any], operation: str) -> None:
    assert operation in operations(document)


def test_no_address_ends_in_a_slash(document: dict[str, Any]) -> None:
    assert [path for path in document["paths"] if path.endswith("/")] == []


def test_every_operation_has_a_name_of_its_own_a_description_and_a_tag(document: dict[str, Any]) -> None:
    found = operations(document)
    names = [operation["operationId"] for operation in found.values()]

    assert len(set(names)) == len(names)
    assert [key for key, operation in found.items() if not operation.get("description") or not operation["tags"]] == []


def test_assign_and_return_ask_for_an_idempotency_key(document: dict[str, Any]) -> None:
    for verb in ("assign", "return"):
        parameters = operations(document)[f"POST /api/branches/{{branch_id}}/carts/{verb}"]["parameters"]
        header = next(each for each in parameters if each["in"] == "header")
        assert (header["name"], header["required"]) == ("Idempotency-Key", True)


def test_lists_are_paged(document: dict[str, Any]) -> None:
    found = operations(document)
    for key in ("GET /api/chains", "GET /api/branches", "GET /api/branches/{branch_id}/rentals/history"):
        assert {"page", "page_size"} <= {each["name"] for each in found[key]["parameters"]}


def test_only_what_has_to_be_is_open_to_everybody(document: dict[str, Any]) -> None:
    open_to_all = {
        key for key, each in operations(document).items() if not each.get("security") or {} in each["security"]
    }

    assert open_to_all == {
        "POST /api/auth/otp/request",
        "POST /api/auth/otp/verify",
        "POST /api/auth/register",
        "POST /api/auth/verify",
        "POST /api/auth/login",
        "POST /api/auth/token/refresh",
        "POST /api/devices/register",
    }


def test_every_rest_route_is_in_the_document(document: dict[str, Any]) -> None:
    routes = {
        re.sub(r"<\w+:(\w+)>", r"{\1}", f"/api/{route.pattern}") for _, route in named(get_resolver("config.api"))
    }

    assert routes == set(document["paths"])


def test_written_document_is_what_the_code_makes(tmp_path: Path) -> None:
    call_command("spectacular", "--file", str(tmp_path / "openapi.yaml"))
    written = (settings.BASE_DIR / "docs" / "protocol" / "openapi.yaml").read_text()

    assert written == (tmp_path / "openapi.yaml").read_text(), REWRITE
