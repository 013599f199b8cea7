"""`python -m bench.soak --unlocks 100000 --rogues 10000`: both campaigns, each on a PostgreSQL of its own.

Rogue devices come first; unlocks are played in parallel chapters. `--seed N --chapter K` runs one chapter again, event
by event the same; 0 leaves a campaign out.
"""

import argparse
import json
import multiprocessing
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.pool import AsyncResult, Pool
from pathlib import Path
from typing import Any

from bench.conditions import conditions
from bench.figures import table
from bench.soak.faults import Fault
from bench.soak.worker import begin, in_memory, run, run_rogues
from deploy.stack.layout import Layout
from deploy.stack.postgres import VOLATILE
from deploy.stack.servers import Servers
from deploy.stack.supervisor import Supervisor

RESULTS = Path(__file__).resolve().parents[1] / "results"
CHAPTER_UNLOCKS = 2000
REPORT_EVERY_S = 5.0
NOBODY = "127.0.0.1:9"
NO_REDIS = {"REDIS_URL": f"redis://{NOBODY}/0", "CELERY_BROKER_URL": f"redis://{NOBODY}/1"}
NO_MQTT = {"MQTT_URL": f"mqtt://{NOBODY}"}
BUGS = (
    "journal", "expiry", "connection", "claim", "lock", "dedupe", "retained", "clock", "evidence", "states", "foreign",
)  # fmt: skip


def main() -> int:
    options = _options()
    seed = options.seed if options.seed is not None else random.randrange(10**9)
    of_unlocks = options.broken or options.chapter is not None
    if options.rogues and not of_unlocks and not _rogues_refused(seed, options):
        return 1
    return _play_unlocks(seed, options) if options.unlocks else 0


def _rogues_refused(seed: int, options: argparse.Namespace) -> bool:
    """Whether no registration of rogue devices got through; with PostgreSQL and Redis of their own."""
    print(f"seed {seed}, {options.rogues} rogue registrations", flush=True)
    facts = conditions()
    context = multiprocessing.get_context("spawn")
    with _servers(absent=NO_MQTT) as environment:
        done = (dict(environment), context.Value("q", 0), Path(tempfile.gettempdir()))
        with context.Pool(1, begin, done) as pool:
            found = pool.apply(run_rogues, (seed, options.rogues))
    found["took_s"] = round(found["took_s"], 1)
    print(f"{found['admitted']} of {found['sent']} admitted, {found['rows']} rows, {found['took_s']} s", flush=True)
    print(table(["answer", "times"], [[answer, str(times)] for answer, times in found["answers"].items()]), "\n")
    if not options.dry:
        _keep("rogues.json", {"conditions": facts, "seed": seed, **found})
    return bool(found["held"])


def _play_unlocks(seed: int, options: argparse.Namespace) -> int:
    size = min(CHAPTER_UNLOCKS, options.unlocks)
    numbers = [options.chapter] if options.chapter is not None else list(range(-(-options.unlocks // size)))
    print(f"seed {seed}, {len(numbers)} chapters of {size} unlocks, {options.workers} workers", flush=True)
    facts = conditions()
    started = time.monotonic()
    jobs = [(seed, number, size, options.broken) for number in numbers]
    with (
        _servers(absent=NO_REDIS | NO_MQTT) as environment,
        tempfile.TemporaryDirectory(prefix="cartwise-soak-", dir=in_memory()) as disks,
    ):
        chapters = _play(environment, Path(disks), options.workers, jobs)
    report = _report(seed, chapters, time.monotonic() - started)
    _print(report)
    if not options.dry and not options.broken and options.chapter is None:
        _keep("soak.json", {"conditions": facts, **report})
    broken = next((chapter for chapter in chapters if chapter["rule"]), None)
    if broken is None:
        return 0
    print(f"\nBROKEN: {broken['rule']}: {broken['detail']}", *broken["trace"], sep="\n")
    again = f"--unlocks {options.unlocks} --seed {seed} --chapter {broken['number']}" + (
        f" --break {options.broken}" if options.broken else ""
    )
    print(f"Again: python -m bench.soak {again}")
    return 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--unlocks", type=int, default=100_000)
    parser.add_argument("--rogues", type=int, default=10_000, help="registrations by devices nobody asked for")
    parser.add_argument("--seed", type=int, help="default: a new one, which is printed")
    parser.add_argument("--chapter", type=int, help="only this chapter")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--break", dest="broken", choices=BUGS, default="", help="take one protection out")
    parser.add_argument("--dry", action="store_true", help="print only, keep nothing")
    return parser.parse_args()


def _keep(name: str, result: Mapping[str, Any]) -> None:
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / name).write_text(json.dumps(result, indent=1) + "\n")


@contextmanager
def _servers(*, absent: Mapping[str, str]) -> Iterator[Mapping[str, str]]:
    """PostgreSQL, as the tests start it, and what is not `absent`; the environment that leads there.

    `absent`: addresses where nobody is asked, as sockets, Celery and MQTT have no part in this.
    """
    folder = Path(tempfile.mkdtemp(prefix="cartwise-soak-"))
    folder.chmod(0o711)
    layout = Layout(var=folder)
    layout.create()
    supervisor = Supervisor(layout.logs, say=lambda line: None)
    try:
        # No autovacuum: its moment would change plans, and with them which of two equals comes first.
        servers = Servers.plan(layout, absent, postgres_settings=VOLATILE | {"autovacuum": "off"})
        supervisor.start(*servers.services())
        servers.create_database()
        yield servers.environment(absent) | dict(absent)
    finally:
        supervisor.stop()
        shutil.rmtree((folder / "postgres").resolve(), ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)


def _play(
    environment: Mapping[str, str], disks: Path, workers: int, jobs: list[tuple[int, int, int, str]]
) -> list[dict[str, Any]]:
    """Run the chapters, telling how far they are; ends at the first that is broken."""
    context = multiprocessing.get_context("spawn")
    done = context.Value("q", 0)
    started = time.monotonic()
    pool = context.Pool(min(workers, len(jobs)), begin, (dict(environment), done, disks))
    try:
        waiting = [_submit(pool, job) for job in jobs]
        chapters: list[dict[str, Any]] = []
        while waiting and not any(chapter["rule"] for chapter in chapters):
            waiting[0].wait(REPORT_EVERY_S)
            ended = [one for one in waiting if one.ready()]
            waiting = [one for one in waiting if not one.ready()]
            chapters += [one.get() for one in ended]
            took = time.monotonic() - started
            print(f"{took:6.0f} s  {done.value:7d} unlocks  {done.value / took:5.0f}/s", file=sys.stderr, flush=True)
        return chapters
    finally:
        pool.terminate()
        pool.join()


def _submit(pool: Pool, job: tuple[int, int, int, str]) -> "AsyncResult[dict[str, Any]]":
    return pool.apply_async(run, job)


def _report(seed: int, chapters: list[dict[str, Any]], took_s: float) -> dict[str, Any]:
    def total(name: str) -> Counter[str]:
        return sum((Counter(chapter[name]) for chapter in chapters), Counter())

    totals = total("totals")
    unlocks = sum(chapter["unlocks"] for chapter in chapters)
    return {
        "seed": seed,
        "unlocks": unlocks,
        "firings": totals["firings"],
        "double_firings": totals["double firings"],
        "late_openings": totals["late openings"],
        "violations": [chapter["rule"] for chapter in chapters if chapter["rule"]],
        "took_s": round(took_s, 1),
        "unlocks_per_s": round(unlocks / took_s, 1),
        "virtual_s": round(sum(chapter["virtual_s"] for chapter in chapters)),
        "faults": {fault: total("struck")[fault] for fault in Fault},
        "outcomes": dict(sorted(total("outcomes").items())),
    }


def _print(report: Mapping[str, Any]) -> None:
    print(table(["fault", "times"], [[name, str(times)] for name, times in report["faults"].items()]), "\n")
    print(table(["outcome", "times"], [[name, str(times)] for name, times in report["outcomes"].items()]), "\n")
    print(
        f"{report['unlocks']} unlocks, {report['firings']} firings, {report['took_s']} s, {report['unlocks_per_s']}/s"
    )
    print(f"{report['double_firings']} double firings, {report['late_openings']} late openings", flush=True)


if __name__ == "__main__":
    sys.exit(main())
