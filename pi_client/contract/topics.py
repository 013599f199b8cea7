"""Topic names: `cartwise/{chain_slug}/{branch_code}/{devices|carts}/{uuid}/{leaf}`, five slashes, at most 256 bytes."""

import re
from dataclasses import dataclass
from typing import Final, Literal, cast
from uuid import UUID

from .errors import ContractError
from .fields import UUID_PATTERN

Kind = Literal["devices", "carts"]

DEVICE_LEAVES: Final = ("status", "telemetry", "commands")
CART_LEAVES: Final = ("unlock", "lock", "status")
MAX_TOPIC_BYTES: Final = 256
_LEAVES: Final = {"devices": DEVICE_LEAVES, "carts": CART_LEAVES}
_LEVEL = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}")
_UUID = re.compile(UUID_PATTERN[1:-1])


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic taken apart."""

    chain: str
    branch: str
    kind: Kind
    id: UUID
    leaf: str


def device_topic(chain_slug: str, branch_code: str, device_id: UUID, leaf: str) -> str:
    """`leaf` is one of status, telemetry, commands; ContractError for anything that would not parse back."""
    return _checked(f"cartwise/{chain_slug}/{branch_code}/devices/{device_id}/{leaf}")


def cart_topic(chain_slug: str, branch_code: str, cart_id: UUID, leaf: str) -> str:
    """`leaf` is one of unlock, lock, status; ContractError for anything that would not parse back."""
    return _checked(f"cartwise/{chain_slug}/{branch_code}/carts/{cart_id}/{leaf}")


def parse_topic(topic: str) -> Topic:
    """The parts of a topic of ours, ContractError for every other string."""
    levels = topic.split("/", 6)
    if len(topic) > MAX_TOPIC_BYTES or len(levels) != 6 or levels[0] != "cartwise":
        raise ContractError("not a topic of this product")
    _, chain, branch, kind, identity, leaf = levels
    if not _LEVEL.fullmatch(chain) or not _LEVEL.fullmatch(branch) or not _UUID.fullmatch(identity):
        raise ContractError("not a chain, a branch and a UUID")
    if leaf not in _LEAVES.get(kind, ()):
        raise ContractError("not a topic of this product")
    return Topic(chain, branch, cast("Kind", kind), UUID(identity), leaf)


def _checked(topic: str) -> str:
    parse_topic(topic)
    return topic
