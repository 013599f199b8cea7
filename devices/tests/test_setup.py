"""Preparing devices: names, boards, addresses known before delivery. A device learns of what hangs on it."""

import pytest

from carts.models import Cart
from carts.tests.factories import make_cart
from core.errors import DomainError, InvalidInput
from devices.models import Command, Controller, Device, KnownMac
from devices.services import (
    add_known_mac,
    change_controller,
    change_known_mac,
    place_controller,
    remove_controller,
    remove_known_mac,
    rename_device,
)
from devices.tests.factories import make_controller, make_device
from tenants.tests.factories import People, make_chain, make_people

pytestmark = pytest.mark.django_db


def _version(device: Device) -> int:
    return Device.objects.get(pk=device.pk).config_version


@pytest.fixture
def people() -> People:
    return make_people()


def test_device_is_renamed_and_keeps_what_others_changed(people: People) -> None:
    device = make_device()
    stale = Device.objects.get(pk=device.pk)
    place_controller(device=device, address=1, actor=people.erin)

    rename_device(device=stale, name="Front", actor=people.erin)

    now = Device.objects.get(pk=device.pk)
    assert (now.name, now.config_version) == ("Front", 2)


def test_two_devices_of_a_branch_have_two_names(people: People) -> None:
    device = make_device(branch=people.branch, name="Front")
    other = make_device(branch=people.branch, name="Back")

    with pytest.raises(InvalidInput):
        rename_device(device=other, name="Front", actor=people.erin)

    assert set(Device.objects.values_list("pk", "name")) == {(device.pk, "Front"), (other.pk, "Back")}


def test_board_is_placed_once_changed_and_removed(people: People) -> None:
    device = make_device()

    boards = [place_controller(device=device, address=1, baudrate=9600, actor=people.erin) for _ in range(2)]
    first, second = (board.pk for board in boards)
    change_controller(controller=boards[0], actor=people.erin, address=2, protocol="8a")
    changed = list(Controller.objects.values_list("pk", "address", "baudrate", "protocol"))
    remove_controller(controller=boards[0], actor=people.erin)

    assert (first, changed) == (second, [(second, 2, 9600, "8a")])
    assert (Controller.objects.count(), _version(device)) == (0, 4)
    told = Command.objects.filter(device=device).values_list("type", "actor")
    assert list(told) == [("apply_config", str(people.erin.pk))] * 3


def test_two_boards_of_a_bus_have_two_addresses(people: People) -> None:
    board = make_controller(address=1)
    other = make_controller(device=board.device, address=2)
    before = _version(board.device)

    with pytest.raises(InvalidInput):
        change_controller(controller=other, actor=people.erin, address=1)
    with pytest.raises(InvalidInput) as refused:
        place_controller(device=board.device, address=3, baudrate=-1, actor=people.erin)

    assert set(refused.value.errors) == {"baudrate"}
    assert (sorted(Controller.objects.values_list("address", flat=True)), _version(board.device)) == ([1, 2], before)


def test_board_with_carts_stays(people: People) -> None:
    cart = make_cart()
    assert cart.controller is not None
    before = _version(cart.controller.device)

    with pytest.raises(DomainError):
        remove_controller(controller=cart.controller, actor=people.erin)

    assert Cart.objects.get().controller == cart.controller
    assert _version(cart.controller.device) == before


def test_known_mac_is_added_mended_and_removed(people: People) -> None:
    known = add_known_mac(chain=people.chain, mac_address="AA:BB:CC:DD:EE:FF", actor=people.erin)

    change_known_mac(known=known, chain=people.chain, mac_address="AA:BB:CC:DD:EE:00", actor=people.erin)
    listed = list(KnownMac.objects.values_list("chain", "mac_address"))
    remove_known_mac(known=known, actor=people.erin)

    assert (listed, KnownMac.objects.count()) == ([(people.chain.pk, "AA:BB:CC:DD:EE:00")], 0)


@pytest.mark.parametrize("mac_address", ["", "aa:bb:cc:dd:ee:ff", "AA-BB-CC-DD-EE-FF", "AA:BB:CC:DD:EE:01"])
def test_known_mac_is_a_new_address(people: People, mac_address: str) -> None:
    chain = make_chain()
    add_known_mac(chain=chain, mac_address="AA:BB:CC:DD:EE:01", actor=people.erin)

    with pytest.raises(InvalidInput):
        add_known_mac(chain=chain, mac_address=mac_address, actor=people.erin)

    assert KnownMac.objects.count() == 1
