"""InforU (Israel): JSON with Basic credentials; HTTP 200 whatever happened, StatusId 1 alone means sent."""

from uuid import uuid4

from simulators.sms.faults import Kind
from simulators.sms.gateways.gateway import SENDER, Gateway, basic_credentials, local_israeli
from simulators.web import HttpError, Request, Response, json_response, parse_json

PATH = "/api/v2/SMS/SendSms"
SUCCESS, FAILED, BAD_CREDENTIALS, NO_RECIPIENTS, NO_TEXT = 1, -1, -2, -6, -9
BAD_DOCUMENT, NO_CREDIT, NO_VALID_RECIPIENTS, BAD_SENDER = -11, -13, -18, -21
DESCRIPTIONS = {
    SUCCESS: "Success",
    FAILED: "Failed",
    BAD_CREDENTIALS: "Bad user name or password",
    NO_RECIPIENTS: "Recipients data does not exist",
    NO_TEXT: "Message text does not exist",
    BAD_DOCUMENT: "Illegal JSON",
    NO_CREDIT: "User quota exceeded",
    NO_VALID_RECIPIENTS: "No valid recipients",
    BAD_SENDER: "Invalid sender name",
}


class Inforu(Gateway):
    name = "inforu"

    def claims(self, path: str) -> bool:
        return path == PATH

    def answer(self, request: Request, refusal: Kind | None) -> Response:
        status, sent = self._send(request, refusal)
        return json_response(
            {
                "StatusId": status,
                "StatusDescription": DESCRIPTIONS[status],
                "DetailedDescription": "",
                "FunctionName": "api/v2/SMS/SendSms",
                "RequestId": str(uuid4()),
                "Data": {"Recipients": sent} if status == SUCCESS else None,
            }
        )

    def _send(self, request: Request, refusal: Kind | None) -> tuple[int, int]:
        """StatusId and how many it went to."""
        user, token = basic_credentials(request)
        if not user or not self.accepts(token):
            return BAD_CREDENTIALS, 0
        if request.method != "POST":
            return FAILED, 0
        try:
            document = parse_json(request.body)
        except HttpError:
            return BAD_DOCUMENT, 0
        data = document.get("Data") if isinstance(document, dict) else None
        if not isinstance(data, dict):
            return BAD_DOCUMENT, 0
        text, recipients, settings = data.get("Message"), data.get("Recipients"), data.get("Settings")
        if not isinstance(text, str) or not text:
            return NO_TEXT, 0
        if not isinstance(recipients, list) or not recipients:
            return NO_RECIPIENTS, 0
        sender = settings.get("Sender") if isinstance(settings, dict) else None
        if not isinstance(sender, str) or not SENDER.fullmatch(sender):
            return BAD_SENDER, 0
        numbers = [local_israeli(each.get("Phone") if isinstance(each, dict) else None) for each in recipients]
        valid = [number for number in numbers if number]
        if not valid or refusal is Kind.REJECTED:
            return NO_VALID_RECIPIENTS, 0
        if refusal is Kind.NO_CREDIT:
            return NO_CREDIT, 0
        for number in valid:
            self.inbox.add(to=number, text=text, gateway=self.name, sender=sender)
        return SUCCESS, len(valid)
