"""The inbox and the control API behind one address."""

from html import escape

from simulators.faults import Faults, read_seconds, read_times
from simulators.mail.faults import Fault, Kind
from simulators.mail.inbox import Inbox, Message
from simulators.web import HttpError, Request, Response, html_response, json_response, see_other, style_sheet

DEFAULT_HANG_S = 30.0
SHOWN_ON_PAGE = 100
REFRESH_S = 3


class Service:
    """Handler of `simulators.web`."""

    def __init__(self, inbox: Inbox, faults: Faults[Fault]) -> None:
        self.inbox = inbox
        self.faults = faults

    def __call__(self, request: Request) -> Response:
        match request.method, request.path:
            case "GET", "/":
                return html_response(_render_page(self.inbox.newest_first()))
            case "GET", "/page.css":
                return style_sheet()
            case "GET", "/healthz":
                return json_response({"status": "ok"})
            case "GET", "/messages":
                found = self.inbox.newest_first(request.query.get("to") or None)
                return json_response([_message_state(message) for message in found])
            case ("DELETE", "/messages") | ("POST", "/messages/clear"):
                self.inbox.clear()
            case "POST", "/faults":
                self.faults.arm(_read_fault(request.fields()))
            case "DELETE", "/faults":
                self.faults.clear()
            case _:
                raise HttpError(404, f"no {request.method} {request.path} here")
        return see_other("/") if request.from_page else json_response({"status": "ok"})


def _read_fault(fields: dict[str, object]) -> Fault:
    """Raises HttpError 400."""
    kind = fields.get("kind")
    if not isinstance(kind, str) or kind not in set(Kind):
        raise HttpError(400, f"kind is one of {sorted(Kind)}")
    return Fault(Kind(kind), read_times(fields), read_seconds(fields, DEFAULT_HANG_S))


def _message_state(message: Message) -> dict[str, str]:
    return {
        "to": message.to,
        "from": message.sender,
        "subject": message.subject,
        "text": message.text,
        "html": message.html,
        "at": message.at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }


def _render_page(messages: list[Message]) -> str:
    rows = "".join(
        f"<tr><td><time>{message.at:%H:%M:%S}</time></td><td><bdi>{escape(message.to)}</bdi></td>"
        f'<td dir="auto">{escape(message.subject)}</td><td class="text" dir="auto">{escape(message.text)}</td></tr>'
        for message in messages[:SHOWN_ON_PAGE]
    )
    empty = '<tr><td colspan="4" class="quiet">Nothing yet. Ask for a code on the sign-in page.</td></tr>'
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="{REFRESH_S}"><title>Mail inbox ({len(messages)})</title>
<link rel="stylesheet" href="/page.css"></head><body><header><h1>Mail inbox</h1>
<p>{len(messages)} in the inbox, newest first, times in UTC</p></header><main><section><table>
<thead><tr><th>At</th><th>To</th><th>Subject</th><th>Text</th></tr></thead>
<tbody>{rows or empty}</tbody></table>
</section><form method="post" action="/messages/clear"><button>Empty the inbox</button></form></main></body></html>"""
