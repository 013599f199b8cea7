"""`python -m simulators.cloudflare_access`: a team of Cloudflare Access with keys that rotate."""

import argparse
import logging
import sys
from pathlib import Path

from simulators.cloudflare_access.service import Service
from simulators.process import StopSignal, parse_address, ready_file
from simulators.web import WebServer


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m simulators.cloudflare_access", description=__doc__)
    parser.add_argument("--http", type=parse_address, default=("127.0.0.1", 0), metavar="HOST:PORT")
    parser.add_argument("--ready-file", type=Path)
    parser.add_argument("--exit-with-parent", action="store_true")
    return parser.parse_args(arguments)


def main() -> None:
    options = parse_arguments()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stdout)
    logging.raiseExceptions = False  # a reader of stdout that has gone must not stop the team
    stop = StopSignal()
    stop.on_signals()
    if options.exit_with_parent:
        stop.on_parent_death()
    service = Service()
    try:
        server = WebServer(options.http, service)
    except OSError as error:
        raise SystemExit(f"cloudflare_access: {error}") from error
    service.url = server.url
    server.start()
    with ready_file(options.ready_file, {"http": server.url}):
        logging.info("the team is at %s", server.url)
        stop.wait()
    service.stop()
    server.stop()


if __name__ == "__main__":
    main()
