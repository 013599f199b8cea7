"""Logs as JSON lines, each with the request's id, so that an id read out by a customer finds everything.

Nobody writes addresses, phone numbers or keys into a log; where one gets in with an error or a path, it is masked.
"""

import json
import logging
import re
from datetime import UTC, datetime
from typing import Any

from core.request_id import current_request_id

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "request", "request_id"}

_ADDRESS = re.compile(r"(?<![\w.+%-])([\w+-])(?:[\w.+-]|%2[Bb])*(?:@|%40)[\w-]+(?:\.[\w-]+)+")
# Digits of any script, as people type them. Without a sign only of the countries served: other long numbers are ids.
_NUMBER = re.compile(
    r"(?<![\w.:-])(?:(?:\+|%2[Bb]|00|۰۰|٠٠)(?![0۰٠])\d(?:[ -]?\d){6,14}(?!\d)"
    r"|[0۰٠](?![0۰٠])\d(?:[ -]?\d){7,9}(?![\w:-])"
    r"|(?:972|98|33)[1-9]\d{8,9}(?![\w:-]))"
)
_KEY_IN_PATH = re.compile(r"(/auth/(?:link|invitation)/)[^\s\"?]+")
_KEY = re.compile(r"\b(cwp_|eyJ)[\w.-]{8,}")


def mask(text: str) -> str:
    """`text` with addresses, phone numbers and keys made unusable; of a number the last four digits stay."""
    text = _ADDRESS.sub(r"\1•••@•••", text)
    text = _NUMBER.sub(lambda found: f"•••{re.sub(r'[^0-9۰-۹٠-٩]', '', found[0])[-4:]}", text)
    return _KEY.sub(r"\1•••", _KEY_IN_PATH.sub(r"\1•••", text))


class RequestIdFilter(logging.Filter):
    """Adds the current request's id to each record."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = current_request_id.get()
        return True


class HealthFilter(logging.Filter):
    """Drops the complaint about `/healthz` answering 503: it is the answer, and monitors ask every few seconds."""

    def filter(self, record: logging.LogRecord) -> bool:
        return getattr(getattr(record, "request", None), "path", "") != "/healthz"


class JsonFormatter(logging.Formatter):
    """One JSON object a line, masked; whatever was passed as `extra` becomes a field."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if request_id := getattr(record, "request_id", ""):
            line["request_id"] = request_id
        line |= {key: value for key, value in record.__dict__.items() if key not in _STANDARD}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(_masked(line), ensure_ascii=False)


def _masked(value: Any) -> Any:
    """Texts masked as they are: in JSON a quote is two characters, of which a mask could take one."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, dict):
        return {str(key): _masked(each) for key, each in value.items()}
    return [_masked(each) for each in value] if isinstance(value, list | tuple) else mask(str(value))
