"""`bench unlock`: from the POST that rents a cart to the pushed fragment that says the lock has opened."""

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bench import people
from bench.client import Api, Watcher, unlock
from bench.echo import EchoPair
from bench.figures import Series
from bench.stack import Stack, running_stack, scratch_folder, wait_for

CARTS = 6
# What an unlock leaves to do, the manager's page 50 ms later above all, is not counted in the next one.
PAUSE_S = 0.12
# unlock, state query and answer of a CU16, ten bits a byte
WIRE_MS = (5 + 5 + 9) * 10 / 19_200 * 1000
# name → wire time of the simulated line, see bench.line
LINES = {"no wire time": "zero", "19,200 baud": "wire"}


@dataclass
class Measurement:
    """All series of a run; `hops` are the medians of each hop, by line."""

    series: dict[str, Series] = field(default_factory=dict)
    hops: dict[str, list[dict[str, float]]] = field(default_factory=dict)

    def add(self, name: str, values: list[float]) -> None:
        self.series.setdefault(name, Series(name)).rounds.append(values)


def measure(rounds: int, unlocks: int, say: Callable[[str], None]) -> Measurement:
    """Start a stack and measure `rounds` times: a bare round trip, then `unlocks` unlocks on each line."""
    with scratch_folder() as folder, running_stack(folder) as stack:
        people.enter(stack.environment)
        wait_for("the Pi and its carts", lambda: len(people.free_carts()) >= CARTS)
        return asyncio.run(_measure(stack, rounds, unlocks, say))


async def _measure(stack: Stack, rounds: int, unlocks: int, say: Callable[[str], None]) -> Measurement:
    who = await asyncio.to_thread(people.invite)
    carts = (await asyncio.to_thread(people.free_carts))[:CARTS]
    api, line = await Api.connect(stack.web), await Api.connect(stack.rs485)
    watcher = await Watcher.open(stack.web, "/ws/me", who.customer_session)
    manager = await Watcher.open(stack.web, f"/ws/branches/{who.branch_id}", who.manager_session)
    looking = asyncio.create_task(manager.drain())
    found = Measurement()
    with EchoPair(stack.environment["MQTT_URL"]) as echo:
        await asyncio.to_thread(echo.measure, 50)
        for number in range(rounds + 1):
            warm_up = number == 0
            if not warm_up:
                found.add("bare MQTT round trip", await asyncio.to_thread(echo.measure, unlocks))
                found.add("disk flush (fdatasync)", await asyncio.to_thread(_flushes, stack.folder, unlocks))
            for name, mode in LINES.items():
                await line.post("/wire-time", {"mode": mode})
                began = time.time()
                times = await _unlock_all(api, line, watcher, who, carts, 4 * CARTS if warm_up else unlocks)
                if warm_up:
                    continue
                found.add(f"answer to the POST, {name}", [answered for answered, _ in times])
                found.add(f"unlock, {name}", [pushed for _, pushed in times])
                found.hops.setdefault(name, []).extend(await asyncio.to_thread(people.hops, began))
                say(f"round {number}, {name}: p50 {sorted(pushed for _, pushed in times)[len(times) // 2]:.2f} ms")
    looking.cancel()
    await asyncio.gather(looking, return_exceptions=True)
    await watcher.close()
    await manager.close()
    return found


async def _unlock_all(
    api: Api, line: Api, watcher: Watcher, who: people.People, carts: list[tuple[int, int]], count: int
) -> list[tuple[float, float]]:
    """Unlock the carts in turn; once all are out, push them back and wait until every rental has ended."""
    times: list[tuple[float, float]] = []
    while len(times) < count:
        batch = carts[: count - len(times)]
        for cart_number, _ in batch:
            times.append(await unlock(api, watcher, who.branch_id, cart_number, who.customer_token))
            await asyncio.sleep(PAUSE_S)
        for _, lock in batch:
            await line.post(f"/boards/0/locks/{lock}/push", {})
        for _ in batch:
            await watcher.until("returned")
        await asyncio.sleep(0.1)
    return times


def _flushes(folder: Path, count: int) -> list[float]:
    """Milliseconds of writing 8 KB and flushing them, where the database and the Pi's journal are."""
    times = []
    descriptor = os.open(folder / "flush", os.O_CREAT | os.O_WRONLY, 0o600)
    try:
        for number in range(count):
            began = time.perf_counter()
            os.pwrite(descriptor, os.urandom(8192), number % 16 * 8192)
            os.fdatasync(descriptor)
            times.append((time.perf_counter() - began) * 1000)
    finally:
        os.close(descriptor)
    return times
