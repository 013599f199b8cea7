"""The count of cells in `docs/matrix.md`, written anew with `UPDATE_MATRIX=1`."""

import fcntl
import os
import re

from django.conf import settings

from tests.matrix.askers import ASKERS
from tests.matrix.judge import Judge

PAGE = settings.BASE_DIR / "docs" / "matrix.md"
AREAS = ("pages", "REST", "admin", "sockets")
UPDATE = "run: UPDATE_MATRIX=1 make test ARGS=tests/matrix"
_ROW = re.compile(r"^\| ([^|]+?) +\|((?: *[\d,]+ \|)+)$", re.MULTILINE)


def keep(judge: Judge) -> None:
    """Note how many cells one role had in one area; only ever after all of them were right."""
    write(judge.asker.name, judge.area, sum(judge.cells.values()))


def write(name: str, area: str, cells: int) -> None:
    """Put one figure into the table, when asked to."""
    if not os.environ.get("UPDATE_MATRIX"):
        return
    with PAGE.open("r+") as page:
        fcntl.flock(page, fcntl.LOCK_EX)
        text = page.read()
        table = read(text)
        table.setdefault(name, dict.fromkeys(AREAS, 0))[area] = cells
        page.seek(0)
        page.write(_replaced(text, table))
        page.truncate()


def read(text: str) -> dict[str, dict[str, int]]:
    """Cells by role and area, as the page tells them."""
    rows = {}
    for name, figures in _ROW.findall(text):
        numbers = [int(figure.replace(",", "")) for figure in figures.split("|") if figure.strip()]
        rows[name] = dict(zip(AREAS, numbers, strict=False))
    return {name: row for name, row in rows.items() if name != "all"}


def roles() -> set[str]:
    """Everybody the table must name."""
    return {name.replace("_", " ") for name in ASKERS}


def _replaced(text: str, table: dict[str, dict[str, int]]) -> str:
    head = ["| role | pages | REST | admin | sockets | all |", "|---|---:|---:|---:|---:|---:|"]
    totals = {area: sum(row.get(area, 0) for row in table.values()) for area in AREAS}
    lines = [_line(name, row) for name, row in sorted(table.items())] + [_line("all", totals)]
    start, end = text.index("<!-- cells -->"), text.index("<!-- end -->")
    return text[:start] + "\n".join(["<!-- cells -->", *head, *lines, ""]) + text[end:]


def _line(name: str, row: dict[str, int]) -> str:
    figures = [row.get(area, 0) for area in AREAS]
    return f"| {name} | " + " | ".join(f"{figure:,}" for figure in (*figures, sum(figures))) + " |"
