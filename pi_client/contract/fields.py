"""How each annotation of `messages` looks in JSON: one small class per kind, used to read, write and describe it."""

import dataclasses
import enum
import math
import re
import types
import typing
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Protocol
from uuid import UUID

from .errors import ContractError
from .messages import MAX_INTEGER, Bounds, Length

MAX_DEPTH = 32
UUID_PATTERN = "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"
TIME_PATTERN = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})$"
_UUID = re.compile(UUID_PATTERN[1:-1])
_TIME = re.compile(TIME_PATTERN[1:-1])
_SURROGATE = re.compile("[\ud800-\udfff]")


class Field(Protocol):
    """Reads (raising ContractError), writes and describes one kind of value."""

    def read(self, value: Any) -> Any: ...
    def write(self, value: Any) -> Any: ...
    def schema(self) -> dict[str, Any]: ...


class UuidField:
    def read(self, value: Any) -> UUID:
        if not isinstance(value, str) or not _UUID.fullmatch(value):
            raise ContractError("not a UUID")
        return UUID(value)

    def write(self, value: Any) -> str:
        if not isinstance(value, UUID):
            raise ContractError("not a UUID")
        return str(value)

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "format": "uuid", "pattern": UUID_PATTERN}


class TimeField:
    def read(self, value: Any) -> datetime:
        if not isinstance(value, str) or not _TIME.fullmatch(value):
            raise ContractError("not an RFC 3339 time with an offset")
        try:
            return datetime.fromisoformat(value.upper()).astimezone(UTC)
        except (ValueError, OverflowError) as error:
            raise ContractError("no such time") from error

    def write(self, value: Any) -> str:
        if not isinstance(value, datetime) or value.tzinfo is None:
            raise ContractError("not an aware time")
        try:
            moment = value.astimezone(UTC)
        except OverflowError as error:
            raise ContractError("no such time") from error
        return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "format": "date-time", "pattern": TIME_PATTERN}


@dataclasses.dataclass(frozen=True)
class EnumField:
    words: type[enum.StrEnum]

    def read(self, value: Any) -> enum.StrEnum:
        if not isinstance(value, str):
            raise ContractError("not a word")
        try:
            return self.words(value)
        except ValueError as error:
            raise ContractError(f"not a known {self.words.__name__}") from error

    def write(self, value: Any) -> str:
        return str(self.read(value))

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "enum": [str(word) for word in self.words]}


class BoolField:
    def read(self, value: Any) -> bool:
        if not isinstance(value, bool):
            raise ContractError("not a boolean")
        return value

    write = read

    def schema(self) -> dict[str, Any]:
        return {"type": "boolean"}


@dataclasses.dataclass(frozen=True)
class NumberField:
    kind: type[int] | type[float]
    bounds: Bounds

    def read(self, value: Any) -> int | float:
        if isinstance(value, bool) or not isinstance(value, int | self.kind):
            raise ContractError("not a number of this kind")
        # Written so that NaN, which compares false with everything, is outside.
        if not self.bounds.minimum <= value <= self.bounds.maximum:
            raise ContractError("number out of range")
        return self.kind(value)

    write = read

    def schema(self) -> dict[str, Any]:
        if self.bounds.minimum == self.bounds.maximum:
            return {"const": self.bounds.minimum}
        kind = "integer" if self.kind is int else "number"
        return {"type": kind, "minimum": self.bounds.minimum, "maximum": self.bounds.maximum}


@dataclasses.dataclass(frozen=True)
class TextField:
    length: Length

    def read(self, value: Any) -> str:
        if not isinstance(value, str) or not self.length.minimum <= len(value) <= self.length.maximum:
            raise ContractError("not a text of this length")
        check_text(value)
        return value

    write = read

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "minLength": self.length.minimum, "maxLength": self.length.maximum}


class ObjectField:
    """Any JSON object; `check_json` has already limited what is inside."""

    def read(self, value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise ContractError("not an object")
        return value

    def write(self, value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise ContractError("not an object")
        plain = dict(value)
        check_json(plain)
        return plain

    def schema(self) -> dict[str, Any]:
        return {"type": "object"}


@dataclasses.dataclass(frozen=True)
class MapField:
    key: Field
    item: Field
    length: Length

    def _pass(self, value: Any, key: Any, item: Any) -> dict[Any, Any]:
        if not isinstance(value, Mapping) or not self.length.minimum <= len(value) <= self.length.maximum:
            raise ContractError("not an object of this size")
        return {key(name): item(part) for name, part in value.items()}

    def read(self, value: Any) -> dict[Any, Any]:
        return self._pass(value, self.key.read, self.item.read)

    def write(self, value: Any) -> dict[Any, Any]:
        return self._pass(value, self.key.write, self.item.write)

    def schema(self) -> dict[str, Any]:
        return {
            "type": "object",
            "propertyNames": self.key.schema(),
            "additionalProperties": self.item.schema(),
            "maxProperties": self.length.maximum,
        }


@dataclasses.dataclass(frozen=True)
class ListField:
    item: Field
    length: Length

    def read(self, value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list) or not self.length.minimum <= len(value) <= self.length.maximum:
            raise ContractError("not a list of this length")
        return tuple(self.item.read(part) for part in value)

    def write(self, value: Any) -> list[Any]:
        if not self.length.minimum <= len(value) <= self.length.maximum:
            raise ContractError("not a list of this length")
        return [self.item.write(part) for part in value]

    def schema(self) -> dict[str, Any]:
        return {"type": "array", "items": self.item.schema(), "maxItems": self.length.maximum}


@dataclasses.dataclass(frozen=True)
class NullableField:
    inner: Field

    def read(self, value: Any) -> Any:
        return None if value is None else self.inner.read(value)

    def write(self, value: Any) -> Any:
        return None if value is None else self.inner.write(value)

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [self.inner.schema(), {"type": "null"}]}


@dataclasses.dataclass(frozen=True)
class RecordField:
    """A dataclass of `messages`: unknown fields are ignored, those without a default are required."""

    record: type[Any]
    fields: Mapping[str, Field]
    required: frozenset[str]

    def read(self, value: Any) -> Any:
        if not isinstance(value, dict):
            raise ContractError("not an object")
        missing = self.required - value.keys()
        if missing:
            raise ContractError(f"missing {', '.join(sorted(missing))}")
        values = {}
        for name, field in self.fields.items():
            if name in value:
                try:
                    values[name] = field.read(value[name])
                except ContractError as error:
                    raise ContractError(f"{name}: {error}") from error
        return self.record(**values)

    def write(self, value: Any) -> dict[str, Any]:
        if not isinstance(value, self.record):
            raise ContractError(f"not a {self.record.__name__}")
        return {name: field.write(getattr(value, name)) for name, field in self.fields.items()}

    def schema(self) -> dict[str, Any]:
        return {
            "type": "object",
            "description": " ".join((self.record.__doc__ or "").split()),
            "properties": {name: field.schema() for name, field in self.fields.items()},
            "required": [name for name in self.fields if name in self.required],
        }


_RECORDS: dict[type[Any], RecordField] = {}


def record_field(record: type[Any]) -> RecordField:
    """The reader, writer and describer of a message class, made once."""
    if record not in _RECORDS:
        _RECORDS[record] = _describe(record)
    return _RECORDS[record]


def _describe(record: type[Any]) -> RecordField:
    hints = typing.get_type_hints(record, include_extras=True)
    fields = {field.name: _field_for(hints[field.name]) for field in dataclasses.fields(record)}
    optional = {
        field.name
        for field in dataclasses.fields(record)
        if field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
    }
    # `v` has a default for whoever builds a message, never for whoever reads one.
    return RecordField(record, fields, frozenset(fields) - (optional - {"v"}))


def _field_for(hint: Any, limit: Any = None) -> Field:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return _field_for(arguments[0], arguments[1])
    if origin in (types.UnionType, typing.Union):
        return NullableField(_field_for(next(part for part in arguments if part is not types.NoneType)))
    if origin is tuple:
        return ListField(_field_for(arguments[0]), limit)
    if hint == Mapping[str, Any]:
        return ObjectField()
    if origin is Mapping or getattr(origin, "__name__", "") == "Mapping":
        return MapField(_field_for(arguments[0]), _field_for(arguments[1]), limit)
    if dataclasses.is_dataclass(hint):
        return record_field(typing.cast("type[Any]", hint))
    if hint is bool:
        return BoolField()
    if hint in (int, float):
        return NumberField(hint, limit)
    if hint is str:
        return TextField(limit)
    if hint is UUID:
        return UuidField()
    return TimeField() if hint is datetime else EnumField(hint)


def check_text(text: str) -> None:
    """Raises ContractError for what UTF-8 or PostgreSQL cannot hold: lone surrogates and NUL."""
    if "\0" in text or _SURROGATE.search(text):
        raise ContractError("text holds NUL or a lone surrogate")


def check_json(value: Any) -> None:
    """Raises ContractError unless every JSON reader would understand the same by `value`: depth, numbers, texts."""
    stack = [(value, 1)]
    while stack:
        part, depth = stack.pop()
        if isinstance(part, str):
            check_text(part)
        elif isinstance(part, bool) or part is None:
            continue
        elif isinstance(part, int):
            if abs(part) > MAX_INTEGER:
                raise ContractError("integer out of range")
        elif isinstance(part, float):
            if not math.isfinite(part):
                raise ContractError("number is not finite")
        elif isinstance(part, dict | list | tuple):
            if depth > MAX_DEPTH:
                raise ContractError("nested too deep")
            if isinstance(part, dict):
                if not all(isinstance(key, str) for key in part):
                    raise ContractError("key is not a text")
                stack.extend((key, depth + 1) for key in part)
            stack.extend((inner, depth + 1) for inner in (part.values() if isinstance(part, dict) else part))
        else:
            raise ContractError(f"{type(part).__name__} has no place in JSON")
