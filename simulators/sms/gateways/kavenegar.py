"""Kavenegar (Iran): the key in the path, HTTP 200 whatever happened, the outcome in `return.status`.

A one-time code goes through `verify/lookup`: the caller gives a template's name and its tokens, never the text.
"""

import re
import time
from collections.abc import Mapping
from itertools import count

from simulators.sms.faults import Kind
from simulators.sms.gateways.gateway import Gateway
from simulators.sms.inbox import Inbox
from simulators.web import HttpError, Request, Response, json_response

OK, BAD_PARAMETERS, BAD_METHOD, FAILED, BAD_KEY, BAD_RECEPTOR = 200, 400, 404, 402, 403, 411
TOO_MANY, NO_CREDIT, BAD_CHARACTERS, NO_TEMPLATE, NOT_FOR_CALLS, BAD_TOKEN = 414, 418, 422, 424, 428, 431
MESSAGES = {
    OK: "تایید شد",
    BAD_PARAMETERS: "پارامترها ناقص هستند",
    FAILED: "عملیات ناموفق بود",
    BAD_KEY: "کد شناسائی معتبر نمی‌باشد",
    BAD_METHOD: "متد نامشخص است",
    BAD_RECEPTOR: "دریافت کننده نامعتبر است",
    TOO_MANY: "حجم درخواست بیشتر از حد مجاز است",
    NO_CREDIT: "اعتبار حساب شما کافی نیست",
    BAD_CHARACTERS: "داده ها به دلیل وجود کاراکتر نامناسب قابل پردازش نیست",
    NO_TEMPLATE: "الگوی مورد نظر پیدا نشد",
    NOT_FOR_CALLS: "ارسال کد از طریق تماس تلفنی امکان پذیر نیست",
    BAD_TOKEN: "ساختار کد صحیح نمی‌باشد",
}
MAX_RECEPTORS = 200
SENDER = "10004346"
COST_RIAL = 1200

_PATH = re.compile(r"/v1/([^/]*)/(verify/lookup|sms/send)\.json")
_LOCAL = re.compile(r"0(9\d{9})", re.ASCII)
_ABROAD = re.compile(r"00([1-9]\d{7,14})", re.ASCII)
_TEMPLATE = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
# Spaces each token may have; the caller must send `token`.
_TOKENS = {"token": 0, "token2": 0, "token3": 0, "token10": 4, "token20": 8}


class _RefusedError(Exception):
    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Kavenegar(Gateway):
    """`templates`: text by name, with `%token` and the like in it; empty: any name will do."""

    name = "kavenegar"

    def __init__(self, inbox: Inbox, key: str | None, templates: Mapping[str, str]) -> None:
        super().__init__(inbox, key)
        self._templates = templates
        self._ids = count(8792343)

    def claims(self, path: str) -> bool:
        return path.startswith("/v1/")

    def answer(self, request: Request, refusal: Kind | None) -> Response:
        try:
            entries = self._send(request, refusal)
        except _RefusedError as error:
            return _reply(error.status, None)
        return _reply(OK, entries)

    def _send(self, request: Request, refusal: Kind | None) -> list[dict[str, object]]:
        path = _PATH.fullmatch(request.path)
        if not path:
            raise _RefusedError(BAD_METHOD)
        if not self.accepts(path[1]):
            raise _RefusedError(BAD_KEY)
        try:
            fields = {**request.query, **request.form()}
        except HttpError as error:
            raise _RefusedError(BAD_PARAMETERS) from error
        numbers = fields.get("receptor", "").split(",")
        if len(numbers) > (1 if path[2] == "verify/lookup" else MAX_RECEPTORS):
            raise _RefusedError(TOO_MANY)
        receptors = [_to_e164(number) for number in numbers]
        text = self._render(fields) if path[2] == "verify/lookup" else fields.get("message", "")
        if not text:
            raise _RefusedError(BAD_PARAMETERS)
        if "\x00" in text:
            raise _RefusedError(BAD_CHARACTERS)
        if refusal:
            raise _RefusedError(NO_CREDIT if refusal is Kind.NO_CREDIT else BAD_RECEPTOR)
        sender = fields.get("sender") or SENDER
        for receptor in receptors:
            self.inbox.add(to=receptor, text=text, gateway=self.name, sender=sender)
        return [self._entry(number, text, sender) for number in numbers]

    def _render(self, fields: Mapping[str, str]) -> str:
        tokens = {name: fields[name] for name in _TOKENS if fields.get(name)}
        name = fields.get("template", "")
        if "token" not in tokens or not name:
            raise _RefusedError(BAD_PARAMETERS)
        if not _TEMPLATE.fullmatch(name) or (self._templates and name not in self._templates):
            raise _RefusedError(NO_TEMPLATE)
        if any(token.count(" ") > _TOKENS[each] or "\n" in token for each, token in tokens.items()):
            raise _RefusedError(BAD_TOKEN)
        if fields.get("type") == "call" and not all(token.isdigit() for token in tokens.values()):
            raise _RefusedError(NOT_FOR_CALLS)
        if not self._templates:
            return f"{name}: {' '.join(tokens.values())}"
        return re.sub(r"%(token\d*)", lambda match: tokens.get(match[1], ""), self._templates[name])

    def _entry(self, number: str, text: str, sender: str) -> dict[str, object]:
        return {
            "messageid": next(self._ids),
            "message": text,
            "status": 5,
            "statustext": "ارسال به مخابرات",
            "sender": sender,
            "receptor": number,
            "date": int(time.time()),
            "cost": COST_RIAL,
        }


def _to_e164(number: str) -> str:
    if match := _LOCAL.fullmatch(number):
        return f"+98{match[1]}"
    if match := _ABROAD.fullmatch(number):
        return f"+{match[1]}"
    raise _RefusedError(BAD_RECEPTOR)


def _reply(status: int, entries: list[dict[str, object]] | None) -> Response:
    return json_response({"return": {"status": status, "message": MESSAGES[status]}, "entries": entries})
