"""One stack and one Chromium for all browser tests; each test has windows of its own.

Everything here ends with this folder's last test: a Chromium driven synchronously holds the thread's event loop.
"""

import re
import shutil
from collections.abc import Callable, Iterator

import httpx
import pytest
from playwright.sync_api import Browser, Page, StorageState, expect, sync_playwright

from deploy.stack.layout import Ports
from tests.browser.shop import Shop
from tests.browser.windows import DEADLINE_MS, Windows, close_context, set_up_app, type_code
from tests.running_stack import RunningStack, running_stack, wait_until

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


expect.set_options(timeout=DEADLINE_MS)


@pytest.fixture
def clean_redis() -> None:
    """These tests work on a stack of their own, which keeps its Redis."""


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="package")
def stack(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    # Another worker may start a stack at this moment: the default port is the first that both would take.
    port = Ports(tmp_path_factory.mktemp("ports") / "ports.json").reserve("web")
    with running_stack(PORT=str(port)) as started:
        yield started


@pytest.fixture(scope="package")
def manager_state(browser: Browser, stack: RunningStack) -> StorageState:
    """A manager's session, from the link that the stack printed, which works once, and with a second factor set up."""
    link = re.search(r"manager\s+(\S+)", stack.output.read_text())
    assert link
    context = browser.new_context()
    page = context.new_page()
    page.goto(link.group(1))
    page.get_by_role("button", name="Sign in").click()
    set_up_app(page)
    expect(page).to_have_url(re.compile(r"/control/branches/"))
    state = context.storage_state()
    close_context(context)
    return state


@pytest.fixture(scope="package")
def shop(browser: Browser, stack: RunningStack, manager_state: StorageState) -> Iterator[Shop]:
    context = browser.new_context(storage_state=manager_state)
    page = context.new_page()
    page.goto(f"{stack.run['web']}/control/")
    page.get_by_role("link", name="Haifa Center").click()
    branch_url = page.url
    page.goto(f"{branch_url}/posters")
    urls = dict(enumerate(page.locator(".poster__url").all_inner_texts(), start=1))
    close_context(context)
    simulators = stack.run["simulators"]
    with (
        httpx.Client(base_url=simulators["sms"], timeout=10) as sms,
        httpx.Client(base_url=simulators["rs485"]["http"], timeout=10) as bus,
    ):
        # The Pi is there when its carts can be rented.
        wait_until(lambda: "is free" in httpx.get(urls[1], timeout=10).text, within_s=30)
        yield Shop(stack.run["web"], branch_url, urls, sms, bus)


@pytest.fixture(autouse=True)
def healthy_locks(shop: Shop) -> Iterator[None]:
    """Whatever a test broke is mended, and every cart is pushed back into its lock."""
    yield
    shop.mend()
    for cart in shop.cart_urls:
        if shop.hook(cart) == "open":
            shop.push(cart)


@pytest.fixture
def windows(browser: Browser, shop: Shop) -> Iterator[Windows]:
    opened = Windows(browser, shop)
    yield opened
    opened.close()
    assert opened.wrongs == []


@pytest.fixture
def customer(shop: Shop) -> Callable[..., None]:
    """`customer(page, cart)`: scan, type a phone nobody used, type the code; ends on the cart's page, signed in."""

    def sign_in(page: Page, cart: int) -> None:
        phone = shop.new_phone()
        page.goto(shop.cart_urls[cart])
        page.locator("[name=phone]").fill(phone)
        page.locator("main form button").click()
        type_code(page, shop.code_sent_to(phone))
        expect(page.locator("form[action$='/unlock'] button")).to_be_visible()

    return sign_in
