"""The wire: what is written reads back, and no bytes at all bring out anything but ContractError."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID, uuid4

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pi_client.contract import (
    MAX_PAYLOAD_BYTES,
    Command,
    CommandType,
    ContractError,
    LockState,
    Message,
    Outcome,
    Presence,
    PresenceState,
    Reason,
    Result,
    Telemetry,
    TelemetryEvent,
    cart_topic,
    decode,
    decode_device_status,
    device_topic,
    encode,
    message_schemas,
    parse_topic,
)

CART = UUID(int=5)
NOW = datetime(2026, 3, 4, 5, 6, 7, 89_000, tzinfo=UTC)
PRESENCE = Presence(
    message_id=uuid4(),
    sent_at=NOW,
    state=PresenceState.ONLINE,
    connection_id=uuid4(),
    boot_id=uuid4(),
    firmware_version="2.0.0",
)
COMMAND = Command(
    message_id=uuid4(),
    sent_at=NOW,
    command_id=uuid4(),
    type=CommandType.CANCEL,
    connection_id=uuid4(),
    issued_at=NOW,
    expires_at=NOW,
    args={"command_id": str(uuid4())},
)
RESULT = Result(
    message_id=uuid4(),
    sent_at=NOW,
    command_id=uuid4(),
    outcome=Outcome.FAILED,
    reason=Reason.NOT_OBSERVED,
    lock=LockState.LOCKED,
    present=True,
    seq=981,
    timing_ms={"received_to_wire": 1.8},
)
STATE = Result(message_id=uuid4(), sent_at=NOW, command_id=None, lock=LockState.UNLOCKED, present=False, seq=1)
TELEMETRY = Telemetry(
    message_id=uuid4(),
    sent_at=NOW,
    events=(TelemetryEvent(event_id=uuid4(), event_type="cart_sensor", timestamp=NOW, event_data={"a": [1, None]}),),
)
EXAMPLES: list[Message] = [PRESENCE, COMMAND, RESULT, STATE, TELEMETRY]
CLASSES: list[Any] = [Presence, Command, Result, Telemetry]


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda message: type(message).__name__)
def test_message_reads_back_as_it_was_written(message: Message) -> None:
    assert decode(type(message), encode(message)) == message


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda message: type(message).__name__)
def test_message_validates_against_its_schema(message: Message) -> None:
    schema = message_schemas()[type(message).__name__]
    jsonschema.Draft202012Validator.check_schema(schema)

    jsonschema.validate(json.loads(encode(message)), schema, cls=jsonschema.Draft202012Validator)


def test_times_are_utc_with_milliseconds() -> None:
    east = Presence(**{**_fields(PRESENCE), "sent_at": NOW.astimezone(timezone(timedelta(hours=3)))})

    assert json.loads(encode(east))["sent_at"] == "2026-03-04T05:06:07.089Z"


def test_unknown_fields_are_ignored() -> None:
    assert decode(Presence, _json(PRESENCE, news="later")) == PRESENCE


def test_optional_fields_may_be_left_out() -> None:
    value = json.loads(encode(STATE))
    for name in ("outcome", "reason", "timing_ms", "present"):
        del value[name]

    assert decode(Result, json.dumps(value).encode()).command_id is None


@pytest.mark.parametrize(
    ("message", "field", "value"),
    [
        (COMMAND, "v", 2),
        (COMMAND, "v", True),
        (COMMAND, "v", None),
        (COMMAND, "command_id", f"{{{CART}}}"),
        (COMMAND, "command_id", 7),
        (COMMAND, "type", "explode"),
        (COMMAND, "type", ["unlock"]),
        (COMMAND, "expires_at", "2026-03-04T05:06:07"),
        (COMMAND, "expires_at", "2026-13-04T05:06:07Z"),
        (COMMAND, "expires_at", "0001-01-01T00:00:00+14:00"),
        (COMMAND, "expires_at", 1700000000),
        (COMMAND, "args", []),
        (COMMAND, "args", {"n": 2**60}),
        (COMMAND, "args", {"text": "\0"}),
        (RESULT, "outcome", None),
        (RESULT, "seq", -1),
        (RESULT, "seq", True),
        (RESULT, "seq", 1.0),
        (RESULT, "seq", 2**53),
        (RESULT, "present", 1),
        (RESULT, "timing_ms", {"a": "fast"}),
        (RESULT, "timing_ms", {"a": True}),
        (RESULT, "timing_ms", {"a": -1}),
        (PRESENCE, "firmware_version", ""),
        (PRESENCE, "firmware_version", "x" * 65),
        (TELEMETRY, "events", {}),
        (TELEMETRY, "events", [None]),
        (TELEMETRY, "events", [json.loads(encode(TELEMETRY))["events"][0]] * 501),
    ],
)
def test_decode_refuses_a_wrong_field(message: Message, field: str, value: Any) -> None:
    with pytest.raises(ContractError):
        decode(type(message), _json(message, **{field: value}))


@pytest.mark.parametrize("field", ["v", "message_id", "sent_at", "command_id", "type", "connection_id", "expires_at"])
def test_decode_refuses_a_missing_field(field: str) -> None:
    value = json.loads(encode(COMMAND))
    del value[field]

    with pytest.raises(ContractError):
        decode(Command, json.dumps(value).encode())


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xff\xfe{}",
        b"null",
        b"[]",
        b"{",
        b'"text"',
        b"[" * 100_000,
        b'{"a":' * 20_000,
        b'{"v":NaN}',
        b'{"v":Infinity}',
        b'{"v":1e999}',
        b'{"v":' + b"9" * 5000 + b"}",
        b'{"v":"\\ud800"}',
        b"\xef\xbb\xbf{}",
        b" " * (MAX_PAYLOAD_BYTES + 1),
    ],
    ids=lambda payload: repr(payload[:12]),
)
def test_decode_refuses_hostile_bytes(payload: bytes) -> None:
    for cls in CLASSES:
        with pytest.raises(ContractError):
            decode(cls, payload)
    with pytest.raises(ContractError):
        decode_device_status(payload)


def test_decode_refuses_deep_but_well_formed_nesting() -> None:
    args: Any = {}
    for _ in range(40):
        args = {"deeper": args}

    with pytest.raises(ContractError):
        decode(Command, _json(COMMAND, args=args))


@pytest.mark.parametrize(
    "changes",
    [
        {"sent_at": NOW.replace(tzinfo=None)},
        {"args": {"x": float("nan")}},
        {"args": {"x": object()}},
        {"args": {1: "x"}},
        {"args": {"x": "y" * MAX_PAYLOAD_BYTES}},
        {"command_id": "text"},
    ],
)
def test_encode_refuses_what_could_not_be_read(changes: dict[str, Any]) -> None:
    with pytest.raises(ContractError):
        encode(Command(**{**_fields(COMMAND), **changes}))


def test_device_status_tells_births_from_results() -> None:
    assert decode_device_status(encode(PRESENCE)) == PRESENCE
    assert decode_device_status(encode(RESULT)) == RESULT


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


@st.composite
def _mangled(draw: st.DrawFn) -> bytes:
    """An example with some fields replaced, some left out, and perhaps a byte changed."""
    value = json.loads(encode(draw(st.sampled_from(EXAMPLES))))
    for name in draw(st.sets(st.sampled_from(sorted(value)), max_size=3)):
        if draw(st.booleans()):
            value[name] = draw(_JSON)
        else:
            del value[name]
    payload = bytearray(json.dumps(value).encode("utf-8", "surrogatepass"))
    if draw(st.booleans()):
        payload[draw(st.integers(0, len(payload) - 1))] = draw(st.integers(0, 255))
    return bytes(payload)


@settings(max_examples=400, deadline=None, print_blob=True)
@given(st.binary(max_size=200) | _mangled() | _JSON.map(lambda value: json.dumps(value).encode()))
def test_decode_raises_nothing_but_contract_errors(payload: bytes) -> None:
    for cls in CLASSES:
        try:
            message = decode(cls, payload)
        except ContractError:
            continue
        assert decode(cls, encode(message)) == _to_milliseconds(message)


def _to_milliseconds(message: Any) -> Any:
    """`message` as it is after a trip over the wire, where times have milliseconds."""
    values = {name: _cut(value) for name, value in _fields(message).items()}
    return type(message)(**values)


def _cut(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.replace(microsecond=value.microsecond // 1000 * 1000)
    if isinstance(value, tuple):
        return tuple(_to_milliseconds(event) for event in value)
    return value


def test_topics_are_put_together_and_taken_apart() -> None:
    cart = uuid4()

    topic = parse_topic(cart_topic("demo", "BRANCH-001", cart, "unlock"))

    assert (topic.chain, topic.branch, topic.kind, topic.id, topic.leaf) == (
        "demo",
        "BRANCH-001",
        "carts",
        cart,
        "unlock",
    )
    assert device_topic("demo", "B", UUID(int=1), "commands").count("/") == 5


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "cartwise",
        f"cartwise/a/b/carts/{CART}/unlock/more",
        f"cartwise/a/b/carts/{CART}/commands",
        f"cartwise/a/b/devices/{CART}/unlock",
        f"cartwise/a/b/doors/{CART}/unlock",
        f"other/a/b/carts/{CART}/unlock",
        f"cartwise/+/b/carts/{CART}/unlock",
        f"cartwise/a/#/carts/{CART}/unlock",
        f"cartwise//b/carts/{CART}/unlock",
        "cartwise/a/b/carts/7/unlock",
        "cartwise/" + "a" * 300,
    ],
)
def test_parse_topic_refuses_foreign_topics(topic: str) -> None:
    with pytest.raises(ContractError):
        parse_topic(topic)


def test_topic_refuses_a_slug_that_would_be_a_wildcard() -> None:
    with pytest.raises(ContractError):
        cart_topic("+", "b", uuid4(), "unlock")


@given(st.text(max_size=80))
def test_parse_topic_raises_nothing_but_contract_errors(topic: str) -> None:
    try:
        parse_topic(topic)
    except ContractError:
        pass


def _fields(message: Any) -> dict[str, Any]:
    return {name: getattr(message, name) for name in type(message).__dataclass_fields__}


def _json(message: Message, **changes: Any) -> bytes:
    return json.dumps({**json.loads(encode(message)), **changes}).encode()
