import json
import logging
import sys

import pytest
from django.test import Client, RequestFactory
from pytest_django import Settings

from core.addresses import client_address
from core.logs import JsonFormatter, RequestIdFilter
from core.request_id import current_request_id

pytestmark = pytest.mark.django_db
ADDRESSES = ["/healthz", "/auth/sign-in", "/api/chains", "/api/nowhere", "/nowhere", "/admin/login/", "/api/schema"]


@pytest.mark.parametrize("given", ["a1b2c3d4", "0f8fad5b-d9cb-469f-a165-70867728950e", "x" * 64])
def test_request_id_that_was_given_is_kept(client: Client, given: str) -> None:
    assert client.get("/healthz", headers={"X-Request-Id": given})["X-Request-Id"] == given


@pytest.mark.parametrize("given", ["", "short", "x" * 65, "with space", "new\\nline", "<script>", "ünïcödé-1"])
def test_request_id_that_could_do_harm_is_replaced(client: Client, given: str) -> None:
    answered = client.get("/healthz", headers={"X-Request-Id": given})["X-Request-Id"]

    assert answered != given
    assert len(answered) == 32


def test_every_request_has_an_id_of_its_own_and_none_stays_behind(client: Client) -> None:
    ids = {client.get("/healthz")["X-Request-Id"] for _ in range(3)}

    assert len(ids) == 3
    assert current_request_id.get() == ""


@pytest.mark.parametrize("address", ADDRESSES)
def test_every_answer_is_guarded(client: Client, address: str) -> None:
    response = client.get(address)

    assert response["X-Frame-Options"] == "DENY"
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Referrer-Policy"] == "same-origin"
    assert response["Cross-Origin-Opener-Policy"] == "same-origin"
    assert "camera=()" in response["Permissions-Policy"]
    assert "frame-ancestors 'none'" in response["Content-Security-Policy"]
    assert "object-src 'none'" in response["Content-Security-Policy"]


@pytest.mark.parametrize("address", [address for address in ADDRESSES if not address.startswith("/admin/")])
def test_only_the_admin_and_the_api_browser_may_run_inline_scripts(client: Client, address: str) -> None:
    assert "unsafe" not in client.get(address)["Content-Security-Policy"]
    assert "unsafe-inline" in client.get("/admin/login/")["Content-Security-Policy"]


def test_cookies_are_out_of_reach_of_scripts_and_other_sites(client: Client) -> None:
    response = client.get("/auth/sign-in")

    assert {name: cookie["samesite"] for name, cookie in response.cookies.items()} == {"csrftoken": "Lax"}


@pytest.mark.parametrize("host", ["evil.example", "testserver.evil.example", "", "a b"])
def test_foreign_host_is_refused(host: str) -> None:
    assert Client(raise_request_exception=False).get("/auth/sign-in", headers={"Host": host}).status_code == 400


def test_form_without_its_token_is_refused() -> None:
    response = Client(enforce_csrf_checks=True).post("/auth/sign-in", {"username": "a@example.com", "password": "x"})

    assert response.status_code == 403


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        pytest.param("203.0.113.9", "", "203.0.113.9", id="no-header"),
        pytest.param("203.0.113.9", "198.51.100.1", "203.0.113.9", id="stranger-says"),
        pytest.param("10.0.0.1", "198.51.100.1", "198.51.100.1", id="proxy-says"),
        pytest.param("10.0.0.1", "1.1.1.1, 198.51.100.1", "198.51.100.1", id="client-prepended"),
        pytest.param("10.0.0.1", "198.51.100.1, 10.0.0.2", "198.51.100.1", id="two-proxies"),
        pytest.param("10.0.0.1", "1.1.1.1, 203.0.113.7, 10.0.0.2", "203.0.113.7", id="stops-at-the-first-stranger"),
        pytest.param("10.0.0.1", " , ,", "10.0.0.1", id="empty-hops"),
        pytest.param("10.0.0.1", "10.0.0.2", "10.0.0.2", id="only-proxies"),
    ],
)
def test_address_is_believed_as_far_as_trusted_proxies_wrote_it(
    peer: str, forwarded: str, expected: str, settings: Settings
) -> None:
    settings.TRUSTED_PROXIES = ["10.0.0.1", "10.0.0.2"]
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}

    assert client_address(RequestFactory().get("/", REMOTE_ADDR=peer, headers=headers)) == expected


def test_without_trusted_proxies_nobody_is_believed(settings: Settings) -> None:
    settings.TRUSTED_PROXIES = []
    request = RequestFactory().get("/", REMOTE_ADDR="10.0.0.1", headers={"X-Forwarded-For": "1.1.1.1"})

    assert client_address(request) == "10.0.0.1"


def log_line(record: logging.LogRecord) -> dict[str, object]:
    RequestIdFilter().filter(record)
    text = JsonFormatter().format(record)
    assert "\n" not in text
    line: dict[str, object] = json.loads(text)
    return line


def test_log_line_is_one_json_object_with_the_request_and_what_was_added() -> None:
    record = logging.makeLogRecord(
        {
            "name": "carts",
            "levelname": "INFO",
            "msg": "cart %s\nis out",
            "args": (7,),
            "cart": "7",
            "what": {
                1,
            },
        }
    )
    token = current_request_id.set("id-of-this-request")

    line = log_line(record)
    current_request_id.reset(token)

    assert (line["message"], line["level"], line["logger"]) == ("cart 7\nis out", "INFO", "carts")
    assert (line["request_id"], line["cart"], line["what"]) == ("id-of-this-request", "7", "{1}")
    assert str(line["at"]).endswith("+00:00")


def test_log_line_outside_of_a_request_has_no_id_and_keeps_the_stack() -> None:
    try:
        raise ValueError("broken")
    except ValueError:
        line = log_line(logging.makeLogRecord({"msg": "failed", "exc_info": sys.exc_info()}))

    assert "request_id" not in line
    assert str(line["exception"]).endswith("ValueError: broken")
