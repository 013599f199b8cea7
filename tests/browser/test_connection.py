"""A lost line: the page says so and how old it is, then catches up by itself."""

import re
from collections.abc import Callable
from threading import Event

import pytest
from playwright.sync_api import StorageState, WebSocketRoute, expect

from tests.browser.shop import Shop
from tests.browser.windows import DESK, Windows, tile, without_reload

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("stack")]


def test_lost_line_is_told_and_caught_up(
    windows: Windows, shop: Shop, manager_state: StorageState, customer: Callable[..., None]
) -> None:
    windows.offline_is_meant = True
    manager = windows.open(size=DESK, state=manager_state)
    sockets: list[WebSocketRoute] = []

    def relay(socket: WebSocketRoute) -> None:
        # An open socket outlives Chromium's own “offline”, so its line is cut by hand.
        if offline.is_set():
            socket.close()
            return
        socket.connect_to_server()
        sockets.append(socket)

    offline = Event()
    manager.route_web_socket("**/ws/**", relay)
    manager.goto(shop.branch_url)
    expect(manager.locator("#live-badge")).to_have_attribute("data-state", "live")
    page = windows.open()
    customer(page, 7)

    with without_reload(manager):
        offline.set()
        manager.context.set_offline(True)
        sockets[-1].close()
        banner = manager.locator("#live-banner")
        expect(banner).to_be_visible()
        expect(banner).to_contain_text("No connection. What you see is")
        expect(banner.locator("[data-when=lost] [data-live-age]")).to_have_text(re.compile(r"^0:0[1-9]|0:1\d$"))
        page.get_by_role("button", name="Unlock cart 7").click()
        expect(page.get_by_role("heading", name="Cart 7 is yours")).to_be_visible()
        expect(tile(manager, 7)).to_have_class(re.compile("is-free"))

        offline.clear()
        manager.context.set_offline(False)

        expect(tile(manager, 7)).to_have_class(re.compile("is-out"))
        expect(banner).to_be_hidden()
        expect(manager.locator("#live-badge")).to_have_attribute("data-state", "live")
