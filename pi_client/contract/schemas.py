"""JSON Schema 2020-12 of every message, made from the dataclasses so that it cannot differ from the codec."""

from typing import Any

from .fields import record_field
from .messages import Command, Presence, Result, Telemetry


def message_schemas() -> dict[str, dict[str, Any]]:
    """One schema per message class, by class name. A receiver also enforces what JSON Schema can't say, see `codec`."""
    schemas = {cls.__name__: record_field(cls).schema() for cls in (Presence, Command, Result, Telemetry)}
    schemas["Result"] |= {
        "if": {"properties": {"command_id": {"type": "string"}}},
        "then": {"properties": {"outcome": {"type": "string"}}, "required": ["outcome"]},
    }
    return schemas
