"""The policy without inline code blocks nothing that the admin and the API's page need: each part is used once."""

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.windows import DEADLINE_MS, DESK, close_context
from tests.running_stack import RunningStack

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("stack")]
SESSION_OF_STAFF = """
from django.test import Client
from tenants.models import User
from tenants.tests.signing_in import sign_in
client = Client()
sign_in(client, User.objects.get(email="admin@cartwise.example"))
print(client.cookies["sessionid"].value)
"""
Open = Callable[[str], Page]


@pytest.fixture(autouse=True)
def healthy_locks() -> None:
    """No lock is touched here."""


@pytest.fixture(scope="module")
def session_of_staff(stack: RunningStack) -> str:
    return stack.manage("shell", "-v", "0", "-c", SESSION_OF_STAFF).splitlines()[-1]


@pytest.fixture
def blocked() -> list[str]:
    """What a browser said it refused, or a script could not do."""
    return []


@pytest.fixture
def visit(browser: Browser, stack: RunningStack, session_of_staff: str, blocked: list[str]) -> Iterator[Open]:
    """Open a page as platform staff; nothing may be blocked on any of them."""
    web = stack.run["web"]
    context = browser.new_context(viewport={"width": DESK[0], "height": DESK[1]})
    context.set_default_timeout(DEADLINE_MS)
    context.add_cookies([{"name": "sessionid", "value": session_of_staff, "url": web}])
    context.on("console", lambda message: blocked.append(message.text) if message.type == "error" else None)
    context.on("weberror", lambda error: blocked.append(str(error.error)))
    page = context.new_page()

    def open_page(path: str) -> Page:
        answer = page.goto(f"{web}{path}", wait_until="load")
        assert answer is not None
        assert answer.status == 200
        return page

    yield open_page
    close_context(context)
    assert blocked == []


def test_inline_code_is_blocked_control(visit: Open, blocked: list[str]) -> None:
    """A page whose script or style came from an attacker's text would be told of here."""
    page = visit("/admin/")
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<p id=x style=color:red onclick=alert(1)>x</p>')")
    page.evaluate(
        "document.head.append(Object.assign(document.createElement('script'), {textContent: 'window.got = 1'}))"
    )

    assert page.evaluate("[window.got, getComputedStyle(document.getElementById('x')).color !== 'rgb(255, 0, 0)']") == [
        None,
        True,
    ]
    assert len([text for text in blocked if "Content Security Policy" in text]) >= 2
    blocked.clear()


def test_overview_opens_in_its_colours(visit: Open) -> None:
    page = visit("/admin/")

    brand = page.locator("#nav-sidebar a.active").first.evaluate("link => getComputedStyle(link).color")

    assert brand == "oklch(0.475 0.095 166)"


def test_dark_mode_switches_and_stays(visit: Open) -> None:
    page = visit("/admin/")
    root = page.locator("html")
    page.keyboard.press("Control+e")
    before = root.get_attribute("class") or ""
    page.keyboard.press("Control+e")

    expect(root).not_to_have_class(before)
    after = root.get_attribute("class") or ""
    page.reload()

    assert {before, after} == {"dark", "light"}
    expect(root).to_have_class(after)


def test_command_palette_finds(visit: Open) -> None:
    page = visit("/admin/")
    page.keyboard.press("Control+k")
    search = page.locator("[x-ref='searchInputCommand']")
    expect(search).to_be_visible()
    search.press_sequentially("Haifa")

    expect(page.locator("#command-results li").first).to_contain_text("Haifa")


def test_list_is_filtered_and_its_rows_are_chosen(visit: Open) -> None:
    page = visit("/admin/carts/cart/")
    page.locator("#result_list .action-select").first.check()

    bar = page.locator("#changelist-actions")
    expect(bar).to_be_visible()
    assert bar.evaluate("bar => bar.style.width.endsWith('px') && bar.getBoundingClientRect().width > 300")
    page.locator("#changelist a", has_text="Filters").click()
    expect(page.locator("#changelist-filter")).to_be_visible()


def test_autocomplete_offers_rows(visit: Open) -> None:
    page = visit("/admin/carts/cart/add/")
    page.locator(".select2-selection").first.click()

    expect(page.locator(".select2-results__option").filter(has_text=re.compile(r"\w")).first).to_be_visible()
    page.locator(".select2-results__option--selectable, .select2-results__option[role=option]").first.click()
    expect(page.locator(".select2-selection__rendered").first).to_have_text(re.compile(r"\w"))


def test_date_is_picked(visit: Open) -> None:
    page = visit("/admin/tenants/grant/add/")
    page.locator(".datetimeshortcuts a").nth(1).click()

    calendar = page.locator(".calendarbox").first
    expect(calendar).to_be_visible()
    calendar.locator("td a", has_text="15").first.click()
    expect(page.locator(".vDateField").first).to_have_value(re.compile("15"))


def test_api_page_shows_the_document(visit: Open) -> None:
    page = visit("/api/docs")
    operation = page.locator("#operations-chains-chain_list")
    operation.locator(".opblock-summary-control").click()
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_role("button", name="Execute").click()

    expect(operation.locator(".live-responses-table .response .response-col_status")).to_contain_text("200")


@pytest.mark.parametrize("path", ["/admin/tenants/user/", "/admin/tenants/chain/add/", "/control/", "/me/"])
def test_page_loads_with_nothing_blocked(visit: Open, path: str) -> None:
    page = visit(path)
    page.wait_for_load_state("networkidle")
