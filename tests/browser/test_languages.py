"""Every page in its languages and sizes: direction, nothing wider than the window, no byte too many."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, StorageState, expect

from tests.browser.shop import Shop
from tests.browser.windows import DESK, PHONE, Windows, type_code

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("stack")]
DIRECTIONS = {"en": "ltr", "he": "rtl", "fa": "rtl", "fr": "ltr"}
NAMES = {"en": "English", "he": "עברית", "fa": "فارسی", "fr": "Français"}
HEADINGS = {
    "en": "Cart 4 is free",
    "he": "עגלה 4 פנויה",
    "fa": "چرخ 4 آزاد است",
    "fr": "Le chariot 4 est libre",
}
HEAVIEST_BYTES = 100_000


def overflow(page: Page) -> int:
    """By how many pixels the page is wider than its window."""
    width: int = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    return max(0, width)


def test_switch_changes_the_language_and_keeps_the_place(windows: Windows, shop: Shop) -> None:
    page = windows.open()
    page.goto(f"{shop.cart_urls[4]}?from=poster")

    for language in ("he", "fa", "fr", "en"):
        page.locator("header summary").click()
        page.get_by_role("button", name=NAMES[language]).click()

        expect(page.get_by_role("heading", level=1)).to_have_text(HEADINGS[language])
        expect(page.locator("html")).to_have_attribute("lang", language)
        expect(page.locator("html")).to_have_attribute("dir", DIRECTIONS[language])
        assert page.url == f"{shop.cart_urls[4]}?from=poster"


@pytest.mark.parametrize("language", ["en", "he"])
def test_customer_pages_fit_the_window(
    windows: Windows, shop: Shop, customer: Callable[..., None], language: str
) -> None:
    too_wide = []
    page = windows.open(language=language)

    def look(name: str) -> None:
        for size in (PHONE, DESK):
            page.set_viewport_size({"width": size[0], "height": size[1]})
            if overflow(page):
                too_wide.append((name, size[0], overflow(page)))
        assert page.locator("html").get_attribute("lang") == language
        assert page.locator("html").get_attribute("dir") == DIRECTIONS[language]

    phone = shop.new_phone()
    for name, path in (("cart", ""), ("phone", "/phone"), ("missing", "/none")):
        page.goto(shop.cart_urls[4] + path)
        look(name)
    page.goto(shop.cart_urls[4])
    page.locator("[name=phone]").fill(phone)
    page.locator("main form button").click()
    look("code")
    type_code(page, shop.code_sent_to(phone))
    unlock = page.locator("form[action$='/unlock'] button")
    expect(unlock).to_be_visible()
    look("signed in")
    unlock.click()
    expect(page.locator("[data-status=active]")).to_be_visible()
    look("rental")
    page.goto(f"{shop.web}/me/")
    look("history")

    assert too_wide == []


@pytest.mark.parametrize("language", ["en", "he"])
def test_manager_pages_fit_the_window(windows: Windows, shop: Shop, manager_state: StorageState, language: str) -> None:
    too_wide = []
    page = windows.open(language=language, state=manager_state)
    page.goto(shop.branch_url)
    cart = shop.web + str(page.locator(".tile").first.get_attribute("href"))

    for url in (f"{shop.web}/control/", shop.branch_url, f"{shop.branch_url}/posters", cart):
        page.goto(url)
        for size in (PHONE, DESK):
            page.set_viewport_size({"width": size[0], "height": size[1]})
            if overflow(page):
                too_wide.append((url, size[0], overflow(page)))
        assert page.locator("html").get_attribute("dir") == DIRECTIONS[language]
    stranger = windows.open(language=language)
    stranger.goto(f"{shop.web}/auth/sign-in")

    assert too_wide == []
    assert overflow(stranger) == 0


# The person is the first on the list.
PEOPLE_PAGES = ("people", "person", "access", "audit", "support-access")
OWN_PAGES = ("security", "profile", "sessions", "my-data")


@pytest.mark.parametrize("language", ["en", "he"])
def test_people_and_own_pages_fit_the_window(
    windows: Windows, shop: Shop, manager_state: StorageState, language: str
) -> None:
    too_wide, grounds = [], set()
    page = windows.open(language=language, state=manager_state)
    page.goto(f"{shop.web}/control/people")
    person = str(page.locator(".table--people a[href^='/control/people/']").first.get_attribute("href"))
    paths = [person if name == "person" else f"/control/{name}" for name in PEOPLE_PAGES]

    for path in (*paths, *(f"/auth/{name}" for name in OWN_PAGES)):
        answer = page.goto(shop.web + path)
        assert answer is not None
        assert (answer.status, page.url) == (200, shop.web + path)
        assert page.locator("html").get_attribute("dir") == DIRECTIONS[language]
        for folded in page.locator("details.sure").all():
            folded.evaluate("details => details.open = true")
        for size, scheme in ((PHONE, "light"), (DESK, "dark")):
            page.emulate_media(color_scheme=scheme)
            page.set_viewport_size({"width": size[0], "height": size[1]})
            grounds.add((scheme, page.evaluate("getComputedStyle(document.body).backgroundColor")))
            if overflow(page):
                too_wide.append((path, size[0], overflow(page)))

    assert too_wide == []
    # One for each scheme: no page stays light in the dark.
    assert len(grounds) == 2


def test_customer_page_is_light(windows: Windows, shop: Shop) -> None:
    page = windows.open()
    weights: dict[str, int] = {}
    page.on("requestfinished", lambda request: weights.update({request.url: request.sizes()["responseBodySize"]}))

    page.goto(shop.cart_urls[4], wait_until="networkidle")

    assert any(url.endswith("app.css") for url in weights)
    assert sum(weights.values()) < HEAVIEST_BYTES, weights


@pytest.mark.parametrize("language", ["he", "fa", "fr"])
def test_code_comes_in_the_language_of_the_page(windows: Windows, shop: Shop, language: str) -> None:
    page, phone = windows.open(language=language), shop.new_phone()
    page.goto(shop.cart_urls[4])
    page.locator("[name=phone]").fill(phone)
    page.locator("main form button").click()
    code = shop.code_sent_to(phone)

    text = shop.sms.get("/messages").json()[0]["text"]

    first = {
        "he": f"קוד CartWise שלכם: {code}.",
        "fa": f"کد CartWise شما {code} است.",
        "fr": f"Votre code CartWise est {code}.",
    }
    assert text.startswith(first[language])
    # The last line lets the phone fill the code in; no language may move it.
    assert text.endswith(f"\n\n@127.0.0.1 #{code}")
