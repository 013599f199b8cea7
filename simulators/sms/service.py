"""The gateways, the inbox and the control API behind one address."""

import logging
import threading
from collections.abc import Sequence
from html import escape

from simulators.faults import Faults, read_seconds, read_times
from simulators.sms.faults import DEFAULT_SECONDS, Fault, Kind
from simulators.sms.gateways.gateway import Gateway
from simulators.sms.inbox import Inbox, Message
from simulators.web import (
    HttpError,
    Request,
    Response,
    html_response,
    json_response,
    see_other,
    style_sheet,
)

log = logging.getLogger("simulators.sms")

SHOWN_ON_PAGE = 100
REFRESH_S = 3


class Service:
    """Handler of `simulators.web`."""

    def __init__(self, inbox: Inbox, gateways: Sequence[Gateway]) -> None:
        self.inbox = inbox
        self.gateways = gateways
        self.faults = Faults[Fault]()
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Let go of every request a fault holds."""
        self._stopping.set()

    def __call__(self, request: Request) -> Response | None:
        for gateway in self.gateways:
            if gateway.claims(request.path):
                return self._serve(gateway, request)
        match request.method, request.path:
            case "GET", "/":
                return html_response(_render_page(self.inbox.newest_first()))
            case "GET", "/page.css":
                return style_sheet()
            case "GET", "/healthz":
                return json_response({"status": "ok"})
            case "GET", "/messages":
                found = self.inbox.newest_first(_asked_number(request))
                return json_response([_message_state(message) for message in found])
            case ("DELETE", "/messages") | ("POST", "/messages/clear"):
                self.inbox.clear()
            case "POST", "/faults":
                self.faults.arm(self._read_fault(request.fields()))
            case "DELETE", "/faults":
                self.faults.clear()
            case _:
                raise HttpError(404, f"no {request.method} {request.path} here")
        return see_other("/") if request.from_page else json_response({"status": "ok"})

    def _serve(self, gateway: Gateway, request: Request) -> Response | None:
        fault = self.faults.take(lambda fault: fault.gateway in (None, gateway.name))
        if fault is None:
            return gateway.answer(request, None)
        log.info("%s misbehaves: %s", gateway.name, fault.kind.value)
        match fault.kind:
            case Kind.HTTP_500:
                return json_response({"error": "Internal Server Error"}, 500)
            case Kind.HTML:
                return html_response("<!doctype html><html><body><h1>502 Bad Gateway</h1></body></html>")
            case Kind.REJECTED | Kind.NO_CREDIT:
                return gateway.answer(request, fault.kind)
            case Kind.SLOW:
                self._stopping.wait(fault.seconds)
                return gateway.answer(request, None)
            case Kind.TIMEOUT:
                if fault.delivers:
                    gateway.answer(request, None)
                self._stopping.wait(fault.seconds)
        return None

    def _read_fault(self, fields: dict[str, object]) -> Fault:
        """Raises HttpError 400."""
        kind, gateway = fields.get("kind"), fields.get("gateway")
        if not isinstance(kind, str) or kind not in set(Kind):
            raise HttpError(400, f"kind is one of {sorted(Kind)}")
        names = sorted(each.name for each in self.gateways)
        if gateway is not None and (not isinstance(gateway, str) or gateway not in names):
            raise HttpError(400, f"gateway is one of {names}, or null for any")
        times, seconds = read_times(fields), read_seconds(fields, DEFAULT_SECONDS.get(Kind(kind), 0))
        return Fault(Kind(kind), gateway, times, seconds, fields.get("delivers", True) is True)


def _asked_number(request: Request) -> str | None:
    """A `+` that was not encoded arrives as a space."""
    number = request.query.get("to", "").strip()
    if not number:
        return None
    return number if number.startswith("+") else f"+{number}"


def _message_state(message: Message) -> dict[str, str]:
    at = message.at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {"to": message.to, "text": message.text, "at": at}


def _render_page(messages: list[Message]) -> str:
    rows = "".join(
        f"<tr><td><time>{message.at:%H:%M:%S}</time></td><td><bdi>{escape(message.to)}</bdi></td>"
        f'<td class="text" dir="auto">{escape(message.text)}</td>'
        f"<td>{escape(message.gateway)}</td><td>{escape(message.sender)}</td></tr>"
        for message in messages[:SHOWN_ON_PAGE]
    )
    empty = '<tr><td colspan="5" class="quiet">Nothing yet. Ask for a code on a customer page.</td></tr>'
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="{REFRESH_S}"><title>SMS inbox ({len(messages)})</title>
<link rel="stylesheet" href="/page.css"></head><body><header><h1>SMS inbox</h1>
<p>{len(messages)} in the inbox, newest first, times in UTC</p></header><main><section><table>
<thead><tr><th>At</th><th>To</th><th>Text</th><th>Through</th><th>Sender</th></tr></thead>
<tbody>{rows or empty}</tbody></table>
</section><form method="post" action="/messages/clear"><button>Empty the inbox</button></form></main></body></html>"""
