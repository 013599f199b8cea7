import json
import logging
import sys
from unittest.mock import Mock

import pytest
from django.db import OperationalError
from django.test import Client

from core.logs import JsonFormatter, RequestIdFilter
from core.request_id import current_request_id
from tenants.session_store import SessionStore
from tenants.tests.factories import make_people
from tenants.tests.signing_in import sign_in

pytestmark = pytest.mark.django_db


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


@pytest.mark.parametrize("path", ["/me/", "/control/", "/auth/sign-in", "/nowhere"])
def test_browser_that_is_signed_in_gets_a_page_while_the_database_is_away(
    monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """Drawing that page must not ask again who it is for."""
    browser = Client(raise_request_exception=False)
    sign_in(browser, make_people().dora)
    asked = Mock(side_effect=OperationalError("gone"))
    monkeypatch.setattr(SessionStore, "load", asked)

    response = browser.get(path)

    assert response.status_code == 503
    assert response["Retry-After"]
    assert response["Content-Security-Policy"]
    assert asked.call_count <= 2
