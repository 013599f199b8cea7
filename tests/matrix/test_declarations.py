"""Every address, operation and method is declared: a new one is not in the matrix until somebody says who may ask."""

import pytest

from tests.matrix import asks, declared, record
from tests.matrix.askers import build_world
from tests.matrix.asks import METHODS, admin_names, model_of, operations, rest_names, unknown_ids, unknown_parameters
from tests.matrix.cells import KINDS
from tests.matrix.estate import owned_models

WORDS = {
    value for name, value in vars(declared).items() if name.isupper() and isinstance(value, str) and name not in METHODS
}
TABLES = (declared.PAGES, declared.REST, declared.ADMIN)


def test_every_page_is_declared() -> None:
    missing = sorted(set(asks.pages()) - set(declared.PAGES))
    assert missing == [], f"say in tests/matrix/declared.py, PAGES, who may ask {missing}"


def test_every_operation_is_declared() -> None:
    missing = sorted((name, method) for name, method, _ in operations() if method not in declared.REST.get(name, {}))
    assert missing == [], f"say in tests/matrix/declared.py, REST, who may ask {missing}"


def test_every_page_of_the_admins_site_is_declared() -> None:
    missing = sorted({name for name, _ in admin_names() if model_of(name) is None} - set(declared.ADMIN))
    assert missing == [], f"say in tests/matrix/declared.py, ADMIN, who may ask {missing}"


def test_nothing_is_declared_that_is_not_there() -> None:
    there = {*asks.pages(), *rest_names(), *(name for name, _ in admin_names())}
    declared_names = {*declared.PAGES, *declared.REST, *declared.ADMIN, *declared.OPEN_TO_ALL}
    assert declared_names - there == set()
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
