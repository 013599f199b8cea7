from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import DatabaseError, IntegrityError, connection, models, transaction
from django.db.transaction import TransactionManagementError
from django.test.utils import CaptureQueriesContext
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from core.compiled import Lookup, insert, update
from core.models import OutboxMessage, StateChange

pytestmark = pytest.mark.django_db


class Tile(models.Model):
    """One of every kind of column we write this way, in a table these tests make."""

    id = models.UUIDField(primary_key=True, default=uuid4)
    name = models.CharField(max_length=10, unique=True)
    size = models.PositiveSmallIntegerField(default=3)
    extra = models.JSONField(default=dict)
    nothing = models.DateTimeField(null=True)
    parent = models.ForeignKey("self", on_delete=models.CASCADE, null=True)
    made_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        app_label = "core_tests"
        managed = False

    def __str__(self) -> str:
        return self.name


@pytest.fixture
def tiles(db: None) -> None:
    with connection.schema_editor() as editor:
        editor.create_model(Tile)


def make_change(**fields: Any) -> StateChange:
    made_up = {"entity": "door", "entity_id": uuid4(), "field": "status", "from_state": "a", "to_state": "b"}
    return StateChange.objects.create(**{**made_up, **fields})


def test_look_up_answers_what_its_queryset_does() -> None:
    row, other = make_change(actor="clock"), make_change(actor="clock")
    of_entity = Lookup(lambda entity: StateChange.objects.filter(entity_id=entity, actor="clock"), entity=UUID)

    found = [of_entity(entity=change.entity_id) for change in (row, other, row)]

    assert found == [[row], [other], [row]]
    assert vars(found[0][0]).keys() == vars(StateChange.objects.get(pk=row.pk)).keys()
    assert of_entity.first(entity=uuid4()) is None


def test_look_up_takes_ids_and_numbers_and_keeps_constants() -> None:
    row = make_change()
    since = Lookup(
        lambda pk, entity: StateChange.objects.filter(pk__gte=pk, entity_id=entity, field="status").exclude(reason="x"),
        pk=int,
        entity=UUID,
    )

    assert since(pk=row.pk, entity=row.entity_id) == [row]
    assert since(pk=row.pk, entity=uuid4()) == []
    assert since(pk=row.pk + 1, entity=row.entity_id) == []


def test_look_up_brings_relations_and_converts_in_one_query() -> None:
    every = IntervalSchedule.objects.create(every=7, period="seconds")
    with_one = PeriodicTask.objects.create(name="with", task="t", interval=every)
    told = OutboxMessage.objects.create(event="e", receiver="r", payload={"a": [1]}, available_at=datetime.now(UTC))
    task = Lookup(lambda pk: PeriodicTask.objects.select_related("interval", "crontab").filter(pk=pk), pk=int)
    message = Lookup(lambda pk: OutboxMessage.objects.filter(pk=pk), pk=int)

    with CaptureQueriesContext(connection) as queries:
        [found], [waiting] = task(pk=with_one.pk), message(pk=told.pk)
        assert (found.interval.every, found.crontab, waiting.payload) == (7, None, {"a": [1]})

    assert len(queries) == 2
    found.queue = "changed"
    found.save()
    assert PeriodicTask.objects.get(name="with").queue == "changed"


def test_look_up_that_does_not_use_a_parameter_is_refused() -> None:
    with pytest.raises(TypeError, match="'entity'"):
        Lookup(lambda entity: StateChange.objects.all(), entity=UUID)(entity=uuid4())


@pytest.mark.django_db(transaction=True)
def test_look_up_locks_only_inside_a_transaction() -> None:
    row = make_change()
    locked = Lookup(lambda pk: StateChange.objects.select_for_update().filter(pk=pk), pk=int)

    with transaction.atomic():
        assert locked(pk=row.pk) == [row]
    with pytest.raises(TransactionManagementError):
        locked(pk=row.pk)


@pytest.mark.usefixtures("tiles")
def test_insert_writes_what_save_does() -> None:
    parent = Tile(name="parent")
    insert(parent)
    tile = Tile(name="tile", extra={"a": None}, parent=parent)

    with CaptureQueriesContext(connection) as queries:
        insert(tile)

    stored = Tile.objects.get(pk=tile.pk)
    assert len(queries) == 1
    assert (stored.name, stored.size, stored.extra, stored.nothing) == ("tile", 3, {"a": None}, None)
    assert (stored.parent, stored.made_at) == (parent, tile.made_at)
    tile.size = 4
    tile.save()
    assert Tile.objects.get(pk=tile.pk).size == 4


@pytest.mark.usefixtures("tiles")
def test_insert_of_a_taken_name_is_refused() -> None:
    insert(Tile(name="tile"))

    with pytest.raises(IntegrityError), transaction.atomic():
        insert(Tile(name="tile"))


@pytest.mark.usefixtures("tiles")
def test_update_of_a_row_that_is_gone_is_an_error() -> None:
    tile = Tile.objects.create(name="tile")
    Tile.objects.all().delete()

    with pytest.raises(DatabaseError):
        update(tile, name="other")


@pytest.mark.usefixtures("tiles")
def test_update_writes_these_fields_and_no_others() -> None:
    tile = Tile.objects.create(name="tile")
    Tile.objects.filter(pk=tile.pk).update(size=9)

    update(tile, name="other", extra={"b": 1}, parent=None)

    stored = Tile.objects.get(pk=tile.pk)
    assert (stored.name, stored.size, stored.extra) == ("other", 9, {"b": 1})
    assert (tile.name, tile.extra) == ("other", {"b": 1})
