"""Browser windows that note whatever goes wrong in them, and what tests ask of a page."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Locator, Page, StorageState, expect

from tests.browser.shop import Shop

PHONE, DESK = (360, 740), (1280, 800)
DEADLINE_MS = 15_000


class Windows:
    """Opens browser windows and notes what none of them may do: script errors, refused content, talk to the outside."""

    def __init__(self, browser: Browser, shop: Shop) -> None:
        self._browser, self._shop = browser, shop
        self._contexts: list[BrowserContext] = []
        self.wrongs: list[str] = []
        self.offline_is_meant = False

    def open(
        self,
        *,
        language: str = "en",
        size: tuple[int, int] = PHONE,
        state: StorageState | None = None,
        **options: Any,
    ) -> Page:
        """A page in a window with its own cookies."""
        viewport = {"width": size[0], "height": size[1]}
        context = self._browser.new_context(viewport=viewport, storage_state=state, **options)
        context.set_default_timeout(DEADLINE_MS)
        context.add_cookies([{"name": "django_language", "value": language, "url": self._shop.web}])
        context.on("request", lambda request: self._note_request(request.url))
        context.on("weberror", lambda error: self.wrongs.append(f"script: {error.error}"))
        context.on("console", lambda message: self._note_console(message.type, message.text))
        self._contexts.append(context)
        return context.new_page()

    def close(self) -> None:
        for context in self._contexts:
            context.close()

    def _note_request(self, url: str) -> None:
        if not url.startswith((self._shop.web, "data:", "blob:")):
            self.wrongs.append(f"request: {url}")

    def _note_console(self, kind: str, text: str) -> None:
        # A page with a 4xx of its own is no error of a script; neither is a line that a test cuts.
        meant = re.search(r"status of 4\d\d" + ("|ERR_INTERNET_DISCONNECTED" if self.offline_is_meant else ""), text)
        if kind == "error" and not meant:
            self.wrongs.append(f"console: {text}")


@contextmanager
def without_reload(page: Page) -> Iterator[None]:
    """What happens inside changes the page that is there, and loads no other."""
    page.evaluate("window.stillTheSame = true")
    yield
    assert page.evaluate("window.stillTheSame === true"), f"{page.url} was loaded again"


def tile(page: Page, cart: int) -> Locator:
    """A cart's tile on the manager's page, found by an id that outlives swaps."""
    number = page.locator(".tile__number").filter(has_text=re.compile(rf"\s{cart}\s*$"))
    return page.locator(f"[id='{page.locator('.tile').filter(has=number).get_attribute('id')}']")


def type_code(page: Page, code: str) -> None:
    """Type the code; its last digit sends the form, once the page's script is there."""
    field = page.locator("[name=code]")
    expect(field).to_be_visible()
    page.wait_for_load_state()
    field.fill(code)
