"""Statements that Django composes once instead of every time, for the way of an unlock: a customer waits for them.

Composing a look-up with joins costs Django up to 1.5 ms, running it 0.1. What comes back are the same instances with
the same relations, made by the same parts of Django as a queryset's: `Lookup` follows `ModelIterable` in
`django.db.models.query`. Only where `docs/performance.md` shows that it matters; everything else is a queryset.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Generic, TypeVar
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, DatabaseError, connection, models
from django.db.models.query import RelatedPopulator, get_related_populators
from django.db.transaction import TransactionManagementError

M = TypeVar("M", bound=models.Model)

# Stands for a parameter while the statement is composed; a value no queryset of ours holds as a constant.
_STAND_INS: dict[type, Callable[[int], Any]] = {
    UUID: lambda number: UUID(int=(0xC0DE << 64) + number),
    int: lambda number: 1_900_000_000 + number,
}


@dataclass(frozen=True, slots=True)
class _Plan:
    """A composed statement and how its rows become instances."""

    sql: str
    constants: tuple[Any, ...]
    # (position, name of the parameter, what wraps its value)
    given: tuple[tuple[int, str, Callable[[Any], Any] | None], ...]
    locks: bool
    model: type[models.Model]
    names: Sequence[str]
    columns: slice
    relations: Sequence[RelatedPopulator]
    converters: Mapping[int, tuple[Sequence[Callable[..., Any]], Any]]


class Lookup(Generic[M]):
    """A queryset that is asked again and again with other values.

    `Lookup(lambda pk: Cart.objects.filter(pk=pk), pk=UUID)` is called with `pk=…` and answers a list. Parameters are
    ids and numbers, each used as it is; lists and anything that changes the statement are not.
    """

    def __init__(self, rows: Callable[..., models.QuerySet[M]], **parameters: type) -> None:
        self._rows, self._parameters = rows, parameters
        self._plan: _Plan | None = None

    def __call__(self, **values: Any) -> list[M]:
        """The rows. One query. Raises what the queryset would, for rows to lock outside a transaction too."""
        plan = self._plan = self._plan or self._compose()
        if plan.locks and not connection.in_atomic_block:
            raise TransactionManagementError("rows can't be locked outside a transaction")
        parameters = list(plan.constants)
        for position, name, wrap in plan.given:
            parameters[position] = wrap(values[name]) if wrap else values[name]
        with connection.cursor() as cursor:
            cursor.execute(plan.sql, parameters)
            rows = cursor.fetchall()
        return [self._instance(plan, row) for row in rows]

    def first(self, **values: Any) -> M | None:
        """The first row, or None."""
        rows = self(**values)
        return rows[0] if rows else None

    def _instance(self, plan: _Plan, row: Sequence[Any]) -> M:
        if plan.converters:
            row = list(row)
            for position, (converters, expression) in plan.converters.items():
                for convert in converters:
                    row[position] = convert(row[position], expression, connection)
        instance = plan.model.from_db(DEFAULT_DB_ALIAS, plan.names, row[plan.columns])
        for relation in plan.relations:
            relation.populate(row, instance)
        return instance  # type: ignore[return-value]

    def _compose(self) -> _Plan:
        stand_ins = {name: _STAND_INS[kind](number) for number, (name, kind) in enumerate(self._parameters.items())}
        query = self._rows(**stand_ins).query
        compiler = query.get_compiler(using=DEFAULT_DB_ALIAS)
        sql, parameters = compiler.as_sql()
        given = []
        for name, stand_in in stand_ins.items():
            found = [position for position, value in enumerate(parameters) if value == stand_in]
            if not found:
                raise TypeError(f"the statement does not hold {name!r}")
            for position in found:
                kind = type(parameters[position])
                given.append((position, name, kind if kind is not type(stand_in) else None))
        klass = compiler.klass_info
        fields = klass["select_fields"]
        columns = slice(fields[0], fields[-1] + 1)
        return _Plan(
            sql=sql,
            constants=tuple(parameters),
            given=tuple(given),
            locks=query.select_for_update,
            model=klass["model"],
            names=[column[0].target.attname for column in compiler.select[columns]],
            columns=columns,
            relations=get_related_populators(klass, compiler.select, DEFAULT_DB_ALIAS),  # type: ignore[call-arg]
            converters=compiler.get_converters([column[0] for column in compiler.select[: compiler.col_count]]),
        )


def insert(row: models.Model) -> None:
    """Write a new row whose key is known, as `save(force_insert=True)` would. Sends no signals. One query."""
    fields, sql = _insertion(type(row))
    values = [field.get_db_prep_save(field.pre_save(row, add=True), connection) for field in fields]
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
    row._state.adding, row._state.db = False, DEFAULT_DB_ALIAS


@cache
def _insertion(model: type[models.Model]) -> tuple[Sequence["models.Field[Any, Any]"], str]:
    fields = model._meta.local_concrete_fields
    names = ", ".join(f'"{field.column}"' for field in fields)
    marks = ", ".join(["%s"] * len(fields))
    return fields, f'INSERT INTO "{model._meta.db_table}" ({names}) VALUES ({marks})'  # noqa: S608 (names of ours)


def update(row: models.Model, **changes: Any) -> None:
    """Set fields of a row and write them, as `save(update_fields=…)` would. Sends no signals. One query.

    Raises `DatabaseError` when the row is gone.
    """
    for name, value in changes.items():
        setattr(row, name, value)
    fields, sql = assignment(type(row), tuple(changes))
    values = [field.get_db_prep_save(value, connection) for field, value in zip(fields, changes.values(), strict=True)]
    with connection.cursor() as cursor:
        cursor.execute(f'UPDATE "{row._meta.db_table}" SET {sql} WHERE "{row._meta.pk.column}" = %s', [*values, row.pk])  # noqa: S608
        if cursor.rowcount != 1:
            raise DatabaseError(f"{row._meta.label} {row.pk} is not there any more")


@cache
def assignment(model: type[models.Model], names: tuple[str, ...]) -> tuple[Sequence["models.Field[Any, Any]"], str]:
    """Columns of a model by the names of their fields, and `"a" = %s, "b" = %s` for them."""
    fields: list[models.Field[Any, Any]] = []
    for name in names:
        found = model._meta.get_field(name)
        assert isinstance(found, models.Field)  # a reverse relation has no column
        fields.append(found)
    return fields, ", ".join(f'"{field.column}" = %s' for field in fields)
