"""`python -m simulators.google`: Google's sign-in, with a page where anybody says who they are."""

import argparse
import logging

from simulators.google.service import Service
from simulators.process import begin, ready_file, web_arguments
from simulators.web import WebServer


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = web_arguments("google", __doc__)
    parser.add_argument("--client-id", default="cartwise")
    parser.add_argument("--client-secret", default="simulated")
    parser.add_argument("--redirect-uri", action="append", default=[], help="the only ones allowed; default: any")
    return parser.parse_args(arguments)


def main() -> None:
    options = parse_arguments()
    stop = begin(options.exit_with_parent)
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
