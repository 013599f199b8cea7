"""What people get wrong, and what they are told."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.browser.shop import Shop
from tests.browser.windows import Windows, type_code

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("stack")]


def test_phone_that_is_none_is_refused_and_kept(windows: Windows, shop: Shop) -> None:
    page = windows.open()
    page.goto(shop.cart_urls[2])

    page.get_by_label("Mobile number").fill("12")
    page.get_by_role("button", name="Send me the code").click()

    expect(page.get_by_role("alert")).to_contain_text("This is not a mobile number")
    expect(page.get_by_label("Mobile number")).to_have_value("12")
    expect(page.get_by_label("Mobile number")).to_be_focused()


def test_five_wrong_codes_end_the_code(windows: Windows, shop: Shop) -> None:
    page, phone = windows.open(), shop.new_phone()
    page.goto(shop.cart_urls[2])
    page.get_by_label("Mobile number").fill(phone)
    page.get_by_role("button", name="Send me the code").click()
    code = shop.code_sent_to(phone)
    wrong = f"{(int(code) + 1) % 10**6:06d}"

    for _ in range(5):
        with page.expect_navigation():
            type_code(page, wrong)
        expect(page.get_by_role("alert")).to_contain_text("This is not the code we sent.")
    with page.expect_navigation():
        type_code(page, code)

    expect(page.get_by_role("alert")).to_contain_text("This code no longer works. Ask for a new one.")
    page.goto(shop.cart_urls[2])
    expect(page.get_by_label("Mobile number")).to_be_visible()


def test_code_that_sends_itself_is_not_sent_by_the_button_too(windows: Windows, shop: Shop) -> None:
    page, phone = windows.open(), shop.new_phone()
    page.goto(shop.cart_urls[2])
    page.get_by_label("Mobile number").fill(phone)
    page.get_by_role("button", name="Send me the code").click()
    code = shop.code_sent_to(phone)
    expect(page.get_by_label("6-digit code")).to_be_visible()
    page.wait_for_load_state()
    page.evaluate(
        """() => {
          window.went = [];
          document.addEventListener("submit", (event) => {
            window.went.push(!event.defaultPrevented);
            event.preventDefault();
          });
        }"""
    )

    page.get_by_label("6-digit code").fill(code)
    page.evaluate("document.querySelector('main form [type=submit]').click()")

    assert page.evaluate("window.went") == [True, False]


def test_unknown_code_on_a_cart_says_what_to_do(windows: Windows, shop: Shop) -> None:
    page = windows.open()

    answer = page.goto(f"{shop.web}/s/nosuchcode")

    assert answer.status == 404
    expect(page.get_by_role("heading", name="This page does not exist")).to_be_visible()
    expect(page.locator("main")).to_contain_text("Scan the code on the cart again.")


def test_many_taps_on_unlock_are_one_rental(windows: Windows, shop: Shop, customer: Callable[..., None]) -> None:
    page, fired = windows.open(), shop.firings(12)
    customer(page, 12)

    # Seven requests of one form, as from a nervous thumb on a bad line, then the double tap itself.
    taps = page.evaluate(
        """async () => {
             const form = document.querySelector("form[action$='/unlock']");
             const tap = () => fetch(form.action, {method: "POST", body: new FormData(form)});
             const answers = await Promise.all(Array.from({length: 7}, tap));
             return answers.map(answer => answer.url);
           }"""
    )
    page.locator("form[action$='/unlock'] button").dblclick()

    expect(page.get_by_role("heading", name="Cart 12 is yours")).to_be_visible()
    assert set(taps) == {page.url}
    assert shop.firings(12) == fired + 1
    page.goto(f"{shop.web}/me/")
    expect(page.get_by_role("link", name=re.compile(r"Cart \d+ ·"))).to_have_count(1)
