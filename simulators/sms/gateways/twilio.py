"""Twilio Messages: form-encoded, Basic SID and token, 201 with a queued message, errors with a code and a status."""

import re
from datetime import UTC, datetime
from email.utils import format_datetime
from uuid import uuid4

from simulators.sms.faults import Kind
from simulators.sms.gateways.gateway import Gateway, basic_credentials
from simulators.web import HttpError, Request, Response, json_response

MAX_TEXT = 1600
_PATH = re.compile(r"/2010-04-01/Accounts/([^/]+)/Messages\.json")
_E164 = re.compile(r"\+[1-9]\d{7,14}", re.ASCII)


class Twilio(Gateway):
    name = "twilio"

    def claims(self, path: str) -> bool:
        return path.startswith("/2010-04-01/")

    def answer(self, request: Request, refusal: Kind | None) -> Response:
        path = _PATH.fullmatch(request.path)
        if not path or request.method != "POST":
            return _error(404, 20404, f"The requested resource {request.path} was not found")
        sid, token = basic_credentials(request)
        if sid != path[1] or not self.accepts(token):
            return _error(401, 20003, "Authenticate")
        try:
            fields = request.form()
        except HttpError as error:
            return _error(400, 20001, str(error))
        to, text = fields.get("To", ""), fields.get("Body", "")
        sender = fields.get("From") or fields.get("MessagingServiceSid") or ""
        if problem := _find_error(to, text, sender) or _refuse(to, refusal):
            return problem
        self.inbox.add(to=to, text=text, gateway=self.name, sender=sender)
        return json_response(_queued(sid, to, text, fields), 201)


def _find_error(to: str, text: str, sender: str) -> Response | None:
    if not to:
        return _error(400, 21604, "A 'To' phone number is required.")
    if not _E164.fullmatch(to):
        return _error(400, 21211, f"The 'To' number {to} is not a valid phone number.")
    if not sender:
        return _error(400, 21603, "A 'From' phone number is required.")
    if not text:
        return _error(400, 21602, "Message body is required.")
    if len(text) > MAX_TEXT:
        return _error(400, 21617, "The concatenated message body exceeds the 1600 character limit.")
    return None


def _refuse(to: str, refusal: Kind | None) -> Response | None:
    if refusal is Kind.REJECTED:
        return _error(400, 21610, f"Attempt to send to unsubscribed recipient {to}")
    if refusal is Kind.NO_CREDIT:
        return _error(403, 20005, "Account is not active")
    return None


def _queued(sid: str, to: str, text: str, fields: dict[str, str]) -> dict[str, object]:
    message_id = f"SM{uuid4().hex}"
    now = format_datetime(datetime.now(UTC))
    return {
        "sid": message_id,
        "account_sid": sid,
        "api_version": "2010-04-01",
        "to": to,
        "from": fields.get("From"),
        "messaging_service_sid": fields.get("MessagingServiceSid"),
        "body": text,
        "status": "queued",
        "direction": "outbound-api",
        "num_segments": "1",
        "date_created": now,
        "date_updated": now,
        "date_sent": None,
        "error_code": None,
        "error_message": None,
        "price": None,
        "price_unit": "USD",
        "uri": f"/2010-04-01/Accounts/{sid}/Messages/{message_id}.json",
    }


def _error(status: int, code: int, message: str) -> Response:
    more = f"https://www.twilio.com/docs/errors/{code}"
    return json_response({"code": code, "message": message, "more_info": more, "status": status}, status)
