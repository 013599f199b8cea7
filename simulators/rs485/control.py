"""The bus over HTTP: see everything, move carts, order misbehaviour. A page with plain forms, and JSON for programs."""

from simulators.rs485.boards.board import Board
from simulators.rs485.bus import Bus
from simulators.rs485.faults import Fault, Kind
from simulators.rs485.line import Line
from simulators.rs485.locks import CartLockedError, Lock
from simulators.rs485.page import render_page
from simulators.rs485.timing import MODES
from simulators.web import HttpError, Request, Response, html_response, json_response, see_other, style_sheet

MAX_TIMES = 1_000_000
MAX_ARMED = 1000


class Control:
    """Handler of `simulators.web`; takes the bus's guard for each request."""

    def __init__(self, bus: Bus, line: Line, seed: int) -> None:
        self.bus = bus
        self.line = line
        self.seed = seed

    def __call__(self, request: Request) -> Response:
        if request.path == "/page.css":
            return style_sheet()
        with self.bus.guard:
            value = self._route(request)
            self.line.wake()  # what was asked may be due
        if request.from_page and request.method == "POST":
            return see_other("/")
        if request.path == "/":
            return html_response(render_page(self.state(), live="still" not in request.query))
        return json_response(value)

    def _route(self, request: Request) -> object:
        match request.method, request.path.strip("/").split("/"):
            case "GET", [""]:
                return self.state()
            case "GET", ["healthz"]:
                return {"status": "ok"}
            case "GET", ["state"]:
                return self.state()
            case "GET", ["log"]:
                return self.bus.journal.since(_whole(request.query.get("since", "0"), "since"))
            case "POST", ["boards", address, "locks", number, verb]:
                board = self._board(_whole(address, "board"))
                return self._move(board, self._lock(board, _whole(number, "lock")), verb)
            case "POST", ["faults"]:
                return self._arm(request.fields())
            case ("DELETE", ["faults"]) | ("POST", ["faults", "clear"]):
                self.bus.faults.armed.clear()
                return []
            case "POST", ["wire-time"]:
                mode = request.fields().get("mode")
                if not isinstance(mode, str) or mode not in MODES:
                    raise HttpError(400, f"mode is one of {sorted(MODES)}")
                self.bus.mode = mode
                return {"mode": mode}
            case "POST", ["reset"]:
                self.bus.reset()
                self.line.counters.clear()
                return self.state()
        raise HttpError(404, f"no {request.method} {request.path} here")

    def state(self) -> dict[str, object]:
        bus, line = self.bus, self.line
        with bus.guard:
            return {
                "mode": bus.mode,
                "baud": line.baud,
                "seed": self.seed,
                "pty": str(line.link),
                "firings": bus.journal.firings,
                "boards": [_board_state(board) for board in bus.boards.values()],
                "faults": [_fault_state(fault) for fault in bus.faults.armed],
                "counters": dict(line.counters),
                "frames": bus.journal.frames()[-20:],
                "events": bus.journal.since(0)[-20:],
            }

    def _move(self, board: Board, lock: Lock, verb: str) -> dict[str, object]:
        match verb:
            case "pull" | "push":
                try:
                    self.bus.move_cart(board, lock, taken=verb == "pull")
                except CartLockedError as error:
                    raise HttpError(409, str(error)) from error
            case "jam":
                lock.jammed = True
            case "free":
                lock.free()
            case _:
                raise HttpError(404, f"a lock can pull, push, jam or free, not {verb}")
        return _lock_state(lock)

    def _arm(self, fields: dict[str, object]) -> dict[str, object]:
        kind = fields.get("kind")
        if not isinstance(kind, str) or kind not in set(Kind):
            raise HttpError(400, f"kind is one of {sorted(Kind)}")
        board = _optional(fields, "board")
        lock = _optional(fields, "lock")
        if board is not None:
            found = self._board(board)
            if lock is not None:
                self._lock(found, lock)
        times = _optional(fields, "times") if "times" in fields else 1
        if times is not None and not 1 <= times <= MAX_TIMES:
            raise HttpError(400, f"times is 1 to {MAX_TIMES}, or null for until cleared")
        if len(self.bus.faults.armed) >= MAX_ARMED:
            raise HttpError(409, "too many faults armed: DELETE /faults first")
        fault = Fault(Kind(kind), board, lock, times, _probability(fields.get("probability", 1.0)))
        self.bus.faults.armed.append(fault)
        return _fault_state(fault)

    def _board(self, address: int) -> Board:
        if address not in self.bus.boards:
            raise HttpError(404, f"no board {address}")
        return self.bus.boards[address]

    def _lock(self, board: Board, number: int) -> Lock:
        if number not in board.locks:
            raise HttpError(404, f"board {board.address} has no lock {number}")
        return board.locks[number]


def _whole(value: object, name: str) -> int:
    """A whole number in JSON or in a form. Raises HttpError 400."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 18:
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise HttpError(400, f"{name} is a whole number, not {value!r}")


def _optional(fields: dict[str, object], name: str) -> int | None:
    value = fields.get(name)
    return None if value is None or value == "always" else _whole(value, name)


def _probability(value: object) -> float:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            value = None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        raise HttpError(400, "probability is above 0 and at most 1")
    return float(value)


def _lock_state(lock: Lock) -> dict[str, object]:
    return {
        "number": lock.number,
        "hook": "closed" if lock.hook_closed else "open",
        "reads": "closed" if lock.reads_closed else "open",
        "present": lock.present,
        "jammed": lock.jammed,
        "held": lock.held,
        "firings": lock.firings,
    }


def _board_state(board: Board) -> dict[str, object]:
    return {
        "address": board.address,
        "kind": board.kind,
        "baud": board.baud,
        "options": sorted(board.chosen),
        "counters": dict(board.counters),
        "locks": [_lock_state(lock) for lock in board.locks.values()],
    }


def _fault_state(fault: Fault) -> dict[str, object]:
    return {
        "kind": fault.kind.value,
        "board": fault.board,
        "lock": fault.lock,
        "times": fault.times,
        "probability": fault.probability,
    }
