"""`python -m simulators.mail`: a mail server with an inbox."""

import argparse
import logging
import sys
from pathlib import Path

from simulators.mail.faults import Faults
from simulators.mail.inbox import Inbox
from simulators.mail.service import Service
from simulators.mail.smtp import MailServer
from simulators.process import StopSignal, parse_address, ready_file
from simulators.web import WebServer


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m simulators.mail", description=__doc__)
    parser.add_argument("--http", type=parse_address, default=("127.0.0.1", 0), metavar="HOST:PORT")
    parser.add_argument("--smtp", type=parse_address, default=("127.0.0.1", 0), metavar="HOST:PORT")
    parser.add_argument("--ready-file", type=Path)
    parser.add_argument("--exit-with-parent", action="store_true")
    return parser.parse_args(arguments)


def main() -> None:
    options = parse_arguments()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stdout)
    logging.getLogger("mail.log").setLevel(logging.WARNING)  # aiosmtpd's, a line for each command
    logging.raiseExceptions = False  # a reader of stdout that has gone must not stop the server
    stop = StopSignal()
    stop.on_signals()
    if options.exit_with_parent:
        stop.on_parent_death()
    inbox, faults = Inbox(), Faults()
    try:
        server = WebServer(options.http, Service(inbox, faults))
        smtp = MailServer(options.smtp, inbox, faults)
    except OSError as error:
        raise SystemExit(f"mail: {error}") from error
    server.start()
    with ready_file(options.ready_file, {"http": server.url, "smtp": smtp.address}):
        logging.info("Mail inbox at %s, SMTP at %s", server.url, smtp.address)
        stop.wait()
    smtp.stop()
    server.stop()


if __name__ == "__main__":
    main()
