"""Every address, operation and method is declared: a new one is not in the matrix until somebody says who may ask."""

import pytest
from django.http import HttpRequest, HttpResponse
from django.urls import URLResolver, get_resolver, include, path
from django.urls.resolvers import RegexPattern

from tests.matrix import asks, declared, record
from tests.matrix.askers import build_world
from tests.matrix.asks import (
    METHODS,
    UNNAMED,
    admin_names,
    operations,
    rest_names,
    unknown_ids,
    unknown_parameters,
)
from tests.matrix.cells import KINDS
from tests.matrix.estate import owned_models
from tests.matrix.undeclared import routes_by_name, undeclared, unnamed

WORDS = {
    value for name, value in vars(declared).items() if name.isupper() and isinstance(value, str) and name not in METHODS
}
TABLES = (declared.PAGES, declared.REST, declared.ADMIN)


def test_every_address_is_declared() -> None:
    missing = list(undeclared(get_resolver()))
    assert missing == [], f"say in tests/matrix/declared.py who may ask {missing}"


def _view(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


SEEDED = {
    "undeclared": (path("secret", _view, name="secret"), "secret"),
    "undeclared, of REST": (path("api/secret", _view, name="api-secret"), "api-secret"),
    "undeclared, of an app": (path("s/", include(([path("x", _view, name="secret")], "carts"))), "carts:secret"),
    "undeclared, of the admin": (path("admin/", include(([path("x", _view, name="x")], "admin"))), "admin:x"),
    "without a name": (path("secret", _view), "secret, which has no name"),
    "without a name, of an app": (path("s/", include(([path("x", _view)], "carts"))), "s/x, which has no name"),
    "without a name, of the admin": (
        path("admin/", include(([path("tenants/user/all", _view)], "admin"))),
        "admin/tenants/user/all, which has no name",
    ),
    "second of a page's name": (path("secret", _view, name="home"), "home, which is the name of ['', 'secret']"),
    "second of an operation's name": (
        path("secret", _view, name="api-me"),
        "api-me, which is the name of ['api/auth/me', 'secret']",
    ),
    "second of an admin's name": (
        path("admin/", include(([path("x", _view, name="tenants_user_changelist")], "admin"))),
        "admin:tenants_user_changelist, which is the name of ['admin/tenants/user/', 'admin/x']",
    ),
}


@pytest.mark.parametrize("seed", SEEDED)
def test_seeded_address_is_told_of_control(seed: str) -> None:
    pattern, told = SEEDED[seed]
    configured = get_resolver().url_patterns

    assert list(undeclared(URLResolver(RegexPattern(r"^/"), [*configured, pattern]))) == [told]


def test_same_route_twice_is_one_address() -> None:
    again = path("healthz", _view, name="healthz")

    assert list(undeclared(URLResolver(RegexPattern(r"^/"), [*get_resolver().url_patterns, again]))) == []


def test_every_operation_is_declared() -> None:
    missing = sorted((name, method) for name, method, _ in operations() if method not in declared.REST.get(name, {}))
    assert missing == [], f"say in tests/matrix/declared.py, REST, who may ask {missing}"


def test_nothing_is_declared_that_is_not_there() -> None:
    there = {*asks.pages(), *rest_names(), *(name for name, _ in admin_names())}
    declared_names = {*declared.PAGES, *declared.REST, *declared.ADMIN, *declared.OPEN_TO_ALL}
    assert declared_names - there == set()
    assert unnamed() == routes_by_name()[UNNAMED]
    operated = {(name, method) for name, method, _ in operations()}
    assert {(name, method) for name, table in declared.REST.items() for method in table} - operated == set()


def test_every_word_is_known() -> None:
    said = {
        word.strip()
        for table in TABLES
        for each in table.values()
        for words in each.values()
        for word in words.split("|")
    }
    assert {word for word in said if ":" not in word} - WORDS == set()


def test_every_name_in_an_address_is_known() -> None:
    missing = unknown_parameters()
    assert missing == [], f"say in tests/matrix/cells.py, KINDS (or FREE), what {missing} stand for"


def test_every_id_in_a_query_or_a_body_is_known() -> None:
    missing = unknown_ids()
    assert missing == [], f"say in tests/matrix/cells.py, KINDS (or FREE), what {missing} stand for"


@pytest.mark.django_db
def test_every_side_has_rows_of_whatever_belongs_to_somebody() -> None:
    world = build_world()
    for side in (world.ours, world.theirs):
        missing = {model._meta.label for model in owned_models()} - {model._meta.label for model in side.rows}
        assert missing == set(), f"make rows of {missing} for every side in tests/matrix/estate.py"
        assert {model for model, _ in KINDS.values()} - set(side.rows) == set()


@pytest.mark.skipif(record.UPDATING, reason="it is being written")
def test_document_counts_the_cells_of_every_role() -> None:
    counted = record.read(record.PAGE.read_text())
    assert set(counted) == record.roles(), record.UPDATE
    assert [name for name, row in counted.items() if not all(row.get(area) for area in record.AREAS)] == []
