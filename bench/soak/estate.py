"""The shop of one chapter: three Pis on connections of their own, each with two boards and eight carts."""

from dataclasses import dataclass
from uuid import UUID

from django.db import connection

from carts.models import Cart
from devices.enums import DeviceState
from devices.models import Controller, Device, Presence
from pi_client.site import Topics
from simulators.rs485.boards.cu16 import Cu16
from tenants.models import Branch, Chain, User

from .board import Station
from .pi import Place

DEVICES = 3
CARTS_ON_BOARD = 4
CUSTOMERS = 30
TABLES = (
    "carts_rental", "carts_cart", "devices_command", "devices_inboundmessage", "devices_controller", "devices_presence",
    "devices_device", "core_outboxmessage", "core_statechange", "core_idempotencykey",
)  # fmt: skip


@dataclass(frozen=True)
class Estate:
    """What stands there; `routes` names the device behind each cart and device id."""

    places: list[Place]
    customers: list[User]
    routes: dict[UUID, UUID]

    @property
    def stations(self) -> list[Station]:
        return [station for place in self.places for station in place.stations.values()]

    @property
    def cart_ids(self) -> list[UUID]:
        return [cart_id for station in self.stations for cart_id in station.carts.values()]


def build_estate(name: str) -> Estate:
    """Rows for a new shop. Empties the tables of this database that grow: it belongs to the campaign."""
    with connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {', '.join(TABLES)} CASCADE")
    chain = Chain.objects.create(slug=name, name=name)
    branch = Branch.objects.create(chain=chain, code=name, name=name, rental_minutes=60)
    customers = [User.objects.create_user(email=f"{number}@{name}.example") for number in range(CUSTOMERS)]
    places = [_place(branch, number) for number in range(DEVICES)]
    routes = {place.device_id: place.device_id for place in places}
    routes |= {
        cart: place.device_id for place in places for one in place.stations.values() for cart in one.carts.values()
    }
    return Estate(places, customers, routes)


def _place(branch: Branch, number: int) -> Place:
    device = Device.objects.create(branch=branch, name=f"pi-{number}", state=DeviceState.ACTIVE)
    Presence.objects.create(device=device)
    stations = {}
    for address in range(2):
        # The second board's hooks are wired the other way round.
        wired = 1 - address
        board = Controller.objects.create(device=device, address=address, hook_closed_bit=wired)
        first = 2 * CARTS_ON_BOARD * number + CARTS_ON_BOARD * address
        carts = {
            locker: Cart.objects.create(
                branch=branch, cart_number=first + locker, controller=board, locker_id=locker
            ).pk
            for locker in range(CARTS_ON_BOARD)
        }
        stations[board.pk] = Station(Cu16(address, 19200, () if wired else ("flipped",)), carts)
    return Place(Topics(branch.chain.slug, branch.code, device.pk), stations)
