"""`python -m simulators.google`: Google's sign-in, with a page where anybody says who they are."""

import argparse
import logging
import sys
from pathlib import Path

from simulators.google.service import Service
from simulators.process import StopSignal, parse_address, ready_file
from simulators.web import WebServer


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m simulators.google", description=__doc__)
    parser.add_argument("--http", type=parse_address, default=("127.0.0.1", 0), metavar="HOST:PORT")
    parser.add_argument("--client-id", default="cartwise")
    parser.add_argument("--client-secret", default="simulated")
    parser.add_argument("--redirect-uri", action="append", default=[], help="the only ones allowed; default: any")
    parser.add_argument("--ready-file", type=Path)
    parser.add_argument("--exit-with-parent", action="store_true")
    return parser.parse_args(arguments)


def main() -> None:
    options = parse_arguments()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stdout)
    logging.raiseExceptions = False  # a reader of stdout that has gone must not stop the server
    stop = StopSignal()
    stop.on_signals()
    if options.exit_with_parent:
        stop.on_parent_death()
    service = Service(options.client_id, options.client_secret, tuple(options.redirect_uri))
    try:
        server = WebServer(options.http, service)
    except OSError as error:
        raise SystemExit(f"google: {error}") from error
    service.issuer = server.url
    server.start()
    with ready_file(options.ready_file, {"http": server.url}):
        logging.info("Google at %s", server.url)
        stop.wait()
    service.stop()
    server.stop()


if __name__ == "__main__":
    main()
