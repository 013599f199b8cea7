"""`python -m simulators.sms`: an SMS gateway with an inbox."""

import argparse
import logging

from simulators.process import begin, ready_file, web_arguments
from simulators.sms.gateways.inforu import Inforu
from simulators.sms.gateways.kavenegar import Kavenegar
from simulators.sms.gateways.sms019 import Sms019
from simulators.sms.gateways.twilio import Twilio
from simulators.sms.inbox import Inbox
from simulators.sms.service import Service
from simulators.web import WebServer


def parse_template(text: str) -> tuple[str, str]:
    name, equals, template = text.partition("=")
    if not name or not equals or "%token" not in template:
        raise ValueError(f"not NAME=TEXT with %token in it: {text!r}")
    return name, template


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = web_arguments("sms", __doc__)
    parser.add_argument("--require-key", metavar="KEY", help="the only key, token or password that is right")
    parser.add_argument(
        "--template",
        type=parse_template,
        action="append",
        default=[],
        metavar="NAME=TEXT",
        help="a Kavenegar template; with none given every name is one",
    )
    return parser.parse_args(arguments)


def main() -> None:
    options = parse_arguments()
    stop = begin(options.exit_with_parent)
    inbox, key = Inbox(), options.require_key
    gateways = (
        Kavenegar(inbox, key, dict(options.template)),
        Inforu(inbox, key),
        Sms019(inbox, key),
        Twilio(inbox, key),
    )
    service = Service(inbox, gateways)
    try:
        server = WebServer(options.http, service)
    except OSError as error:
        raise SystemExit(f"sms: {error}") from error
    server.start()
    with ready_file(options.ready_file, {"http": server.url}):
        logging.info("SMS inbox at %s", server.url)
        stop.wait()
    service.stop()
    server.stop()


if __name__ == "__main__":
    main()
