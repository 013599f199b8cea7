import json
import logging
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client

from core.models import ComponentPulse

pytestmark = [pytest.mark.django_db, pytest.mark.urls("core.tests.failing_urls")]


@pytest.fixture
def client() -> Client:
    return Client(raise_request_exception=False, headers={"X-Request-Id": "id-of-this-request"})


def envelope(response: HttpResponse) -> dict[str, Any]:
    """The body, when it is the one envelope in every respect."""
    body: dict[str, Any] = json.loads(response.content)
    assert response["Content-Type"] == "application/problem+json"
    assert list(body) == ["type", "title", "status", "detail", "errors", "request_id"]
    assert body["status"] == response.status_code
    assert body["request_id"] == response["X-Request-Id"] == "id-of-this-request"
    assert body["title"]
    return body


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        ("http404", 404, "not-found"),
        ("not-found", 404, "not-found"),
        ("denied", 403, "not-allowed"),
        ("not-allowed", 403, "not-allowed"),
        ("too-many", 429, "too-many"),
        ("unavailable", 503, "unavailable"),
        ("field", 400, "invalid"),
        ("throttled", 429, "throttled"),
        ("signed-out", 403, "not-authenticated"),
        ("suspicious", 400, "bad-request"),
        ("bug", 500, "server-error"),
        ("database-away", 503, "unavailable"),
    ],
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_every_failure_is_the_envelope_and_leaves_nothing_half_done(
    client: Client, name: str, status: int, code: str
) -> None:
    response = client.get(f"/api/fails/{name}")

    body = envelope(response)
    assert (body["status"], body["type"]) == (status, f"urn:cartwise:problem:{code}")
    assert "secret" not in response.text
    assert not ComponentPulse.objects.exists()


@pytest.mark.parametrize(("name", "seconds"), [("too-many", "17"), ("throttled", "4"), ("database-away", "5")])
def test_refusal_says_when_to_come_back(client: Client, name: str, seconds: str) -> None:
    assert client.get(f"/api/fails/{name}")["Retry-After"] == seconds


def test_fields_of_a_refusal_are_named(client: Client) -> None:
    assert envelope(client.get("/api/fails/field"))["errors"] == {"phone": ["Not a phone."]}


def test_nested_fields_are_named_by_their_path(client: Client) -> None:
    order = {"name": "too long", "lines": [{"sku": "a", "count": 1}, {"count": 0}]}

    body = envelope(client.post("/api/orders", order, content_type="application/json"))

    assert body["status"] == 400
    assert {field: len(messages) for field, messages in body["errors"].items()} == {
        "name": 1,
        "lines.1.sku": 1,
        "lines.1.count": 1,
    }


@pytest.mark.parametrize(
    "order",
    [
        pytest.param("[]", id="a-list"),
        pytest.param('"text"', id="a-text"),
        pytest.param("null", id="null"),
        pytest.param('{"name": "\\u0000", "lines": []}', id="nul-byte"),
        pytest.param('{"name": "a", "lines": {"a": 1}}', id="object-for-a-list"),
        pytest.param("{", id="broken"),
        pytest.param("", id="empty"),
        pytest.param("\udcff".encode("utf-8", "surrogateescape"), id="not-utf-8"),
        pytest.param("[" * 100_000, id="deep"),
        pytest.param('{"name": NaN, "lines": []}', id="nan"),
    ],
)
def test_hostile_body_is_refused_in_the_envelope(client: Client, order: str | bytes) -> None:
    body = envelope(client.post("/api/orders", order, content_type="application/json"))

    assert body["status"] == 400


def test_body_that_is_too_large_is_refused(client: Client) -> None:
    def order(spaces: int) -> int:
        line = b'{"sku": "a", "count": 1}' + b" " * spaces
        body = b'{"name": "a", "lines": [' + line + b"]}"
        return client.post("/api/orders", body, content_type="application/json").status_code

    assert [order(0), order(2_000_000)] == [200, 400]


def test_other_media_type_is_refused_in_the_envelope(client: Client) -> None:
    assert envelope(client.post("/api/orders", {"name": "a"}))["status"] == 415


def test_other_method_is_refused_in_the_envelope(client: Client) -> None:
    assert envelope(client.delete("/api/orders"))["status"] == 405


def test_unknown_address_is_the_envelope_below_api_and_a_page_elsewhere(client: Client) -> None:
    assert envelope(client.get("/api/nowhere"))["status"] == 404

    page = client.get("/nowhere")
    assert (page.status_code, page["Content-Type"]) == (404, "text/html; charset=utf-8")
    assert "id-of-this-request" in page.text


@pytest.mark.parametrize(("name", "status"), [("bug", 500), ("database-away", 503)])
def test_bug_on_a_page_shows_a_page_with_the_id_and_no_secret(client: Client, name: str, status: int) -> None:
    page = client.get(f"/fails/{name}")

    assert page.status_code == status
    assert "secret" not in page.text
    assert "id-of-this-request" in page.text


def test_bug_is_logged_with_its_stack(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR, logger="django.request")

    client.get("/api/fails/bug")

    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [RuntimeError]


def test_refusal_speaks_the_readers_language(client: Client) -> None:
    titles = {
        language: envelope(client.get("/api/fails/not-found", headers={"Accept-Language": language}))["title"]
        for language in ("en", "zz")
    }

    assert titles == {"en": "Not found", "zz": "Not found"}
