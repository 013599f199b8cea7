"""The count of cells in `docs/matrix.md`, written anew with `UPDATE_MATRIX=1`."""

import fcntl
import json
import os
import re

from django.conf import settings

from deploy.stack import testing
from tests.matrix.askers import ASKERS
from tests.matrix.judge import Judge

PAGE = settings.BASE_DIR / "docs" / "matrix.md"
AREAS = ("pages", "REST", "admin", "sockets")
UPDATING = bool(os.environ.get("UPDATE_MATRIX"))
WHOLE = UPDATING or os.environ.get("MATRIX") == "whole"
UPDATE = "run: UPDATE_MATRIX=1 make test ARGS=tests/matrix"
_ROW = re.compile(r"^\| ([^|]+?) +\|((?: *[\d,]+ \|)+)$", re.MULTILINE)


def keep(judge: Judge, part: int = 0) -> None:
    """Note how many cells one role had in one part of an area; only ever after all of them were right."""
    write(judge.asker.name, judge.area, sum(judge.cells.values()), part)


def write(name: str, area: str, cells: int, part: int = 0) -> None:
    """Put one figure into the table, when asked to; the parts of an area, played by several workers, are added up."""
    if not UPDATING:
        return
    with (testing.shared_folder() / "matrix.json").open("a+") as counted:
        fcntl.flock(counted, fcntl.LOCK_EX)
        counted.seek(0)
        found: dict[str, dict[str, dict[str, int]]] = json.loads(counted.read() or "{}")
        found.setdefault(name, {}).setdefault(area, {})[str(part)] = cells
        counted.truncate(0)
        counted.write(json.dumps(found))
        text = PAGE.read_text()
        table = read(text)
        for role, areas in found.items():
            row = table.setdefault(role, dict.fromkeys(AREAS, 0))
            row.update({each: sum(parts.values()) for each, parts in areas.items()})
        PAGE.write_text(_replaced(text, table))


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
