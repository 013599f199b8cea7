"""From making an account to its end, as people do it: a second factor, passkeys, and signing another browser out."""

import re
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Page, StorageState, expect

from tests.browser.shop import Shop
from tests.browser.test_languages import overflow
from tests.browser.windows import DESK, PHONE, Windows, app_code, set_up_app, type_code
from tests.running_stack import RunningStack, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("stack")]

PASSWORD = "correct horse battery staple"
PAGES = (
    "security",
    "sessions",
    "tokens",
    "tokens/create",
    "2fa/keys",
    "2fa/keys/add",
    "2fa/recovery-codes",
    "2fa/app/remove",
)


@pytest.fixture(scope="module")
def inbox(stack: RunningStack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stack.run["simulators"]["mail"], timeout=10) as client:
        yield client


def mailed_to(inbox: httpx.Client, address: str, pattern: str) -> str:
    """What the newest mail to this address holds that looks like this."""

    def look() -> str | None:
        messages = inbox.get("/messages", params={"to": address}).raise_for_status().json()
        found = re.search(pattern, messages[0]["text"]) if messages else None
        return found and found.group()

    return str(wait_until(look))


def make_account(page: Page, shop: Shop, inbox: httpx.Client, address: str) -> None:
    """Sign up by e-mail; ends signed in, as a customer."""
    page.goto(f"{shop.web}/auth/sign-up")
    page.get_by_label("E-mail").fill(address)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Make the account").click()
    type_code(page, mailed_to(inbox, address, r"\b\d{6}\b"))
    expect(page).to_have_url(f"{shop.web}/me/")


def make_manager(
    page: Page, windows: Windows, shop: Shop, manager_state: StorageState, inbox: httpx.Client, address: str
) -> None:
    """A manager invites the person of `page` to a branch, who accepts; ends where a second factor is asked for."""
    desk = windows.open(size=DESK, state=manager_state)
    desk.goto(f"{shop.web}/control/people/invite")
    desk.get_by_label("E-mail").fill(address)
    desk.get_by_label("Role").select_option(label="Branch manager")
    desk.get_by_label("Where").select_option(label="Haifa Center")
    desk.get_by_role("button", name="Send the invitation").click()
    expect(desk.locator("#toasts")).to_contain_text(address)
    page.goto(mailed_to(inbox, address, r"http\S+/auth/invitation/\S+"))
    page.get_by_role("button", name="Accept").click()
    expect(page.get_by_role("heading", name="One more step")).to_be_visible()


def sign_in(page: Page, shop: Shop, address: str, secret: str, *, steps: int) -> None:
    """By password and a code of the app that was not used yet."""
    page.goto(f"{shop.web}/auth/sign-in?next=/control/")
    page.get_by_label("E-mail").fill(address)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.get_by_label("Code").fill(app_code(secret, steps=steps))
    page.get_by_role("button", name="Continue").click()


def test_from_sign_up_to_a_second_factor_to_being_signed_out(
    windows: Windows, shop: Shop, manager_state: StorageState, inbox: httpx.Client
) -> None:
    address = "nora@example.com"
    page = windows.open(size=DESK)
    make_account(page, shop, inbox, address)
    make_manager(page, windows, shop, manager_state, inbox, address)

    page.goto(f"{shop.web}/control/")
    expect(page).to_have_url(re.compile("/auth/second-factor"))
    secret = set_up_app(page)
    expect(page).to_have_url(f"{shop.web}/control/")
    expect(page.get_by_role("link", name="Haifa Center").first).to_be_visible()

    other = windows.open()
    sign_in(other, shop, address, secret, steps=1)
    expect(other).to_have_url(f"{shop.web}/control/")

    page.get_by_text("Account, language and colours").locator("..").click()
    page.get_by_role("link", name="My security").click()
    page.get_by_role("link", name="Browsers").click()
    expect(page.locator("#sessions li")).to_have_count(2)
    page.get_by_role("button", name="End", exact=False).first.click()
    expect(page.locator("#sessions li")).to_have_count(1)

    other.reload()
    expect(other).to_have_url(re.compile("/auth/sign-in"))
    page.goto(f"{shop.web}/control/")
    expect(page).to_have_url(f"{shop.web}/control/")


def test_code_of_the_app_signs_in_once(
    windows: Windows, shop: Shop, manager_state: StorageState, inbox: httpx.Client
) -> None:
    address = "omar@example.com"
    page = windows.open()
    make_account(page, shop, inbox, address)
    make_manager(page, windows, shop, manager_state, inbox, address)
    secret = set_up_app(page)
    used = windows.open()
    sign_in(used, shop, address, secret, steps=1)
    expect(used).to_have_url(f"{shop.web}/control/")

    again = windows.open()
    sign_in(again, shop, address, secret, steps=0)

    expect(again.locator(".errorlist")).to_contain_text("used before")
    again.goto(f"{shop.web}/control/")
    expect(again).to_have_url(re.compile("/auth/"))


def test_passkey_is_added_and_signs_in(
    windows: Windows, shop: Shop, manager_state: StorageState, inbox: httpx.Client
) -> None:
    address = "lea@example.com"
    named = shop.web.replace("127.0.0.1", "localhost")
    page = windows.open()
    devtools = page.context.new_cdp_session(page)
    devtools.send("WebAuthn.enable")
    key = {"protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True}
    answering = {"isUserVerified": True, "automaticPresenceSimulation": True}
    added = devtools.send("WebAuthn.addVirtualAuthenticator", {"options": {**key, **answering}})
    make_account(page, shop, inbox, address)
    make_manager(page, windows, shop, manager_state, inbox, address)

    # A key belongs to a name, never to an address.
    page.goto(f"{named}/auth/sign-in?next=/control/")
    page.get_by_label("E-mail").fill(address)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.get_by_role("link", name="Passkey or security key").click()
    page.get_by_label("Name").fill("This phone")
    page.get_by_role("button", name="Add it").click()
    page.get_by_role("link", name="I have them").click()
    expect(page).to_have_url(f"{named}/control/")
    page.goto(f"{named}/auth/2fa/keys")
    expect(page.get_by_role("link", name="Remove This phone")).to_be_visible()

    page.goto(f"{named}/auth/security")
    page.get_by_role("main").get_by_role("button", name="Sign out").click()
    page.goto(f"{named}/auth/sign-in?next=/control/")
    page.get_by_role("button", name="Sign in with a passkey").click()
    expect(page).to_have_url(f"{named}/control/")

    # Somebody else at the same device: the key asks for them, and they decline.
    devtools.send("WebAuthn.setUserVerified", {**added, "isUserVerified": False})
    page.goto(f"{named}/auth/security")
    page.get_by_role("main").get_by_role("button", name="Sign out").click()
    page.goto(f"{named}/auth/sign-in?next=/control/")
    page.get_by_role("button", name="Sign in with a passkey").click()
    expect(page.get_by_text("The key did not answer")).to_be_visible()


@pytest.mark.parametrize("language", ["en", "he"])
def test_pages_of_an_account_fit_the_window(
    windows: Windows, shop: Shop, manager_state: StorageState, language: str
) -> None:
    page = windows.open(language=language, state=manager_state)
    too_wide = []

    for path in PAGES:
        page.goto(f"{shop.web}/auth/{path}")
        for size in (PHONE, DESK):
            page.set_viewport_size({"width": size[0], "height": size[1]})
            if overflow(page):
                too_wide.append((path, size[0], overflow(page)))
        assert page.locator("html").get_attribute("dir") == {"en": "ltr", "he": "rtl"}[language]

    assert too_wide == []


# Which of two presses would have reached the server, were they not held here.
PRESS_TWICE = """(protected) => {
  const form = document.querySelector("main form");
  if (!protected) delete form.dataset.once;
  const went = [];
  document.addEventListener("submit", (event) => {
    went.push(!event.defaultPrevented);
    event.preventDefault();
  });
  form.noValidate = true;
  form.requestSubmit();
  form.requestSubmit();
  return went;
}"""


@pytest.mark.parametrize("path", ["tokens/create", "2fa/recovery-codes"])
def test_form_on_its_way_is_not_sent_again(
    windows: Windows, shop: Shop, manager_state: StorageState, path: str
) -> None:
    page = windows.open(state=manager_state)
    page.goto(f"{shop.web}/auth/{path}")

    assert page.evaluate(PRESS_TWICE, True) == [True, False]
    page.reload()
    assert page.evaluate(PRESS_TWICE, False) == [True, True]


def test_recovery_codes_are_saved_as_a_file(windows: Windows, shop: Shop, inbox: httpx.Client) -> None:
    page = windows.open(accept_downloads=True)
    make_account(page, shop, inbox, "ruth@example.com")
    page.goto(f"{shop.web}/auth/security")
    page.get_by_role("link", name="Authenticator app").click()
    page.locator(".reveal summary").click()
    secret = page.locator("#totp-secret").inner_text().replace("\n", "").replace(" ", "")
    page.get_by_label("6-digit code").fill(app_code(secret))
    page.get_by_role("button", name="Set it up").click()

    shown = [text.replace(" ", "") for text in page.locator("#recovery-codes li").all_inner_texts()]
    with page.expect_download() as download:
        page.get_by_role("link", name="Save as a file").click()

    assert download.value.path().read_text().split() == shown
    assert len(shown) == 10
