"""Percentiles of a round, medians over rounds, and the table they are printed in."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

PERCENTILES = (50, 95)


def percentile(values: Sequence[float], percent: int) -> float:
    """By nearest rank."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


@dataclass
class Series:
    """One thing measured in every round; milliseconds."""

    name: str
    rounds: list[list[float]] = field(default_factory=list)

    def median_of(self, percent: int) -> float:
        """The median over rounds of a percentile."""
        return statistics.median(percentile(values, percent) for values in self.rounds)

    def as_json(self) -> dict[str, object]:
        rounds = [
            {f"p{percent}": round(percentile(values, percent), 3) for percent in PERCENTILES} for values in self.rounds
        ]
        medians = {f"p{percent}": round(self.median_of(percent), 3) for percent in PERCENTILES}
        return {"name": self.name, "samples_per_round": len(self.rounds[0]), "median": medians, "rounds": rounds}


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown, the first column to the left and the others to the right."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        padded = [
            cells[0].ljust(widths[0]),
            *[cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)],
        ]
        return f"| {' | '.join(padded)} |"

    ruler = ["-" * widths[0], *["-" * (width - 1) + ":" for width in widths[1:]]]
    return "\n".join([line(head), line(ruler), *[line(row) for row in rows]])
