"""`bench start`: from `make up` on installed requirements to the first page, with nothing there and the second time."""

import http.client
import sys
from collections.abc import Callable
from pathlib import Path
from time import monotonic

from bench.figures import Series
from bench.stack import scratch_folder, stack_service, wait_for
from deploy.stack.layout import HOST, Ports
from deploy.stack.process import Process

FIRST_PAGE_WITHIN_S = 120.0
PAGE = "/auth/sign-in"


def measure(times: int, say: Callable[[str], None]) -> dict[str, Series]:
    """Seconds to the first page; each time cold (an empty VAR_DIR), then again on what the first left."""
    found = {name: Series(name) for name in ("cold", "second time")}
    for number in range(times):
        with scratch_folder() as folder:
            for name, series in found.items():
                series.rounds.append([_start_once(folder)])
                say(f"start {number + 1}, {name}: {series.rounds[-1][0]:.1f} s")
    return found


def _start_once(folder: Path) -> float:
    port = Ports(folder / "bench-ports.json").reserve("web")
    stack = Process(stack_service(folder, port), folder / "stack.log")
    began = monotonic()
    stack.start()
    try:
        wait_for("the first page", lambda: _is_served(port) or not stack.running, FIRST_PAGE_WITHIN_S)
        took = monotonic() - began
        if not stack.running:
            sys.exit(stack.log_tail())
        # Let it finish starting: what is stopped half-way would not be a first run to come back to.
        wait_for("the end of the start", stack.is_ready, FIRST_PAGE_WITHIN_S)
    finally:
        stack.ask_to_stop()
        wait_for("the stop", lambda: not stack.running)
        stack.kill_group()
        stack.log.unlink()
    return took


def _is_served(port: int) -> bool:
    connection = http.client.HTTPConnection(HOST, port, timeout=5)
    try:
        connection.request("GET", PAGE)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
