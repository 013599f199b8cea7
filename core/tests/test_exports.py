"""Exports: the same rows in both formats, no formulas, streamed in bounded parts."""

import asyncio
import csv
import io
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from openpyxl import load_workbook

from core import exports
from core.exports import CHUNK, Column, export_response, newest_first
from core.models import StateChange

NASTY = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "  =1", "＝1+1", "=cmd|'/c calc'!A0", "\n=1"]
COLUMNS = (Column("Number", lambda row: row[0]), Column("Text", lambda row: row[1]))


def csv_rows(response: Any) -> list[list[str]]:
    text = b"".join(response).decode()
    assert text.startswith("\ufeff")
    return list(csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline="")))


def xlsx_cells(response: Any) -> list[list[Any]]:
    book = load_workbook(io.BytesIO(b"".join(response)))
    return [[cell.value for cell in row] for row in book.active.iter_rows()]


def test_both_formats_hold_the_same_rows() -> None:
    rows = [(1, "עגלה, 14"), (2, 'a "quoted"\nline'), (3, "")]

    as_csv = csv_rows(export_response(name="x", kind="csv", columns=COLUMNS, rows=rows))
    as_xlsx = xlsx_cells(export_response(name="x", kind="xlsx", columns=COLUMNS, rows=rows))

    assert as_csv == [["Number", "Text"], ["1", "עגלה, 14"], ["2", 'a "quoted"\nline'], ["3", ""]]
    assert as_xlsx == [["Number", "Text"], [1, "עגלה, 14"], [2, 'a "quoted"\nline'], [3, None]]


@pytest.mark.parametrize("text", NASTY)
def test_text_that_begins_like_a_formula_is_none_in_csv(text: str) -> None:
    [_, [_, told]] = csv_rows(export_response(name="x", kind="csv", columns=COLUMNS, rows=[(1, text)]))

    assert told == f"'{text}"


@pytest.mark.parametrize("text", NASTY[:4])
def test_text_that_begins_like_a_formula_is_text_in_xlsx(text: str) -> None:
    response = export_response(name="x", kind="xlsx", columns=COLUMNS, rows=[(1, text)])
    cell = load_workbook(io.BytesIO(b"".join(response))).active["B2"]

    assert (cell.value, cell.data_type) == (text, "s")


def test_text_that_begins_like_a_formula_control(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the guard it goes out as it is."""
    monkeypatch.setattr(exports, "_FORMULA", exports.re.compile("(?!)"))

    [_, [_, told]] = csv_rows(export_response(name="x", kind="csv", columns=COLUMNS, rows=[(1, "=1+1")]))

    assert told == "=1+1"


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (-5, "-5"),
        (Decimal("-1.50"), "-1.50"),
        (True, "True"),
        (None, ""),
        (datetime(2026, 11, 21, 9, 0, 5, tzinfo=UTC), "2026-11-21 09:00:05"),
    ],
)
def test_value_is_written_plainly(value: object, told: str) -> None:
    assert csv_rows(export_response(name="x", kind="csv", columns=COLUMNS, rows=[(1, value)]))[1][1] == told


def test_characters_a_workbook_can_not_hold_are_left_out() -> None:
    response = export_response(name="x", kind="xlsx", columns=COLUMNS, rows=[(1, "a\x00b\x0bc" + "x" * 40_000)])

    assert xlsx_cells(response)[1][1].startswith("abcx")


def test_download_is_named_after_what_it_holds_and_is_not_kept() -> None:
    response = export_response(name="audit", kind="csv", columns=COLUMNS, rows=[])

    assert response["Content-Disposition"].startswith('attachment; filename="audit-20')
    assert response["Cache-Control"] == "no-store"


def test_rows_are_asked_for_while_it_is_sent() -> None:
    asked = 0

    def rows() -> Iterator[tuple[int, str]]:
        nonlocal asked
        for number in range(10_000):
            asked += 1
            yield number, "x" * 100

    parts = iter(export_response(name="x", kind="csv", columns=COLUMNS, rows=rows()))
    next(parts)

    assert 0 < asked < 2000


def test_large_export_stays_small_in_memory() -> None:
    response = export_response(name="x", kind="csv", columns=COLUMNS, rows=((n, "x" * 100) for n in range(50_000)))
    tracemalloc.start()

    sent = sum(len(part) for part in response)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert sent > 5_000_000
    assert peak < 1_000_000


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_served_by_asgi_it_is_the_same_without_a_warning(kind: str) -> None:
    rows = [(1, "one"), (2, "two")]

    async def collect() -> bytes:
        response = export_response(name="x", kind=kind, columns=COLUMNS, rows=rows)
        return b"".join([part async for part in response])

    read = csv_rows if kind == "csv" else xlsx_cells
    assert read([asyncio.run(collect())]) == read(export_response(name="x", kind=kind, columns=COLUMNS, rows=rows))


def test_reader_that_does_not_read_holds_no_thread() -> None:
    """Both writers are free again while ten clients have read one part each, and wait."""

    async def read_one_part_each() -> None:
        waiting = []
        for _ in range(10):
            rows = ((n, "x" * 100) for n in range(5_000))
            parts = aiter(export_response(name="x", kind="csv", columns=COLUMNS, rows=rows))
            assert await asyncio.wait_for(anext(parts), 10)
            waiting.append(parts)
        for parts in waiting:
            await parts.aclose()

    asyncio.run(read_one_part_each())


def make_changes(count: int) -> None:
    StateChange.objects.bulk_create(
        StateChange(entity="x", entity_id=uuid4(), field="f", from_state="a", to_state=str(number))
        for number in range(count)
    )


@pytest.mark.django_db
def test_rows_come_newest_first_in_lists_of_a_thousand_and_end_at_the_bound() -> None:
    make_changes(CHUNK + 700)

    with CaptureQueriesContext(connection) as queries:
        lists = list(newest_first(StateChange.objects.all(), most=CHUNK + 500))

    assert [len(each) for each in lists] == [CHUNK, 500]
    told = [int(row.to_state) for each in lists for row in each]
    assert told == list(range(CHUNK + 699, 199, -1))
    assert len(queries) == 2


@pytest.mark.django_db
def test_rows_of_an_empty_table_are_none() -> None:
    assert list(newest_first(StateChange.objects.all())) == []
