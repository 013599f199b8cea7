"""`python -m simulators.mail`: a mail server with an inbox."""

import argparse
import logging

from simulators.faults import Faults
from simulators.mail.faults import Fault
from simulators.mail.inbox import Inbox
from simulators.mail.service import Service
from simulators.mail.smtp import MailServer
from simulators.process import begin, parse_address, ready_file, web_arguments
from simulators.web import WebServer


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = web_arguments("mail", __doc__)
    parser.add_argument("--smtp", type=parse_address, default=("127.0.0.1", 0), metavar="HOST:PORT")
    return parser.parse_args(arguments)


def main() -> None:
    options = parse_arguments()
    stop = begin(options.exit_with_parent)
    logging.getLogger("mail.log").setLevel(logging.WARNING)  # aiosmtpd's, a line for each command
    inbox, faults = Inbox(), Faults[Fault]()
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
