"""The published document against the code. `UPDATE_ASYNCAPI=1` writes the schemas into it."""

import json
import os
from pathlib import Path
from typing import Any
from uuid import UUID

import jsonschema
import pytest
import yaml

from pi_client import contract
from pi_client.contract import CommandType, Reason, cart_topic, device_topic, message_schemas

DOCUMENT = Path(__file__).parents[2] / "docs" / "protocol" / "asyncapi.yaml"
MARK = "  # From here on written by"
ID = UUID(int=1)


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    text = DOCUMENT.read_text("utf-8")
    if os.environ.get("UPDATE_ASYNCAPI"):
        head, _, rest = text.partition(MARK)
        schemas = yaml.safe_dump({"schemas": message_schemas()}, sort_keys=False, width=118, allow_unicode=True)
        indented = "".join(f"  {line}\n" for line in schemas.splitlines())
        text = head + MARK + rest.split("\n", 1)[0] + "\n" + indented
        DOCUMENT.write_text(text, "utf-8")
    loaded: dict[str, Any] = yaml.safe_load(text)
    return loaded


def _resolve(document: dict[str, Any], reference: str) -> Any:
    part: Any = document
    for name in reference.removeprefix("#/").split("/"):
        part = part[name]
    return part


def test_document_holds_the_schemas_of_the_code(document: dict[str, Any]) -> None:
    assert document["components"]["schemas"] == json.loads(json.dumps(message_schemas()))


@pytest.mark.parametrize("name", ["Presence", "Command", "Result", "Telemetry"])
def test_examples_are_valid_and_the_codec_reads_them(document: dict[str, Any], name: str) -> None:
    for example in document["components"]["messages"][name]["examples"]:
        jsonschema.validate(
            example["payload"], document["components"]["schemas"][name], cls=jsonschema.Draft202012Validator
        )
        payload = json.dumps(example["payload"]).encode()

        message = contract.decode(getattr(contract, name), payload)

        assert json.loads(contract.encode(message)) == example["payload"]


def test_channels_are_the_topics_of_the_code(document: dict[str, Any]) -> None:
    addresses = {channel["address"] for channel in document["channels"].values()}
    place = ("{chain}", "{branch}")
    known = {
        device_topic("c", "b", ID, leaf).replace("/c/b/", "/{}/{}/".format(*place)).replace(str(ID), "{device_id}")
        for leaf in ("status", "telemetry", "commands")
    } | {
        cart_topic("c", "b", ID, leaf).replace("/c/b/", "/{}/{}/".format(*place)).replace(str(ID), "{cart_id}")
        for leaf in ("unlock", "lock", "status")
    }

    assert addresses == known


def test_every_reference_leads_somewhere_and_nothing_is_retained(document: dict[str, Any]) -> None:
    stack: list[Any] = [document]
    references = 0
    while stack:
        part = stack.pop()
        if isinstance(part, dict):
            if "$ref" in part:
                assert _resolve(document, part["$ref"]) is not None
                references += 1
            assert part.get("retain", False) is False
            stack.extend(part.values())
        elif isinstance(part, list):
            stack.extend(part)
    assert references > 20
    assert {operation["bindings"]["mqtt"]["qos"] for operation in document["operations"].values()} == {1}


def test_every_word_of_the_wire_is_explained(document: dict[str, Any]) -> None:
    prose = document["info"]["description"] + "".join(
        channel["description"] for channel in document["channels"].values()
    )
    # Doors are refused as unsupported, so nothing says `interlock`; a repeated id is answered, not refused.
    words = {*CommandType, *Reason} - {Reason.INTERLOCK, Reason.DUPLICATE}

    assert [word for word in words if f"`{word}`" not in prose] == []
