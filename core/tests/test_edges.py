"""What nobody sends in earnest is answered with 4xx, everywhere, and whoever comes next is served."""

import json
from typing import Any

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import get_resolver, reverse
from django.urls.converters import IntConverter
from pytest_django import Settings

from carts.tests.factories import make_cart, make_rental
from core.middleware import PlausibleMiddleware
from tenants.tests.api import client_of, problem
from tenants.tests.factories import People, make_people
from tenants.tests.signing_in import sign_in
from tests.addresses import named

pytestmark = pytest.mark.django_db
NUL = "\x00"
DEEP = "[" * 100_000
JSON = "application/json"


@pytest.fixture
def people() -> People:
    return make_people()


@pytest.fixture
def staff(people: People) -> Client:
    client = Client(raise_request_exception=False)
    sign_in(client, people.erin)
    return client


@pytest.fixture
def rest(people: People) -> Client:
    client = client_of(people.erin)
    client.raise_request_exception = False
    return client


@pytest.fixture
def paths(people: People) -> dict[str, str]:
    """Every address by its name, leading to something that is there where it needs an id."""
    rental = make_rental(cart=make_cart(branch=people.branch), customer=people.erin)
    known = {
        "public_code": make_cart(branch=people.branch).public_code,
        "cart_id": rental.cart_id,
        "rental_id": rental.pk,
        "branch_id": people.branch.pk,
        "chain_id": people.chain.pk,
        "user_id": people.dora.pk,
    }
    found = {}
    for name, pattern in named(get_resolver()):
        converters = pattern.pattern.converters.items()
        given = {
            key: known.get(key, 1 if isinstance(converter, IntConverter) else people.chain.pk)
            for key, converter in converters
        }
        found[name] = reverse(name, kwargs=given)
    return found


def is_refused(response: Any) -> None:
    assert 400 <= response.status_code < 500, (response.status_code, response.content[:300])


@pytest.mark.parametrize(
    "path", ["/%00", "/static/%00.css", "/admin/%00/", "/s/%00", "/api/chains/%00", "/auth/link/%00", "/control/%00"]
)
def test_nul_in_the_path(staff: Client, path: str) -> None:
    is_refused(staff.get(path))


@pytest.mark.parametrize("query", ["q=%00", "page=%00", "%00=1", "q=a%00b&page=2", "name__icontains=%00", "next=%00"])
@pytest.mark.parametrize("path", ["/control/", "/admin/tenants/chain/", "/api/chains", "/auth/sign-in", "/me/"])
def test_nul_in_the_query(staff: Client, path: str, query: str) -> None:
    assert staff.get(f"{path}?{query}").status_code == 400


def test_nul_in_a_cookie(people: People) -> None:
    for value in ("a%00b", "a\x00b"):
        is_refused(Client(raise_request_exception=False).get("/me/", headers={"Cookie": f"sessionid={value}"}))


def test_nul_in_a_header_is_kept_out_of_the_database(staff: Client) -> None:
    session = staff.session
    session["seen_at"] = 0
    session.save()

    assert staff.get("/me/", headers={"User-Agent": f"a{NUL}b", "X-Request-Id": f"{NUL}" * 9}).status_code == 200


def test_nul_in_the_fields_of_any_form(staff: Client, paths: dict[str, str]) -> None:
    """Whatever a form's fields are called: 4xx or the form again, never 5xx."""
    names = "email login password password1 password2 phone code name note reason text q role place user language next"
    body = dict.fromkeys(names.split(), f"a{NUL}b")
    failed = {
        name: answer.status_code
        for name, path in paths.items()
        if (answer := staff.post(path, body)).status_code >= 500
    }

    assert failed == {}


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"name": "a\\u0000b", "slug": "a"}', id="escaped"),
        pytest.param(b'{"name": "a\x00b", "slug": "a"}', id="raw"),
        pytest.param(b'{"name": "\xff\xfe", "slug": "a"}', id="not-utf-8"),
        pytest.param(b'{"name": "\\ud800", "slug": "a"}', id="half-a-surrogate"),
        pytest.param(b'{"name": NaN, "slug": "a"}', id="nan"),
        pytest.param(b'{"name": 1' + b"0" * 5000 + b', "slug": "a"}', id="endless-number"),
        pytest.param(b"{", id="cut-off"),
        pytest.param(b"", id="empty"),
        pytest.param(b"null", id="null"),
        pytest.param(b"[]", id="list"),
        pytest.param(b'"text"', id="text"),
        pytest.param(DEEP.encode(), id="deep"),
        pytest.param(b'{"name": ' + DEEP.encode() + b"}", id="deep-inside"),
        pytest.param(b'{"name": {"a": 1}, "slug": ["b"]}', id="wrong-types"),
    ],
)
def test_body_of_rest_that_is_wrong(rest: Client, body: bytes) -> None:
    problem(rest.post("/api/chains", body, content_type=JSON), 400)


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "", "multipart/form-data", "\x00"])
def test_body_of_rest_that_is_no_json(rest: Client, kind: str) -> None:
    response = rest.generic("POST", "/api/chains", b'{"name": "a", "slug": "a"}', content_type=kind)

    assert response.status_code in (400, 415)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"--x\r\nContent-Disposition: form-data; name=", id="cut-off"),
        pytest.param(b"not multipart at all", id="none"),
        pytest.param(b"--x\r\n" * 5000, id="many-parts"),
        pytest.param(b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n\x00\xff\r\n--x--', id="nul"),
    ],
)
@pytest.mark.parametrize(
    "kind", ["multipart/form-data; boundary=x", "multipart/form-data; boundary=", "multipart/form-data"]
)
def test_multipart_that_is_wrong(staff: Client, body: bytes, kind: str) -> None:
    for path in ("/auth/sign-in", "/auth/password-reset", "/admin/tenants/chain/add/"):
        assert staff.post(path, body, content_type=kind).status_code < 500, path


@pytest.mark.parametrize("length", [str(5 * 1024 * 1024 + 1), "0" * 18 + str(8 * 1024 * 1024), str(10**30)])
@pytest.mark.parametrize("path", ["/auth/sign-in", "/api/chains", "/admin/tenants/chain/add/", "/api/devices/register"])
def test_body_of_many_megabytes_is_refused_before_it_is_read(rest: Client, path: str, length: str) -> None:
    response = rest.generic("POST", path, b"", CONTENT_LENGTH=length, content_type=JSON)

    assert response.status_code == 413
    assert response["Connection"] == "close"


@pytest.mark.parametrize("length", ["-1", "a", "1e3", "٣", " 5"])
def test_length_that_is_no_number(rest: Client, length: str) -> None:
    assert rest.generic("POST", "/api/chains", b"", CONTENT_LENGTH=length, content_type=JSON).status_code == 400


def test_body_of_many_megabytes_is_read_control(rest: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the middleware nobody looks at the length."""
    monkeypatch.setattr(PlausibleMiddleware, "__call__", lambda self, request: self.get_response(request))
    body = json.dumps({"name": "a", "slug": "a" * 6 * 1024 * 1024})

    assert rest.post("/api/chains", body, content_type=JSON).status_code == 400


def test_form_with_a_field_of_a_megabyte(staff: Client) -> None:
    is_refused(staff.post("/auth/password-reset", "email=" + "a" * 2_000_000, "application/x-www-form-urlencoded"))


def test_form_with_too_many_fields(staff: Client) -> None:
    is_refused(staff.post("/auth/password-reset", "&".join(["a=1"] * 2000), "application/x-www-form-urlencoded"))


@pytest.mark.parametrize("page", ["0", "-1", "1" * 400, "9" * 19, "x", "%E2%80%AE"])
def test_page_number_that_is_absurd(staff: Client, rest: Client, paths: dict[str, str], page: str) -> None:
    lists = [path for path in paths.values() if path.startswith("/control/")]
    found = {path: staff.get(f"{path}?page={page}&page_size={page}&p={page}").status_code for path in lists}
    found |= {
        name: rest.get(f"{path}?page={page}&page_size={page}").status_code
        for name, path in paths.items()
        if name.startswith("api-")
    }

    assert {name: status for name, status in found.items() if status >= 500} == {}


@pytest.mark.parametrize(
    "query", ["p=-1", "p=" + "9" * 30, "p=x", "o=99.-99.x", "q=" + "a" * 3000, "nonsense__in=1", "all=", "e=1"]
)
def test_list_of_the_admin_with_an_absurd_query(staff: Client, query: str) -> None:
    found = {
        each.opts.label: staff.get(
            f"{reverse(f'admin:{each.opts.app_label}_{each.opts.model_name}_changelist')}?{query}"
        ).status_code
        for each in admin.site._registry.values()
    }

    assert {name: status for name, status in found.items() if status >= 500} == {}


@pytest.mark.parametrize("key", ["x", "%00", "0" * 300, "_2F", "9" * 40])
def test_object_of_the_admin_with_an_absurd_key(staff: Client, key: str) -> None:
    found = {}
    for each in admin.site._registry.values():
        base = reverse(f"admin:{each.opts.app_label}_{each.opts.model_name}_changelist")
        for page in ("change", "history", "delete"):
            found[f"{each.opts.label} {page}"] = staff.get(f"{base}{key}/{page}/").status_code

    assert {name: status for name, status in found.items() if status >= 500} == {}


@pytest.mark.parametrize("header", ["X-HTTP-Method-Override", "X-Method-Override", "X-HTTP-Method"])
def test_method_is_the_one_that_was_sent(people: People, rest: Client, header: str) -> None:
    path = f"/api/chains/{people.chain.pk}"
    for response in (
        rest.get(path, headers={header: "DELETE"}),
        rest.post(f"{path}?_method=DELETE", {"_method": "DELETE"}, content_type=JSON, headers={header: "DELETE"}),
    ):
        assert response.status_code in (200, 405)

    assert rest.get(path).status_code == 200


@pytest.mark.parametrize("method", ["FOO", "TRACE", "CONNECT", "PROPFIND", "get", "G\x00T"])
def test_method_nobody_knows(staff: Client, rest: Client, method: str) -> None:
    for client, path in ((staff, "/control/"), (rest, "/api/chains"), (staff, "/auth/sign-out"), (staff, "/admin/")):
        assert client.generic(method, path).status_code < 500, path


@pytest.mark.parametrize(
    "host", ["evil.example", "testserver.evil.example", "", "a b", "testserver:99999x", "\x00", "[::1"]
)
@pytest.mark.parametrize("path", ["/auth/sign-in", "/api/chains", "/static/core/app.css", "/healthz"])
def test_foreign_host_is_refused(host: str, path: str) -> None:
    response = Client(raise_request_exception=False).get(path, headers={"Host": host})
    response.close()

    # Files and health are the same for everybody; nothing there is made of the host.
    assert response.status_code == 400 or path.startswith(("/static/", "/healthz"))


@pytest.mark.parametrize(
    "value",
    ["Bearer", "Bearer ", "Bearer \x00", "Bearer " + "a" * 100_000, "Bearer ü", "Basic YTpi", "\xff", "Bearer a b"],
)
def test_credential_that_is_none(value: str) -> None:
    client = Client(raise_request_exception=False, headers={"Authorization": value})

    for path in ("/api/chains", "/api/devices"):
        assert client.get(path).status_code == 401, path


@pytest.mark.parametrize(
    "cookie",
    ["sessionid=" + "a" * 5000, "sessionid=../../x", "csrftoken=;;;==", "=", "django_language=%ff", "theme=\xff"],
)
def test_cookie_that_is_none_of_ours(cookie: str) -> None:
    assert Client(raise_request_exception=False).get("/auth/sign-in", headers={"Cookie": cookie}).status_code == 200


@pytest.mark.parametrize(
    "target", ["nowhere", "carts:branch-list", "a.b", "//evil.example", "javascript:x()", "\\evil"]
)
def test_place_to_go_next_that_is_none_of_ours(staff: Client, target: str) -> None:
    response = staff.post("/auth/sign-out", {"next": target})

    assert (response.status_code, response["Location"]) == (302, "/")


@pytest.mark.parametrize("value", ["xx", "*" * 5000, "en;q=x", "\x00", "he;q=1e9"])
def test_language_nobody_speaks(value: str) -> None:
    assert Client().get("/auth/sign-in", headers={"Accept-Language": value}).status_code == 200


def test_refusal_is_in_the_reader_s_language_and_still_guarded(settings: Settings) -> None:
    response = Client().post("/auth/sign-in", headers={"Accept-Language": "he"}, CONTENT_LENGTH=str(10**8))

    assert response.status_code == 413
    assert 'lang="he"' in response.content.decode()
    assert "default-src 'self'" in response["Content-Security-Policy"]
