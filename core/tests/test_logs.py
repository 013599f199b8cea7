"""Logs name nobody and open nothing, whatever gets into them."""

import json
import logging

import pytest

from core.logs import JsonFormatter, mask


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("no row for dora.levi+x@mail.example.com", "no row for d•••@•••"),
        ("next=dora%40example.com", "next=d•••@•••"),
        ("Key (phone)=(+972522501234) already exists", "Key (phone)=(•••1234) already exists"),
        ("?q=%2B972522501234", "?q=•••1234"),
        ("to 00972 52-250-1234.", "to •••1234."),
        ("called 0522501234 twice", "called •••1234 twice"),
        ("called 052-2501234", "called •••1234"),
        ("called 052 250 1234", "called •••1234"),
        ("called 972522501234", "called •••1234"),
        ("called ۰۹۱۲۳۴۵۶۷۸۹", "called •••۶۷۸۹"),
        ("next=dora%2Bx%40example.com", "next=d•••@•••"),
        ("Not Found: /auth/link/AbC-1_2?x", "Not Found: /auth/link/•••?x"),
        ("Not Found: /auth/invitation/AbC-1_2", "Not Found: /auth/invitation/•••"),
        ("Bearer cwp_abcdefgh12345678", "Bearer cwp_•••"),
        ("Bearer eyJhbGciOiJI.eyJzdWIi.abc", "Bearer eyJ•••"),
    ],
)
def test_what_names_or_opens_is_masked(text: str, masked: str) -> None:
    assert mask(text) == masked


@pytest.mark.parametrize(
    "text",
    [
        '{"at": "2026-11-21T09:27:29.091+00:00"}',
        "7c9e6679-7425-40de-944b-e07fc1f90ae7",
        "00000000-0000-4000-8000-000000000001",
        "02:00:00:00:00:01",
        "took 0.0123456789 s",
        "seq 1763719200123",
        "port 20001 of 127.0.0.1",
        "cart 14 of BRANCH-001",
    ],
)
def test_what_names_nobody_stays(text: str) -> None:
    assert mask(text) == text


def test_every_part_of_a_line_is_masked() -> None:
    try:
        raise ValueError("+972522501234")
    except ValueError as error:
        record = logging.getLogger("test").makeRecord(
            "test", logging.ERROR, "f", 1, "to %s", ("dora@example.com",), (ValueError, error, None)
        )
    record.phone = "+972522501234"

    line = JsonFormatter().format(record)

    assert json.loads(line)["phone"] == "•••1234"
    assert "97252" not in line
    assert "dora@" not in line
    assert "dora@" in record.getMessage()  # control: that is what it was made of


@pytest.mark.parametrize("text", ['Not Found: /auth/link/x"y', "\x01dora@example.com", "a\nb\\dora@example.com"])
def test_line_stays_json_whatever_is_masked_in_it(text: str) -> None:
    record = logging.getLogger("test").makeRecord("test", logging.ERROR, "f", 1, text, (), None)
    record.path, record.several = text, [text, {"a": text}]

    said = json.loads(JsonFormatter().format(record))

    assert said["message"] == said["path"] == said["several"][0] == mask(text)
    assert "dora" not in str(said)


def test_long_text_takes_no_time() -> None:
    assert mask("a" * 1_000_000) == "a" * 1_000_000
