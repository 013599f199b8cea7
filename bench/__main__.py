"""`python -m bench [unlock] [start] [access]`: measure, print a table, keep the figures in `bench/results/`."""

import argparse
import json
import os
import statistics
import sys
from pathlib import Path

from bench import access, start, unlock
from bench.conditions import conditions
from bench.figures import Series, table

RESULTS = Path(__file__).parent / "results"
GOALS_MS = {"unlock, no wire time": (8.0, 15.0)}
ALLOWANCE_MS = 3.0
GOALS_S = {"cold": 15.0, "second time": 5.0}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("what", nargs="*", choices=["unlock", "start", "access", []], help="default: all")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--unlocks", type=int, default=102, help="in each round, on each line")
    parser.add_argument("--starts", type=int, default=3)
    parser.add_argument("--samples", type=int, default=100, help="of each list, in each round")
    parser.add_argument("--dry", action="store_true", help="print only, keep nothing")
    options = parser.parse_args()
    what = options.what or ["unlock", "start", "access"]
    if "unlock" in what:
        bench_unlock(options.rounds, options.unlocks, keep=not options.dry)
    if "start" in what:
        bench_start(options.starts, keep=not options.dry)
    if "access" in what:
        bench_access(options.rounds, options.samples, keep=not options.dry)


def bench_unlock(rounds: int, unlocks: int, *, keep: bool) -> None:
    facts = conditions()
    found = unlock.measure(rounds, unlocks, say)
    print(_unlock_table(found))
    hops = {line: _medians(rows) for line, rows in found.hops.items()}
    names = sorted({name for line in hops.values() for name in line})
    print()
    print(table(["hop, median ms", *hops], [[name, *[f"{hops[line][name]:.2f}" for line in hops]] for name in names]))
    if keep:
        series = [one.as_json() for one in found.series.values()]
        save("unlock", {"conditions": facts, "rounds": rounds, "unit": "ms", "series": series, "hops": hops})


def _unlock_table(found: unlock.Measurement) -> str:
    bare = found.series["bare MQTT round trip"].median_of(50)
    rows = []
    for name, one in found.series.items():
        p50, p95 = one.median_of(50), one.median_of(95)
        rows.append([name, f"{p50:.2f}", f"{p95:.2f}", f"{p50 / bare:.1f}", _goal(name, found)])
    return table(["milliseconds", "p50", "p95", "× bare", "goal p50 / p95"], rows)


def _goal(name: str, found: unlock.Measurement) -> str:
    if name in GOALS_MS:
        return " / ".join(f"{goal:g}" for goal in GOALS_MS[name])
    if name == "unlock, 19,200 baud":
        return f"{found.series['unlock, no wire time'].median_of(50) + unlock.WIRE_MS + ALLOWANCE_MS:.2f}"
    return ""


def _medians(rows: list[dict[str, float]]) -> dict[str, float]:
    names = {name for row in rows for name in row}
    return {name: round(statistics.median(row[name] for row in rows if name in row), 3) for name in sorted(names)}


def bench_start(starts: int, *, keep: bool) -> None:
    facts = conditions()
    found = start.measure(starts, say)
    rows = [[name, *[f"{values[0]:.1f}" for values in one.rounds], f"{GOALS_S[name]:g}"] for name, one in found.items()]
    print(table(["seconds to the first page", *[f"start {number + 1}" for number in range(starts)], "goal"], rows))
    if keep:
        save("start", {"conditions": facts, "unit": "s", "series": [_seconds(one) for one in found.values()]})


def _seconds(series: Series) -> dict[str, object]:
    return {"name": series.name, "starts": [round(values[0], 2) for values in series.rounds]}


def bench_access(rounds: int, samples: int, *, keep: bool) -> None:
    facts = conditions()
    found = access.measure(rounds, samples, say)
    print(table(["milliseconds", "p50", "p95", "ratio"], access.rows_of(found)))
    if keep:
        content = {
            "conditions": facts,
            "rounds": rounds,
            "rows": access.CHAINS * access.BRANCHES_EACH * access.ROWS_EACH,
        }
        save("access", {**content, "goal": access.GOAL, "groups": access.as_json(found)})


def save(name: str, content: dict[str, object]) -> None:
    """Keep the last figures, with how busy the machine was in the end: above its cores' number they say little."""
    content["load_1m_after"] = round(os.getloadavg()[0], 2)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n")


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
