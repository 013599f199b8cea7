"""Browser windows that note whatever goes wrong in them, and what tests ask of a page."""

import base64
import hashlib
import hmac
import re
import struct
import time
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
            close_context(context)

    def _note_request(self, url: str) -> None:
        # Passkeys belong to names, so that their pages are opened under one.
        named = self._shop.web.replace("127.0.0.1", "localhost")
        if not url.startswith((self._shop.web, named, "data:", "blob:")):
            self.wrongs.append(f"request: {url}")

    def _note_console(self, kind: str, text: str) -> None:
        # A page with a 4xx of its own is no error of a script; neither is a line that a test cuts.
        meant = re.search(r"status of 4\d\d" + ("|ERR_INTERNET_DISCONNECTED" if self.offline_is_meant else ""), text)
        if kind == "error" and not meant:
            self.wrongs.append(f"console: {text}")


def close_context(context: BrowserContext) -> None:
    """Close it with its pages at rest: Chromium now and then never closes one in which a page is on its way."""
    for page in context.pages:
        page.goto("about:blank")
    context.close()


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


def set_up_app(page: Page) -> str:
    """From the page that asks for a second factor to where it was asked for; the app's secret."""
    page.get_by_role("link", name="Authenticator app").click()
    page.locator(".reveal summary").click()
    secret = page.locator("#totp-secret").inner_text().replace("\n", "").replace(" ", "")
    page.get_by_label("6-digit code").fill(app_code(secret))
    page.get_by_role("button", name="Set it up").click()
    expect(page.locator("#recovery-codes li")).to_have_count(10)
    page.get_by_role("link", name="I have them").click()
    return secret


def app_code(secret: str, *, steps: int = 0) -> str:
    """What an authenticator app shows, now or `steps` half minutes later (RFC 6238)."""
    counter = struct.pack(">Q", int(time.time()) // 30 + steps)
    digest = hmac.new(base64.b32decode(secret), counter, hashlib.sha1).digest()
    start = digest[-1] & 15
    number = struct.unpack(">I", digest[start : start + 4])[0] & 0x7FFFFFFF
    return f"{number % 10**6:06d}"


def type_code(page: Page, code: str) -> None:
    """Type the code; its last digit sends the form, once the page's script is there."""
    field = page.locator("[name=code]")
    expect(field).to_be_visible()
    page.wait_for_load_state()
    field.fill(code)
