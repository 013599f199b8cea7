"""What every class of answer tells browsers: pages, forms, REST, files, and each kind of refusal."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from http.cookies import SimpleCookie
from typing import Any

import pytest
from django.conf import settings
from django.contrib import admin
from django.contrib.auth.hashers import make_password
from django.core import mail
from django.test import Client, override_settings
from django.urls import get_resolver, reverse
from pytest_django import Settings

from carts.tests.factories import make_cart
from core.middleware import content_security_policy
from tenants.models import Role, User
from tenants.services.invitations import invite_person
from tenants.tests.api import client_of
from tenants.tests.factories import People, make_people
from tenants.tests.mailbox import PASSWORD, make_known
from tenants.tests.signing_in import sign_in
from tests.addresses import named
from tests.matrix.cells import FREE, own
from tests.matrix.estate import build_side

pytestmark = pytest.mark.django_db
# Code or style that stands in the page itself: what the policy refuses.
INLINE = re.compile(
    rb"<style|\sstyle=|<script(?![^>]*\ssrc=)(?![^>]*type=\"application/json\")|\son[a-z]+=|javascript:", re.IGNORECASE
)


@dataclass(frozen=True)
class Asked:
    """How to come to an answer of some class."""

    path: str
    status: int
    who: str = ""
    ask: str = "get"
    rest: bool = False
    cached: bool = False


CLASSES = {
    "page of a customer": Asked("/s/{code}", 200),
    "page of a signed-in customer": Asked("/me/", 200, who="dora"),
    "page of a manager": Asked("/control/", 200, who="alice"),
    "page to sign in": Asked("/auth/sign-in", 200),
    "admin's overview": Asked("/admin/", 200, who="erin"),
    "admin's list": Asked("/admin/tenants/chain/", 200, who="erin"),
    "admin's form": Asked("/admin/tenants/chain/add/", 200, who="erin"),
    "admin's sign-in": Asked("/admin/login/", 302),
    "rest": Asked("/api/chains", 200, who="alice", rest=True),
    "rest refused": Asked("/api/chains", 401, rest=True),
    "document": Asked("/api/schema", 200),
    "document's page": Asked("/api/docs", 200),
    "document's script": Asked("/api/docs?script=", 200),
    "health": Asked("/healthz", 503),
    "file": Asked("/static/core/app.css", 200, cached=True),
    "redirect": Asked("/", 302),
    "redirect to sign in": Asked("/control/", 302),
    "no such page": Asked("/nowhere", 404),
    "no such file": Asked("/static/nowhere.css", 404),
    "no such endpoint": Asked("/api/nowhere", 404, rest=True),
    "not allowed": Asked("/admin/", 403, who="dora"),
    "without the token": Asked("/auth/sign-out", 403, ask="post"),
    "wrong method": Asked("/auth/sign-out", 405),
    "error": Asked("/fails/bug", 500),
    "error of rest": Asked("/api/fails/bug", 500, rest=True),
    "database away": Asked("/fails/database-away", 503),
    "too many": Asked("/auth/sign-in", 429),
    "too many for rest": Asked("/api/chains", 429, rest=True),
    "foreign host": Asked("/auth/sign-in", 400),
    "preflight": Asked("/api/chains", 200, ask="options"),
}
EVERY_CLASS = pytest.mark.parametrize("name", list(CLASSES))


@pytest.fixture
def people() -> People:
    return make_people()


@pytest.fixture
def answer(people: People, settings: Settings) -> Callable[..., Any]:
    """The answer of a class."""

    def ask(name: str, **extra: Any) -> Any:
        asked = CLASSES[name]
        user: User | None = getattr(people, asked.who) if asked.who else None
        client = client_of(user) if asked.rest else Client()
        client.raise_request_exception = False
        client.handler.enforce_csrf_checks = True
        if user and not asked.rest:
            sign_in(client, user)
        if asked.status == 429:
            settings.RATE_LIMITS = {**settings.RATE_LIMITS, "anonymous": {"read": 1}}
            client.get(asked.path)
        if name == "foreign host":
            extra["headers"] = {"Host": "evil.example"}
        if name == "preflight":
            extra["headers"] = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
        path = asked.path.format(code=make_cart(branch=people.branch).public_code)
        with override_settings(ROOT_URLCONF="core.tests.failing_urls"):
            response = getattr(client, asked.ask)(path, **extra)
        assert response.status_code == asked.status
        response.close()
        return response

    return ask


@EVERY_CLASS
def test_every_answer_is_guarded(answer: Callable[..., Any], name: str) -> None:
    response = answer(name)

    policy = dict(part.split(" ", 1) for part in response["Content-Security-Policy"].split("; "))
    assert "unsafe-inline" not in response["Content-Security-Policy"]
    assert policy["default-src"] == "'self'"
    assert policy["object-src"] == policy["frame-ancestors"] == "'none'"
    assert policy["base-uri"] == policy["form-action"] == "'self'"
    assert policy.get("script-src", "'self'") == (
        "'self' 'unsafe-eval'" if CLASSES[name].path.startswith("/admin/") else "'self'"
    )
    assert response["X-Frame-Options"] == "DENY"
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Referrer-Policy"] == "same-origin"
    assert response["Cross-Origin-Opener-Policy"] == "same-origin"
    assert response["Cross-Origin-Resource-Policy"] == "same-origin"
    assert {"camera=()", "microphone=()", "geolocation=()"} <= set(response["Permissions-Policy"].split(", "))
    assert ("no-store" in response["Cache-Control"]) is not CLASSES[name].cached
    assert "Access-Control-Allow-Origin" not in response


@EVERY_CLASS
def test_every_answer_over_tls_says_to_stay_there(answer: Callable[..., Any], name: str) -> None:
    with override_settings(
        SECURE_HSTS_SECONDS=31_536_000, SECURE_HSTS_INCLUDE_SUBDOMAINS=True, SECURE_HSTS_PRELOAD=True
    ):
        response = answer(name, secure=True)

    assert response["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains; preload"


@EVERY_CLASS
def test_every_page_has_nothing_inline(answer: Callable[..., Any], name: str) -> None:
    response = answer(name)

    if "text/html" in response.get("Content-Type", ""):
        assert INLINE.findall(response.content) == []


@pytest.mark.parametrize("page", ["changelist", "add"])
@pytest.mark.parametrize("each", sorted(admin.site._registry.values(), key=lambda each: each.opts.label), ids=str)
def test_every_admin_has_nothing_inline(people: People, each: Any, page: str) -> None:
    client = Client()
    sign_in(client, people.erin)

    response = client.get(reverse(f"admin:{each.opts.app_label}_{each.opts.model_name}_{page}"))

    assert INLINE.findall(response.content) == []


# What somebody sent who comes to a page on the way in.
BEFORE = {
    "account_confirm_login_code": ("/auth/code", {"email": "nobody@example.com"}),
    "account_email_verification_sent": ("/auth/sign-up", {"email": "new@example.com", "password1": "grey-Otter-4711"}),
    "account_confirm_password_reset_code": ("/auth/password-reset", {"email": "nobody@example.com"}),
}
# Pages that lead on for each of them: they are for a state that takes a code, a key or Google to get into.
LEAD_ON = {
    *("account_complete_password_reset", "account_reauthenticate", "mfa_authenticate", "mfa_login_webauthn"),
    *("mfa_edit_webauthn", "mfa_remove_webauthn", "mfa_reauthenticate_webauthn", "carts:code", "tenants:phone-code"),
    *("google_callback", "google_login", "socialaccount_connections", "socialaccount_login_error"),
    *("home", "mfa_index", "set_language", "tenants:home", "tenants:second-factor"),
}


def test_every_other_page_has_nothing_inline(people: People) -> None:
    side = build_side("zqours")
    User.objects.filter(pk=side.manager.pk).update(password=make_password("grey-Otter-4711"))
    side.manager.refresh_from_db()
    role = Role.objects.get(code="branch_manager")
    invite_person(email="invited@example.com", name="", role=role, branch=side.branch, actor=people.erin)
    invited = re.search(r"/auth/invitation/(\S+)", mail.outbox[-1].body)
    assert invited
    free = {**FREE, "token": invited[1]}
    found, shown, pages = {}, set(), set()
    for name, pattern in named(get_resolver()):
        path = reverse(name, kwargs={each: free.get(each, own(each, side)) for each in pattern.pattern.converters})
        for user in (None, people.erin, side.manager, side.customer):
            client = Client()
            if user:
                sign_in(client, user)
            elif name in BEFORE:
                client.post(*BEFORE[name])
            response = client.get(path)
            if response.status_code == 405 or "text/html" not in response.get("Content-Type", "text/html"):
                continue
            pages.add(name)
            if response.content and response.status_code == 200:
                shown.add(name)
            if inline := INLINE.findall(response.content):
                found[name] = inline

    assert found == {}
    assert pages - shown == LEAD_ON


@pytest.mark.parametrize(
    "text",
    [
        "<p style='color:red'>",
        "<style>p{}</style>",
        "<script>x()</script>",
        "<a onclick=x()>",
        "<a href='javascript:x()'>",
    ],
)
def test_what_is_inline_is_found_control(text: str) -> None:
    assert INLINE.search(text.encode())


def test_form_to_sign_in_may_lead_to_google_and_no_other(settings: Settings) -> None:
    settings.FORM_TARGETS = ["https://accounts.google.com"]

    assert "form-action 'self' https://accounts.google.com" in content_security_policy("/auth/sign-in")
    assert content_security_policy("/control/").endswith("form-action 'self'")


# Cookies that the server sets and a script must read: none. `theme` goes the other way.
FOR_SCRIPTS: frozenset[str] = frozenset()
# As production has them (config/tests/test_production.py).
OVER_TLS = {"SESSION_COOKIE_SECURE": True, "CSRF_COOKIE_SECURE": True, "LANGUAGE_COOKIE_SECURE": True}


def exposed(cookies: SimpleCookie) -> dict[str, list[str]]:
    """What each cookie that holds anything is open to."""
    found = {
        name: [
            *([] if cookie["httponly"] or name in FOR_SCRIPTS else ["scripts"]),
            *([] if cookie["samesite"] == "Lax" else ["other sites"]),
            *([] if cookie["secure"] else ["the line"]),
            *([] if cookie["path"] == "/" and not cookie["domain"] else ["other hosts"]),
        ]
        for name, cookie in cookies.items()
        if cookie.value
    }
    return {name: to for name, to in found.items() if to}


@EVERY_CLASS
def test_every_cookie_is_out_of_reach(answer: Callable[..., Any], name: str) -> None:
    with override_settings(**OVER_TLS):
        response = answer(name, secure=True)

    assert exposed(response.cookies) == {}


@pytest.fixture
def cookies_of_all_kinds() -> Callable[[], SimpleCookie]:
    """Each cookie the product sets, as somebody gets them who signs in, changes the language and is told something."""

    def gather() -> SimpleCookie:
        make_known("nora@example.com")
        client, found = Client(), SimpleCookie()
        for path, body in (
            ("/auth/sign-in", {"login": "nora@example.com", "password": PASSWORD}),
            ("/auth/security", None),
            ("/i18n/setlang/", {"language": "fr"}),
            ("/auth/my-data/delete", {}),
        ):
            response = client.get(path, secure=True) if body is None else client.post(path, body, secure=True)
            found.update(response.cookies)
        return found

    return gather


def test_cookies_of_all_kinds_are_out_of_reach(cookies_of_all_kinds: Callable[[], SimpleCookie]) -> None:
    with override_settings(**OVER_TLS):
        cookies = cookies_of_all_kinds()

    assert set(cookies) == {"sessionid", "csrftoken", "django_language", "messages"}
    assert exposed(cookies) == {}


@pytest.mark.parametrize(
    ("setting", "value", "open_to"),
    [
        ("SESSION_COOKIE_HTTPONLY", False, {"sessionid": ["scripts"], "messages": ["scripts"]}),
        ("SESSION_COOKIE_SAMESITE", "None", {"sessionid": ["other sites"], "messages": ["other sites"]}),
        ("SESSION_COOKIE_SECURE", False, {"sessionid": ["the line"], "messages": ["the line"]}),
        ("CSRF_COOKIE_HTTPONLY", False, {"csrftoken": ["scripts"]}),
        ("LANGUAGE_COOKIE_DOMAIN", "example.com", {"django_language": ["other hosts"]}),
    ],
)
def test_cookies_of_all_kinds_are_out_of_reach_control(
    cookies_of_all_kinds: Callable[[], SimpleCookie], setting: str, value: object, open_to: dict[str, list[str]]
) -> None:
    with override_settings(**{**OVER_TLS, setting: value}):
        assert exposed(cookies_of_all_kinds()) == open_to


def test_cookies_that_scripts_write_are_out_of_reach_of_other_sites_and_the_line() -> None:
    scripts = {path.name: path.read_text() for path in settings.BASE_DIR.glob("*/static/*/*.js")}
    writing = {name: text for name, text in scripts.items() if "document.cookie =" in text}

    assert set(writing) == {"theme.js"}
    assert "samesite=lax${secure}" in writing["theme.js"]
    assert 'const secure = location.protocol === "https:" ? "; secure" : "";' in writing["theme.js"]


def test_tokens_are_never_kept(people: People) -> None:
    body = {"refresh": "x"}

    answer = Client().post("/api/auth/token/refresh", body, content_type="application/json")

    assert answer["Cache-Control"] == "no-store, private"
