"""019 (Israel): JSON or XML with a bearer token; HTTP 200 whatever happened, status 0 means sent.

The JSON answer comes bare with a number or nested under `sms` with a string, in turn: both have been seen.
"""

import threading
from dataclasses import dataclass
from itertools import count
from uuid import uuid4
from xml.etree import ElementTree

from simulators.sms.faults import Kind
from simulators.sms.gateways.gateway import SENDER, Gateway, local_israeli
from simulators.sms.inbox import Inbox
from simulators.web import HttpError, Request, Response, json_response, parse_json

SENT, BAD_DOCUMENT, MISSING_FIELD, BAD_CREDENTIALS, NO_CREDIT, NOT_PERMITTED, BAD_SOURCE = 0, 1, 2, 3, 4, 5, 933
MESSAGES = {
    SENT: "SMS will be sent",
    BAD_DOCUMENT: "There was a problem parsing your document",
    MISSING_FIELD: "Missing required field",
    BAD_CREDENTIALS: "Username or password incorrect",
    NO_CREDIT: "Not enough credit",
    NOT_PERMITTED: "No permission to send SMS at this time",
    BAD_SOURCE: "Source is not valid",
}


@dataclass(frozen=True)
class _Order:
    username: str
    source: str
    phones: tuple[str, ...]
    text: str


class _RefusedError(Exception):
    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Sms019(Gateway):
    name = "019"

    def __init__(self, inbox: Inbox, key: str | None) -> None:
        super().__init__(inbox, key)
        self._turn = count()
        self._guard = threading.Lock()

    def claims(self, path: str) -> bool:
        return path in ("/api", "/api/test")

    def answer(self, request: Request, refusal: Kind | None) -> Response:
        is_xml = "xml" in request.headers.get("content-type", "") or request.body.lstrip().startswith(b"<")
        try:
            self._send(request, is_xml, refusal)
            status = SENT
        except _RefusedError as error:
            status = error.status
        return _xml_reply(status) if is_xml else self._json_reply(status)

    def _send(self, request: Request, is_xml: bool, refusal: Kind | None) -> None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not self.accepts(token.strip()):
            raise _RefusedError(BAD_CREDENTIALS)
        order = _read_xml(request.body) if is_xml else _read_json(request.body)
        if not (order.username and order.source and order.phones and order.text):
            raise _RefusedError(MISSING_FIELD)
        if not SENDER.fullmatch(order.source):
            raise _RefusedError(BAD_SOURCE)
        numbers = [number for number in map(local_israeli, order.phones) if number]
        if len(numbers) < len(order.phones) or refusal is Kind.REJECTED:
            raise _RefusedError(NOT_PERMITTED)
        if refusal is Kind.NO_CREDIT:
            raise _RefusedError(NO_CREDIT)
        for number in numbers:
            self.inbox.add(to=number, text=order.text, gateway=self.name, sender=order.source)

    def _json_reply(self, status: int) -> Response:
        with self._guard:
            nested = next(self._turn) % 2 == 1
        value = {"status": str(status) if nested else status, "message": MESSAGES[status], "shipment_id": uuid4().hex}
        return json_response({"sms": value} if nested else value)


def _xml_reply(status: int) -> Response:
    reply = ElementTree.Element("sms")
    for tag, text in {"status": str(status), "message": MESSAGES[status], "shipment_id": uuid4().hex}.items():
        ElementTree.SubElement(reply, tag).text = text
    body = ElementTree.tostring(reply, encoding="utf-8", xml_declaration=True)
    return Response(200, body, "text/xml; charset=utf-8")


def _read_json(body: bytes) -> _Order:
    try:
        document = parse_json(body)
    except HttpError as error:
        raise _RefusedError(BAD_DOCUMENT) from error
    sms = _dig(document, "sms")
    if not isinstance(sms, dict):
        raise _RefusedError(BAD_DOCUMENT)
    phones = _dig(sms, "destinations", "phone")
    listed = phones if isinstance(phones, list) else [phones]
    found = [_dig(phone, "_") if isinstance(phone, dict) else phone for phone in listed]
    return _Order(
        username=_text(_dig(sms, "user", "username")),
        source=_text(sms.get("source")),
        phones=tuple(_text(phone) for phone in found if phone),
        text=_text(sms.get("message")),
    )


def _read_xml(body: bytes) -> _Order:
    if b"<!" in body.replace(b"<![CDATA[", b""):  # entities are how a small document becomes a large one
        raise _RefusedError(BAD_DOCUMENT)
    try:
        sms = ElementTree.fromstring(body)  # noqa: S314  no declarations, and at most 64 KB
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        raise _RefusedError(BAD_DOCUMENT) from error
    if sms.tag != "sms":
        raise _RefusedError(BAD_DOCUMENT)
    return _Order(
        username=sms.findtext("user/username", ""),
        source=sms.findtext("source", ""),
        phones=tuple((phone.text or "").strip() for phone in sms.findall("destinations/phone")),
        text=sms.findtext("message", ""),
    )


def _dig(value: object, *names: str) -> object:
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
