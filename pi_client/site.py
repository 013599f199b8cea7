"""What this Pi serves, as the cloud describes it: controllers on ports, carts on controllers."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from .codec import PROTOCOLS, BadLocker, LockBoard
from .contract import ContractError, cart_topic, device_topic, parse_topic

log = logging.getLogger(__name__)

BAUDRATES = (9600, 19200, 38400, 57600, 115200)
MAX_ENTRIES = 512


class SiteError(ValueError):
    """The cloud's configuration cannot be used at all."""


@dataclass(frozen=True, slots=True)
class Controller:
    """One lock board at an address of a line."""

    id: UUID
    address: int
    port: str
    baudrate: int
    protocol: str
    hook_closed_bit: int

    def board(self) -> LockBoard:
        """A fresh codec for the board; BadLocker when the protocol has no such address."""
        return PROTOCOLS[self.protocol](self.address, self.hook_closed_bit)


@dataclass(frozen=True, slots=True)
class Cart:
    """One cart: the lock `locker_id` (as the board's frames count) of a controller."""

    id: UUID
    cart_number: int
    controller_id: UUID
    locker_id: int


@dataclass(frozen=True, slots=True)
class Site:
    """A version of the configuration. `rejected` says which of its entries were left out, and why."""

    version: int = 0
    controllers: tuple[Controller, ...] = ()
    carts: tuple[Cart, ...] = ()
    rejected: tuple[str, ...] = field(default=(), compare=False)

    def same_hardware(self, other: "Site") -> bool:
        return self.controllers == other.controllers and self.carts == other.carts


def read_site(value: Any) -> Site:
    """The site in the cloud's JSON. An entry that makes no sense is left out, the others still work.

    Raises SiteError when it is no configuration at all.
    """
    if not isinstance(value, Mapping):
        raise SiteError("configuration is not an object")
    version, boards, carts = value.get("version"), value.get("controllers", []), value.get("carts", [])
    if isinstance(version, bool) or not isinstance(version, int):
        raise SiteError("configuration has no version")
    if not isinstance(boards, list) or not isinstance(carts, list) or len(boards) + len(carts) > MAX_ENTRIES:
        raise SiteError("controllers and carts are not lists of a reasonable length")
    rejected: list[str] = []
    controllers: dict[UUID, Controller] = {}
    for entry in boards:
        try:
            controller = _read_controller(entry)
        except (KeyError, TypeError, ValueError) as error:
            rejected.append(f"controller {_label(entry, 'id')}: {error!r}")
        else:
            controllers[controller.id] = controller
    served: dict[UUID, Cart] = {}
    for entry in carts:
        try:
            cart = _read_cart(entry, controllers)
        except (KeyError, TypeError, ValueError) as error:
            rejected.append(f"cart {_label(entry, 'cart_number')}: {error!r}")
        else:
            served[cart.id] = cart
    for line in rejected:
        log.warning("configuration %d: left out %s", version, line)
    return Site(version, tuple(controllers.values()), tuple(served.values()), tuple(rejected))


def _label(entry: Any, key: str) -> str:
    return str(entry.get(key, "?"))[:64] if isinstance(entry, Mapping) else "?"


def _read_controller(entry: Mapping[str, Any]) -> Controller:
    controller = Controller(
        id=UUID(entry["id"]),
        address=_integer(entry["address"]),
        port=str(entry["port"]),
        baudrate=_integer(entry.get("baudrate", 19200)),
        protocol=str(entry.get("protocol", "kerong-cu16")),
        hook_closed_bit=_integer(entry.get("hook_closed_bit", 1)),
    )
    if controller.baudrate not in BAUDRATES or controller.hook_closed_bit not in (0, 1):
        raise ValueError("baudrate or hook_closed_bit")
    controller.board()
    return controller


def _read_cart(entry: Mapping[str, Any], controllers: Mapping[UUID, Controller]) -> Cart:
    cart = Cart(
        id=UUID(entry["id"]),
        cart_number=_integer(entry["cart_number"]),
        controller_id=UUID(entry["controller_id"]),
        locker_id=_integer(entry["locker_id"]),
    )
    controllers[cart.controller_id].board().unlock_request(cart.locker_id)
    return cart


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadLocker("not an integer")
    return value


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of this device, from the base that registration named."""

    chain: str
    branch: str
    device_id: UUID

    @classmethod
    def from_base(cls, base: str) -> "Topics":
        """`base` is `cartwise/<chain>/<branch>/devices/<device_id>`; SiteError for anything else."""
        try:
            topic = parse_topic(f"{base}/status")
        except ContractError as error:
            raise SiteError(str(error)) from error
        return cls(topic.chain, topic.branch, topic.id)

    def device(self, leaf: str) -> str:
        return device_topic(self.chain, self.branch, self.device_id, leaf)

    def cart(self, cart_id: UUID, leaf: str) -> str:
        return cart_topic(self.chain, self.branch, cart_id, leaf)

    def commands(self, site: Site) -> list[str]:
        """Everything to subscribe to."""
        carts = [self.cart(cart.id, leaf) for cart in site.carts for leaf in ("unlock", "lock")]
        return [self.device("commands"), *carts]
