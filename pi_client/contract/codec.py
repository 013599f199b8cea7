"""Bytes to messages and back. Whatever the bytes, the only exception is ContractError."""

import json
from typing import Any, TypeVar

from .errors import ContractError
from .fields import check_json, record_field
from .messages import MAX_PAYLOAD_BYTES, Command, Message, Presence, Result, Telemetry

MessageT = TypeVar("MessageT", Presence, Command, Result, Telemetry)


def encode(message: Message) -> bytes:
    """UTF-8 JSON, times in RFC 3339 UTC with milliseconds; ContractError when the message breaks its own contract."""
    if isinstance(message, Result):
        _check_result(message)
    plain = record_field(type(message)).write(message)
    payload = json.dumps(plain, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise ContractError("larger than 128 KB")
    return payload


def decode(cls: type[MessageT], payload: bytes) -> MessageT:
    """The message in `payload`; unknown fields are ignored, anything else out of order raises ContractError."""
    return _build(cls, _load(payload))


def decode_device_status(payload: bytes) -> Presence | Result:
    """What a device says on its own status topic: a birth or will (they have `state`), or a device command's result."""
    value = _load(payload)
    return _build(Presence, value) if "state" in value else _build(Result, value)


def _load(payload: bytes) -> dict[str, Any]:
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise ContractError("larger than 128 KB")
    try:
        value = json.loads(bytes(payload).decode("utf-8"), parse_constant=_refuse_constant)
    except ContractError:
        raise
    except (ValueError, RecursionError) as error:
        raise ContractError("not JSON in UTF-8") from error
    if not isinstance(value, dict):
        raise ContractError("not a JSON object")
    check_json(value)
    return value


def _refuse_constant(word: str) -> None:
    raise ContractError(f"{word} is not JSON")


def _build(cls: type[MessageT], value: dict[str, Any]) -> MessageT:
    message: MessageT = record_field(cls).read(value)
    if isinstance(message, Result):
        _check_result(message)
    return message


def _check_result(result: Result) -> None:
    if result.command_id is not None and result.outcome is None:
        raise ContractError("a result that answers a command needs an outcome")
