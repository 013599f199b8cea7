"""Tables to take away: CSV and XLSX, streamed, bounded, and harmless to open in a spreadsheet.

CSV is UTF-8 with a byte order mark, which spreadsheets need to read anything but Latin letters. A text that a
spreadsheet would take for a formula gets an apostrophe before it (OWASP, CSV injection); XLSX says of each cell that
it is text.
"""

import asyncio
import csv
import io
import re
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from tempfile import SpooledTemporaryFile
from typing import IO, Any, Generic, TypeVar

from django.db import connections, models
from django.http import StreamingHttpResponse
from django.utils import timezone, translation
from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE

from core.errors import Text
from core.limits import Limit, take

MOST_ROWS = 100_000
EXPORTS_AN_HOUR = 30
CHUNK = 1000
KINDS = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
_FORMULA = re.compile(r"^[\s\x00]*[=+\-@\t\r＝＋－＠]")
_PART_BYTES = 64 * 1024
_IN_MEMORY_BYTES = 1024 * 1024
_WRITERS = ThreadPoolExecutor(2, thread_name_prefix="export")

T = TypeVar("T")
M = TypeVar("M", bound=models.Model)


@dataclass(frozen=True, slots=True)
class Column(Generic[T]):
    """A column of an export: what stands above it, and what of a row stands in it."""

    title: Text
    value: Callable[[T], object]


def take_export(who: object) -> None:
    """Count one export of somebody's. Raises `TooMany`: two threads write for everybody, so nobody may queue hours."""
    take([Limit(f"export:person:{who}", EXPORTS_AN_HOUR, timedelta(hours=1))], fail_closed=False)


def newest_first(rows: models.QuerySet[M], *, most: int = MOST_ROWS) -> Iterator[list[M]]:
    """At most `most` rows in lists of a thousand, newest key first. A short query each: no cursor is held meanwhile."""
    last: Any = None
    while most > 0:
        following = rows.order_by("-pk") if last is None else rows.order_by("-pk").filter(pk__lt=last)
        chunk = list(following[: min(CHUNK, most)])
        if not chunk:
            return
        yield chunk
        most -= len(chunk)
        last = chunk[-1].pk


def export_response(*, name: str, kind: str, columns: Sequence[Column[T]], rows: Iterable[T]) -> "ExportResponse":
    """A download named `name`; `kind` is one of `KINDS`. Rows are asked for while it is sent, in today's language."""
    parts = {"csv": _csv_parts, "xlsx": _xlsx_parts}[kind](columns, rows)
    response = ExportResponse(_in_language(parts, translation.get_language()), content_type=KINDS[kind])
    response["Content-Disposition"] = f'attachment; filename="{name}-{timezone.now():%Y-%m-%d}.{kind}"'
    response["Cache-Control"] = "no-store"
    return response


class ExportResponse(StreamingHttpResponse):
    """Sent from a file under ASGI, so that a slow reader holds neither a thread nor a database connection.

    The file is written by one of two threads: a large workbook takes half a minute, the threads that serve pages and
    sockets are few, and so are connections. Whoever comes third waits for a turn.
    """

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES) as file:
            await asyncio.get_running_loop().run_in_executor(_WRITERS, self._write, file)
            file.seek(0)
            while part := await asyncio.to_thread(file.read, _PART_BYTES):
                yield part

    def _write(self, file: IO[bytes]) -> None:
        try:
            file.writelines(self)
        finally:
            connections.close_all()


def safe_text(value: object) -> object:
    """A value for a spreadsheet: numbers stay numbers, times are UTC, and no text is a formula."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, int | float | Decimal):
        return value
    text = _text(value)
    return f"'{text}" if _FORMULA.match(text) else text


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
    return value.isoformat() if isinstance(value, date) else str(value)


def _csv_parts(columns: Sequence[Column[T]], rows: Iterable[T]) -> Iterator[bytes]:
    text = io.StringIO()
    writer = csv.writer(text)
    text.write("\ufeff")
    writer.writerow([safe_text(column.title) for column in columns])
    for row in rows:
        writer.writerow([safe_text(column.value(row)) for column in columns])
        if text.tell() >= _PART_BYTES:
            yield text.getvalue().encode()
            text.seek(0)
            text.truncate()
    yield text.getvalue().encode()


def _xlsx_parts(columns: Sequence[Column[T]], rows: Iterable[T]) -> Iterator[bytes]:
    """The archive's index comes last, so the file is written whole, on disk where it is large, and then sent."""
    book = Workbook(write_only=True)
    sheet = book.create_sheet()
    sheet.freeze_panes = "A2"
    sheet.append([_cell(sheet, column.title) for column in columns])
    for row in rows:
        sheet.append([_cell(sheet, column.value(row)) for column in columns])
    with SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES) as file:
        book.save(file)
        file.seek(0)
        while part := file.read(_PART_BYTES):
            yield part


def _cell(sheet: Any, value: object) -> Any:
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return WriteOnlyCell(sheet, value)
    cell = WriteOnlyCell(sheet, ILLEGAL_CHARACTERS_RE.sub("", "" if value is None else _text(value)))
    cell.data_type = "s"  # whatever it begins with
    return cell


def _in_language(parts: Iterator[bytes], language: str | None) -> Iterator[bytes]:
    """The request's language is over when its body is sent."""
    while True:
        with translation.override(language):
            part = next(parts, b"")
        if not part:
            return
        yield part
