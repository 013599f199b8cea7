"""What a manager does at a branch's page: dialogs, commands, maintenance, ending a rental; by hand and by keyboard."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, Route, StorageState, expect

from tests.browser.shop import Shop
from tests.browser.windows import DESK, Windows, tile, without_reload
from tests.running_stack import wait_until

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("stack")]

# What a live change of the whole grid does.
REPLACE_TILES = """() => {
  const grid = document.getElementById("branch-carts");
  grid.replaceWith(grid.cloneNode(true));
}"""


@pytest.fixture
def page(windows: Windows, shop: Shop, manager_state: StorageState) -> Page:
    """The branch's page, live."""
    page = windows.open(size=DESK, state=manager_state)
    page.goto(shop.branch_url)
    expect(page.locator("#live-badge")).to_have_attribute("data-state", "live")
    return page


@pytest.fixture
def rented(windows: Windows, shop: Shop, customer: Callable[..., None]) -> Callable[[int], Page]:
    """`rented(cart)`: a customer has this cart; their page."""

    def rent(cart: int) -> Page:
        page = windows.open()
        customer(page, cart)
        page.get_by_role("button", name=f"Unlock cart {cart}").click()
        expect(page.get_by_role("heading", name=f"Cart {cart} is yours")).to_be_visible()
        return page

    return rent


def test_manager_unlocks_a_cart(page: Page, shop: Shop) -> None:
    fired = shop.firings(8)

    with without_reload(page):
        tile(page, 8).click()
        sheet = page.get_by_role("dialog")
        sheet.get_by_role("button", name="Unlock").click()
        expect(page.locator("#toasts")).to_contain_text("Unlock sent.")
        expect(sheet).to_be_hidden()
        expect(tile(page, 8)).to_contain_text("Lock open")

    assert shop.firings(8) == fired + 1
    shop.push(8)
    expect(tile(page, 8)).to_contain_text("Free")


def test_open_dialog_shows_what_the_lock_says(page: Page, shop: Shop) -> None:
    tile(page, 7).click()
    sheet = page.get_by_role("dialog")
    expect(sheet).to_contain_text("Free")

    # Pressed somewhere else: the dialog stays open.
    page.evaluate(
        """() => {
             const form = document.querySelector("#sheet form[action$='/unlock']");
             return fetch(form.action, {method: "POST", body: new FormData(form)});
           }"""
    )

    expect(sheet.locator("[id^=cart-state-]")).to_contain_text("Lock open")


def test_cart_goes_to_maintenance_and_back(page: Page, windows: Windows, shop: Shop) -> None:
    with without_reload(page):
        tile(page, 8).click()
        sheet = page.get_by_role("dialog")
        sheet.locator("summary").click()
        note = sheet.get_by_label("What is wrong with it?")
        # The browser would stop an empty note; a blank one reaches the server.
        note.fill("   ")
        sheet.get_by_role("button", name="Put in maintenance").click()
        expect(sheet.locator(".errorlist")).to_be_visible()
        expect(note).to_be_visible()
        note.fill("Left wheel squeaks")
        sheet.get_by_role("button", name="Put in maintenance").click()
        expect(page.locator("#toasts")).to_contain_text("Cart 8 is in maintenance.")
        expect(tile(page, 8)).to_have_class(re.compile("is-blocked"))

        stranger = windows.open()
        stranger.goto(shop.cart_urls[8])
        expect(stranger.get_by_role("heading", name="Cart 8: Blocked")).to_be_visible()

        tile(page, 8).click()
        expect(sheet).to_contain_text("Left wheel squeaks")
        sheet.get_by_role("button", name="Back in service").click()
        expect(tile(page, 8)).to_have_class(re.compile("is-free"))


def test_rental_is_ended_with_a_reason(page: Page, shop: Shop, rented: Callable[[int], Page]) -> None:
    customers_page = rented(9)

    with without_reload(page), without_reload(customers_page):
        row = page.locator("#rentals-now tr", has_text="Cart 9")
        row.get_by_role("link", name="End rental").click()
        sheet = page.get_by_role("dialog")
        sheet.get_by_role("textbox").fill("Customer called: left it at the door")
        sheet.get_by_role("button", name="End rental").click()

        expect(page.locator("#toasts")).to_contain_text("The rental is closed.")
        expect(row).to_have_count(0)
        expect(customers_page.get_by_role("heading", name="This rental was closed by the staff")).to_be_visible()


def test_dialog_survives_a_live_change_of_what_opened_it(page: Page, shop: Shop) -> None:
    """The answer comes after the tile that asked was replaced: it must not bring the whole page into the dialog."""

    def replace_first(route: Route) -> None:
        page.evaluate(REPLACE_TILES)
        route.continue_()

    page.route("**/carts/*", replace_first)

    tile(page, 2).click()

    sheet = page.get_by_role("dialog")
    expect(sheet.get_by_role("heading", name="Cart 2")).to_be_visible()
    expect(sheet.locator("header, main")).to_have_count(0)


def tab_to(page: Page, target: Locator) -> None:
    """Press Tab until the element has the focus, and see that it shows."""
    for _ in range(60):
        page.keyboard.press("Tab")
        if target.evaluate("element => element === document.activeElement"):
            break
    expect(target).to_be_focused()
    outline = target.evaluate("element => getComputedStyle(element).outlineStyle")
    assert target.evaluate("element => element.matches(':focus-visible')")
    assert outline != "none"


def test_keyboard_alone_is_enough(page: Page, shop: Shop) -> None:
    fired = shop.firings(11)
    sheet = page.get_by_role("dialog")

    tab_to(page, tile(page, 11))
    page.keyboard.press("Enter")
    expect(sheet).to_be_visible()
    tab_to(page, sheet.get_by_role("button", name="Unlock"))
    page.keyboard.press("Enter")

    wait_until(lambda: shop.firings(11) == fired + 1)
    expect(sheet).to_be_hidden()
    expect(tile(page, 11)).to_contain_text("Lock open")
    # The dialog gave the focus back to what opened it, and the live change of that very tile kept it there.
    expect(tile(page, 11)).to_be_focused()
    page.keyboard.press("Enter")
    expect(sheet).to_be_visible()
    page.keyboard.press("Escape")
    expect(sheet).to_be_hidden()
    expect(tile(page, 11)).to_be_focused()
