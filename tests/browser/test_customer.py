"""A customer's way: scan, phone, code, unlock, return; and what the manager sees of it meanwhile."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import StorageState, expect

from tests.browser.shop import Shop
from tests.browser.windows import DESK, Windows, tile, type_code, without_reload
from tests.running_stack import wait_until

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("stack")]


def test_cart_is_rented_and_returned_while_the_manager_watches(
    windows: Windows, shop: Shop, manager_state: StorageState
) -> None:
    cart, phone = 1, shop.new_phone()
    manager = windows.open(size=DESK, state=manager_state)
    manager.goto(shop.branch_url)
    expect(manager.locator("#live-badge")).to_have_attribute("data-state", "live")
    its_tile = tile(manager, cart)
    expect(its_tile).to_have_class(re.compile("is-free"))
    page = windows.open()
    fired = shop.firings(cart)

    with without_reload(manager):
        page.goto(shop.cart_urls[cart])
        page.get_by_label("Mobile number").fill(phone)
        page.get_by_role("button", name="Send me the code").click()
        type_code(page, shop.code_sent_to(phone))
        page.get_by_role("button", name="Unlock cart 1").click()

        expect(page.get_by_role("heading", name="Cart 1 is yours")).to_be_visible()
        assert shop.firings(cart) == fired + 1
        assert shop.hook(cart) == "open"
        expect(its_tile).to_have_class(re.compile("is-out"))
        rental = manager.locator("#rentals-now tbody tr")
        expect(rental).to_contain_text("Cart 1")
        expect(rental).to_contain_text(phone[-4:])
        assert phone not in manager.content()

        with without_reload(page):
            shop.pull(cart)
            shop.push(cart)
            expect(page.get_by_role("heading", name="Cart 1 is back")).to_be_visible()
        expect(its_tile).to_have_class(re.compile("is-free"))
        expect(manager.locator("#rentals-now")).to_contain_text("Nobody has a cart now")

    page.get_by_role("link", name="My rentals").click()
    row = page.get_by_role("link", name=re.compile("Cart 1 · Haifa Center"))
    expect(row).to_contain_text("Returned")
    assert shop.firings(cart) == fired + 1


@pytest.mark.parametrize(("cart", "fault"), [(3, "stuck_hook"), (6, "no_reply")])
def test_lock_that_does_not_open_leads_to_the_next_cart(
    windows: Windows, shop: Shop, customer: Callable[..., None], cart: int, fault: str
) -> None:
    page = windows.open()
    customer(page, cart)
    shop.break_lock(cart, fault)
    page.get_by_role("button", name=f"Unlock cart {cart}").click()
    expect(page.get_by_role("heading", name=f"Cart {cart} did not open")).to_be_visible()
    expect(page.locator("main")).to_contain_text("You were not charged")
    expect(page.locator("main")).to_contain_text("No new code is needed")
    shop.mend()

    offer = page.get_by_role("button", name=re.compile(r"Unlock cart \d+"))
    offered = int(re.sub(r"\D", "", offer.inner_text()))
    fired = shop.firings(offered)
    offer.click()

    expect(page.get_by_role("heading", name=f"Cart {offered} is yours")).to_be_visible()
    assert offered != cart
    assert shop.firings(offered) == fired + 1


def test_customer_without_javascript_rents_and_returns(windows: Windows, shop: Shop) -> None:
    cart, phone = 10, shop.new_phone()
    page = windows.open(java_script_enabled=False)
    page.goto(shop.cart_urls[cart])
    page.get_by_label("Mobile number").fill(phone)
    page.get_by_role("button", name="Send me the code").click()
    page.get_by_label("6-digit code").fill(shop.code_sent_to(phone))
    page.get_by_role("button", name="Continue").click()
    page.get_by_role("button", name="Unlock cart 10").click()
    expect(page.get_by_role("heading", name="Cart 10 is yours")).to_be_visible()

    page.get_by_role("button", name="I brought it back").click()
    expect(page.locator("main")).to_contain_text("Push the cart in until the lock clicks")
    shop.pull(cart)
    shop.push(cart)
    back = page.get_by_role("heading", name="Cart 10 is back")

    def tap_again() -> bool:
        # Between a push and what the Pi says of it a fraction of a second passes.
        if not back.is_visible():
            page.get_by_role("button", name="I brought it back").click()
        return back.is_visible()

    wait_until(tap_again)
    page.get_by_role("link", name="My rentals").click()
    expect(page.get_by_role("link", name=re.compile("Cart 10"))).to_contain_text("Returned")


def test_signed_in_customer_sees_own_rental_at_the_cart(
    windows: Windows, shop: Shop, customer: Callable[..., None]
) -> None:
    page = windows.open()
    customer(page, 5)
    page.get_by_role("button", name="Unlock cart 5").click()
    expect(page.get_by_role("heading", name="Cart 5 is yours")).to_be_visible()
    rental = page.url

    page.goto(shop.cart_urls[5])
    page.get_by_role("link", name="Go to my rental").click()

    assert page.url == rental
    stranger = windows.open()
    stranger.goto(shop.cart_urls[5])
    expect(stranger.get_by_role("heading", name="Cart 5: Out")).to_be_visible()
    assert stranger.goto(rental).status == 404
