"""`python -m simulators.cloudflare_access`: a team of Cloudflare Access with keys that rotate."""

import argparse
import logging

from simulators.cloudflare_access.service import Service
from simulators.process import begin, ready_file, web_arguments
from simulators.web import WebServer


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = web_arguments("cloudflare_access", __doc__)
    return parser.parse_args(arguments)


def main() -> None:
    options = parse_arguments()
    stop = begin(options.exit_with_parent)
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
