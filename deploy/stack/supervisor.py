"""Starts services in order, each once the one before works; restarts what dies; stops in reverse."""

import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from deploy.stack.process import Process, Service

POLL_S = 0.05
TEND_S = 0.25
FIRST_DELAY_S, LONGEST_DELAY_S = 0.5, 30.0
# A process that lived this long has recovered: its next death is a first one again.
STEADY_AFTER_S = 60.0


class StartFailed(Exception):
    """A service ended or stayed silent before it was ready. The message ends with the tail of its log."""


class StopRequested(Exception):
    """A signal asked for the stop while something was being started."""


class Supervisor:
    """One thread, no locks. `say` gets one short line per event."""

    def __init__(self, logs: Path, say: Callable[[str], None]) -> None:
        self._logs = logs
        self._say = say
        self._stages: list[list[Process]] = []
        self._restart_at: dict[str, float] = {}
        self._delays: dict[str, float] = {}
        self._stop = threading.Event()
        self._hurry = False

    def take_signals(self) -> None:
        """SIGINT, SIGTERM and SIGHUP ask for an orderly stop; a second one kills."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._hurry = self._stop.is_set()
        self._stop.set()

    @property
    def pids(self) -> dict[str, int]:
        return {process.service.name: process.pid for process in self._processes() if process.pid is not None}

    def start(self, *services: Service) -> None:
        """Start `services` together as one stage and return once all are ready.

        Raises StartFailed, or StopRequested when a signal came meanwhile. What was started stays for `stop`.
        """
        began = time.monotonic()
        stage = [Process(service, self._logs / f"{service.name}.log") for service in services]
        self._stages.append(stage)
        for process in stage:
            process.start()
        waiting = list(stage)
        while waiting:
            for process in list(waiting):
                if process.is_ready():
                    waiting.remove(process)
                    self._say(f"{process.service.name} {process.service.ready_word} ({time.monotonic() - began:.1f} s)")
                elif not process.running or time.monotonic() - began > process.service.ready_within:
                    raise StartFailed(_why(process))
            if waiting and self._stop.wait(POLL_S):
                raise StopRequested
        if self._stop.is_set():
            raise StopRequested

    def watch(self) -> None:
        """Restart what dies, with growing pauses, until a signal asks for the stop."""
        while not self._stop.wait(TEND_S):
            self.tend()

    def tend(self) -> None:
        """Look once at every process: restart the dead whose pause is over, cut long logs."""
        for process in self._processes():
            self._tend(process)

    def _tend(self, process: Process) -> None:
        name, now = process.service.name, time.monotonic()
        if process.service.once:
            return
        if process.running:
            process.bound_log()
            if now - process.started_at > STEADY_AFTER_S:
                self._delays.pop(name, None)
        elif name not in self._restart_at:
            process.kill_group()
            delay = self._delays.get(name, FIRST_DELAY_S)
            self._delays[name] = min(2 * delay, LONGEST_DELAY_S)
            self._restart_at[name] = now + delay
            self._say(f"{name} ended ({_exit(process)}), again in {delay:g} s; see {process.log}")
        elif now >= self._restart_at[name]:
            del self._restart_at[name]
            process.start()

    def stop(self) -> None:
        """Stop the stages in reverse, each stage's processes together. Always leaves nothing running."""
        self._stop.set()
        for stage in reversed(self._stages):
            for process in stage:
                process.ask_to_stop()
            began = time.monotonic()
            for process in stage:
                self._await_end(process, began + process.service.stop_within)
        self._stages.clear()

    def _await_end(self, process: Process, deadline: float) -> None:
        while process.running and not self._hurry and time.monotonic() < deadline:
            time.sleep(POLL_S)
        if process.running:
            self._say(f"{process.service.name} did not stop in time and is killed")
        process.kill_group()

    def _processes(self) -> list[Process]:
        return [process for stage in self._stages for process in stage]


def _why(process: Process) -> str:
    state = "is not ready in time" if process.running else f"ended ({_exit(process)})"
    return f"{process.service.name} {state}; the end of {process.log}:\n{process.log_tail()}"


def _exit(process: Process) -> str:
    code = process.exit_code or 0
    return f"code {code}" if code >= 0 else signal.Signals(-code).name
