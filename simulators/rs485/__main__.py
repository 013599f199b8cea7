"""`python -m simulators.rs485`: an RS485 bus with lock boards on a pseudo-terminal."""

import argparse
import logging
import secrets
from pathlib import Path
from random import Random

from simulators.process import begin, ready_file, web_arguments
from simulators.rs485.boards.board import Board
from simulators.rs485.boards.cu16 import Cu16
from simulators.rs485.boards.oem8a import Oem8A
from simulators.rs485.bus import Bus
from simulators.rs485.control import Control
from simulators.rs485.faults import Faults
from simulators.rs485.line import Line
from simulators.rs485.timing import MODES
from simulators.web import WebServer

KINDS: dict[str, type[Board]] = {kind.kind: kind for kind in (Cu16, Oem8A)}


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = web_arguments("rs485", __doc__)
    parser.add_argument("--link", type=Path, required=True, help="stable symlink to the pty")
    parser.add_argument("--baud", type=int, default=19200)
    parser.add_argument("--wire-time", choices=sorted(MODES), default="real")
    parser.add_argument(
        "--board",
        action="append",
        metavar="KIND:ADDRESS[:OPTION,…]",
        help=f"one of {', '.join(f'{name} ({chr(32).join(sorted(k.options))})' for name, k in KINDS.items())}",
    )
    parser.add_argument("--auto-pull", type=float, metavar="MS", help="customers take the cart so long after the latch")
    parser.add_argument("--seed", type=int, help="of the misbehaviour")
    parser.add_argument("--log", type=Path, help="also write the log here")
    return parser.parse_args(arguments)


def build_boards(specs: list[str], baud: int) -> list[Board]:
    """Raises ValueError for an unknown kind, address or option, and for an address given twice."""
    boards: list[Board] = []
    for spec in specs:
        kind, _, rest = spec.partition(":")
        address, _, options = rest.partition(":")
        if kind not in KINDS:
            raise ValueError(f"board is one of {sorted(KINDS)}, not {kind!r}")
        board = KINDS[kind](int(address), baud, filter(None, options.split(",")))
        if any(other.address == board.address for other in boards):
            raise ValueError(f"address {address} is given twice: the fault same_address does that")
        boards.append(board)
    return boards


def main() -> None:
    options = parse_arguments()
    stop = begin(options.exit_with_parent, log=options.log)
    seed = secrets.randbelow(2**32) if options.seed is None else options.seed
    auto_pull_s = None if options.auto_pull is None else options.auto_pull / 1000
    try:
        boards = build_boards(options.board or ["kerong-cu16:0"], options.baud)
        bus = Bus(boards, Faults(Random(seed)), options.wire_time, auto_pull_s)
        line = Line(bus, options.link, options.baud)
    except (ValueError, OSError) as error:
        raise SystemExit(f"rs485: {error}") from error
    try:
        server = WebServer(options.http, Control(bus, line, seed))
        server.start()
        with ready_file(options.ready_file, {"http": server.url, "pty": str(options.link)}):
            kinds = ", ".join(f"{board.kind} at {board.address}" for board in boards)
            logging.info("%s on %s (%s), %s, seed %d", kinds, options.link, line.pty, server.url, seed)
            line.run(stop)
        server.stop()
    finally:
        line.close()


if __name__ == "__main__":
    main()
