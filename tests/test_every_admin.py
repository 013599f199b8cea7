"""Every registered admin: its pages open for whom they should, in few queries, and for nobody else.

What is in no list below is tested all the same: the lists name exceptions, the registry names the admins.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib import admin
from django.db import connection, models
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask

from carts.models import Cart, Rental
from carts.tests.factories import make_cart, make_rental
from core import audit
from core.admin import base
from core.admin.base import LedgerAdmin, ReadOnly, ScopedAdmin
from core.audit import hidden_fields
from core.models import AuditEntry, OutboxMessage, StateChange
from devices.models import (
    Command,
    Controller,
    Device,
    EnrolmentCode,
    InboundMessage,
    KnownMac,
    Presence,
    TelemetryEvent,
)
from devices.services import create_enrolment_code
from devices.services.telemetry import Event, store_telemetry
from devices.tests.factories import make_command, make_controller, make_device
from tenants.models import Branch, Chain, Grant, Invitation, Role, SupportAccess, User
from tenants.tests.factories import make_branch, make_chain, make_grant, make_people, make_user
from tenants.tests.signing_in import sign_in

pytestmark = pytest.mark.django_db

EVERY = sorted(admin.site._registry.values(), key=lambda each: each.opts.label)
EVERY_ADMIN = pytest.mark.parametrize("each", EVERY, ids=lambda each: each.opts.label)
QUERY_BUDGET = 16
MADE_ELSEWHERE = {
    AuditEntry,
    Command,
    EnrolmentCode,
    InboundMessage,
    Invitation,
    OutboxMessage,
    Presence,
    Rental,
    StateChange,
    SupportAccess,
    TelemetryEvent,
}


def _parked() -> OutboxMessage:
    now = timezone.now()
    return OutboxMessage.objects.create(
        event="test.Nothing", payload={"a": 1}, receiver="test.nobody", available_at=now, parked_at=now
    )


def _state_change() -> StateChange:
    device = make_device()
    return StateChange.objects.create(
        entity="devices.device", entity_id=device.pk, field="state", from_state="pending", to_state="active"
    )


def _telemetry() -> TelemetryEvent:
    event = Event(uuid4(), "cart_sensor", timezone.now(), {"cart": 7})
    store_telemetry(device=make_device(), events=[event])
    return TelemetryEvent.objects.get(event_id=event.event_id)


def _inbound() -> InboundMessage:
    ids = {"source_id": uuid4(), "message_id": uuid4()}
    return InboundMessage.objects.create(**ids, topic="cartwise/a/b", payload={"v": 1}, received_at=timezone.now())


def _task() -> PeriodicTask:
    schedule = IntervalSchedule.objects.create(every=PeriodicTask.objects.count() + 7, period=IntervalSchedule.HOURS)
    return PeriodicTask.objects.create(name=f"task {uuid4()}", task="core.sweep_outbox", interval=schedule)


def _audit_entry() -> AuditEntry:
    audit.record("changed", make_branch(), actor=make_user(), before={"name": "Old"}, after={"name": "New"})
    return AuditEntry.objects.latest("pk")


def _invitation() -> Invitation:
    role, chain = Role.objects.get(code="chain_manager"), make_chain()
    return Invitation.objects.create(
        token_hash=uuid4().hex, email="new@example.com", role=role, chain=chain, expires_at=timezone.now()
    )


def _role() -> Role:
    return Role.objects.create(code=f"role-{uuid4().hex[:8]}", name="Night shift", permissions=["carts:view"])


MAKERS: dict[type[models.Model], Callable[[], models.Model]] = {
    AuditEntry: _audit_entry,
    Branch: make_branch,
    Cart: make_cart,
    Chain: make_chain,
    ClockedSchedule: lambda: ClockedSchedule.objects.create(clocked_time=timezone.now()),
    Command: make_command,
    Controller: make_controller,
    CrontabSchedule: lambda: CrontabSchedule.objects.create(minute=str(CrontabSchedule.objects.count())),
    Device: make_device,
    EnrolmentCode: lambda: create_enrolment_code(branch=make_branch(), device=make_device())[0],
    Grant: lambda: make_grant(user=make_user(), role="chain_manager", chain=make_chain()),
    InboundMessage: _inbound,
    IntervalSchedule: lambda: _task().interval,
    Invitation: _invitation,
    KnownMac: lambda: KnownMac.objects.create(chain=make_chain(), mac_address="AA:BB:CC:DD:EE:FF"),
    OutboxMessage: _parked,
    PeriodicTask: _task,
    Presence: lambda: make_device().presence,
    Rental: make_rental,
    Role: _role,
    StateChange: _state_change,
    TelemetryEvent: _telemetry,
    SupportAccess: lambda: SupportAccess.objects.create(
        staff=make_user(), chain=make_chain(), reason="a call", ends_at=timezone.now() + timedelta(hours=1)
    ),
    User: lambda: make_grant(user=make_user(), role="chain_manager", chain=make_chain()).user,
}


def _url(each: ScopedAdmin, page: str, *args: object) -> str:
    return reverse(f"admin:{each.opts.app_label}_{each.opts.model_name}_{page}", args=args)


def _as(client: Client, user: User) -> Client:
    sign_in(client, user)
    return client


@pytest.fixture
def manager(client: Client) -> Client:
    """Erin's browser: she holds everything on the platform."""
    return _as(client, make_people().erin)


def test_every_admin_is_scoped_and_can_be_made() -> None:
    assert [each for each in EVERY if not isinstance(each, ScopedAdmin)] == []
    assert {each.model for each in EVERY} == set(MAKERS)


@EVERY_ADMIN
def test_pages_open_for_manager(manager: Client, each: ScopedAdmin) -> None:
    row = MAKERS[each.model]()
    pages = [
        _url(each, "changelist"),
        f"{_url(each, 'changelist')}?q={row.pk}",
        _url(each, "change", row.pk),
        _url(each, "history", row.pk),
    ]

    answers = {page: manager.get(page).status_code for page in pages}

    assert answers == dict.fromkeys(pages, 200)


@EVERY_ADMIN
def test_add_page_opens_where_rows_may_be_made(manager: Client, each: ScopedAdmin) -> None:
    answer = manager.get(_url(each, "add"))

    assert answer.status_code == (403 if each.model in MADE_ELSEWHERE else 200)


@EVERY_ADMIN
def test_filters_narrow_without_error(manager: Client, each: ScopedAdmin) -> None:
    MAKERS[each.model]()
    page = manager.get(_url(each, "changelist"))
    specs = page.context["cl"].filter_specs
    queries = [choice["query_string"] for spec in specs for choice in spec.choices(page.context["cl"])]

    answers = {query: manager.get(_url(each, "changelist") + query).status_code for query in queries}

    assert answers == dict.fromkeys(queries, 200)


@EVERY_ADMIN
def test_no_filter_in_the_address_guesses_what_is_hidden(manager: Client, each: ScopedAdmin) -> None:
    for name in sorted(hidden_fields(each.model)):
        for lookup in (name, f"{name}__startswith", f"{name}__gt"):
            assert manager.get(_url(each, "changelist"), {lookup: "a"}).status_code == 400, lookup


RELATED = ("user__password__startswith", "user__email", "grants__user__password__gt")


def test_who_holds_a_role_is_told_to_those_who_may_see_roles(client: Client) -> None:
    """Neither by a box nor by an address, in whatever way the look-up is written."""
    helper = make_user()
    make_grant(user=helper, role="support")
    sign_in(client, helper)
    address, role = reverse("admin:tenants_user_changelist"), Role.objects.get(code="manager").pk
    ways = [f"grants__role{way}={role}" for way in ("", "__in", "__exact", "__id__exact")]

    assert "grants__role" not in client.get(address).content.decode()
    assert [client.get(f"{address}?{way}").status_code for way in ways] == [400] * len(ways)


@pytest.mark.parametrize("lookup", RELATED)
def test_no_filter_guesses_it_through_a_relation(manager: Client, monkeypatch: pytest.MonkeyPatch, lookup: str) -> None:
    """Not even where the relation itself is filtered by."""
    each = admin.site._registry[User if lookup.startswith("grants") else Grant]
    monkeypatch.setattr(type(each), "list_filter", (lookup.rpartition("__")[0], lookup))

    assert each.lookup_allowed(lookup, "a", manager.get("/admin/").wsgi_request) is False


def test_password_would_be_guessed_control(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the check support reads a manager's hash by asking."""
    monkeypatch.setattr(base, "_leads_to_hidden", lambda model, lookup: False)
    boss = make_people().erin
    User.objects.filter(pk=boss.pk).update(password="argon2$x")
    sign_in(client, helper := make_user())
    make_grant(user=helper, role="support")

    pages = [
        client.get(_url(admin.site._registry[User], "changelist"), {"email": boss.email, "password__startswith": guess})
        for guess in ("argon2$x", "argon2$y")
    ]

    assert [str(boss.pk) in page.content.decode() for page in pages] == [True, False]


@pytest.mark.parametrize("page", ["password_change", "password_change_done"])
def test_passwords_are_not_changed_in_the_admin(client: Client, page: str) -> None:
    boss = make_people().erin
    boss.set_password("correct horse battery")
    boss.save()
    sign_in(client, boss)
    new = "another horse battery 9"

    asked = client.get(reverse(f"admin:{page}"))
    sent = client.post(
        reverse(f"admin:{page}"),
        {"old_password": "correct horse battery", "new_password1": new, "new_password2": new},
    )

    assert [asked["Location"], sent["Location"]] == [reverse("account_change_password")] * 2
    assert User.objects.get(pk=boss.pk).check_password("correct horse battery")


@EVERY_ADMIN
def test_autocompletes_answer(manager: Client, each: ScopedAdmin) -> None:
    for field in each.autocomplete_fields:
        label = {"app_label": each.opts.app_label, "model_name": each.opts.model_name, "field_name": field}
        answer = manager.get(reverse("admin:autocomplete"), {"term": "a", **label})
        assert answer.status_code == 200, field


@EVERY_ADMIN
def test_list_takes_the_same_few_queries_for_more_rows(manager: Client, each: ScopedAdmin) -> None:
    def cost() -> int:
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert manager.get(_url(each, "changelist")).status_code == 200
        return len(queries)

    MAKERS[each.model]()
    cost()
    with_one = cost()
    if each.model is KnownMac:
        KnownMac.objects.create(chain=make_chain(), mac_address="AA:BB:CC:DD:EE:01")
        KnownMac.objects.create(chain=make_chain(), mac_address="AA:BB:CC:DD:EE:02")
    else:
        MAKERS[each.model]()
        MAKERS[each.model]()
    with_three = cost()

    assert (with_one, with_one <= QUERY_BUDGET) == (with_three, True)


@pytest.mark.parametrize("each", [a for a in EVERY if isinstance(a, LedgerAdmin)], ids=lambda each: each.opts.label)
def test_large_tables_are_never_counted(manager: Client, each: LedgerAdmin) -> None:
    MAKERS[each.model]()

    with CaptureQueriesContext(connection) as queries:
        manager.get(f"{_url(each, 'changelist')}?_facets=True")

    counts = [q["sql"] for q in queries if "COUNT(" in q["sql"] and f'FROM "{each.opts.db_table}"' in q["sql"]]
    assert counts == []


@EVERY_ADMIN
@pytest.mark.parametrize("person", ["alice", "bob", "charlie", "dora"])
def test_strangers_get_nothing(client: Client, each: ScopedAdmin, person: str) -> None:
    row = MAKERS[each.model]()
    _as(client, getattr(make_people(), person))
    pages = [
        _url(each, "changelist"),
        _url(each, "add"),
        _url(each, "change", row.pk),
        _url(each, "history", row.pk),
        _url(each, "delete", row.pk),
        *(_url(each, "press", row.pk, button.name) for button in each.all_buttons()),
    ]

    answers = {page: client.get(page).status_code for page in pages}

    assert answers == dict.fromkeys(pages, 403)


@pytest.mark.parametrize("page", ["index", "search", "autocomplete", "jsi18n", "login"])
def test_common_pages_refuse_strangers(client: Client, page: str) -> None:
    _as(client, make_people().bob)

    assert client.get(reverse(f"admin:{page}"), {"s": "a"}).status_code == 403


def test_nobody_is_sent_to_the_one_sign_in_page(client: Client) -> None:
    answer = client.get(reverse("admin:devices_device_changelist"), follow=True)

    assert answer.redirect_chain[-1][0].startswith(reverse("account_login"))


@EVERY_ADMIN
@pytest.mark.parametrize("role", ["technical", "support"])
def test_staff_see_what_their_role_says(client: Client, each: ScopedAdmin, role: str) -> None:
    user = make_user()
    make_grant(user=user, role=role)
    _as(client, user)
    row = MAKERS[each.model]()
    may_view = bool(user.may(f"{each.resource}:view"))

    answers = {client.get(page).status_code for page in (_url(each, "changelist"), _url(each, "change", row.pk))}

    assert answers == {200 if may_view else 403}
    listed = _url(each, "changelist") in client.get(reverse("admin:index")).content.decode()
    assert listed == may_view


TENANTS = [each for each in EVERY if getattr(each.model, "chain_path", "")]


@pytest.mark.parametrize("each", TENANTS, ids=lambda each: each.opts.label)
def test_staff_with_one_chain_see_only_its_rows(client: Client, each: ScopedAdmin) -> None:
    """Support on the platform who also manages one chain: what support may not see, they see there only."""
    theirs, own = MAKERS[each.model](), MAKERS[each.model]()
    user = make_user()
    Role.objects.filter(code="support").update(permissions=["nothing:view"])
    Role.objects.filter(code="chain_manager").update(permissions=["*"])
    make_grant(user=user, role="support")
    make_grant(user=user, role="chain_manager", chain=_chain_of(own))
    _as(client, user)
    nothing = 2**31 - 1 if isinstance(each.opts.pk, models.AutoField) else uuid4()

    page = client.get(_url(each, "changelist"))

    listed = [row.pk for row in page.context["cl"].result_list]
    assert (own.pk in listed, theirs.pk in listed) == (True, False)
    choices = [choice for spec in page.context["cl"].filter_specs for choice in spec.choices(page.context["cl"])]
    assert [choice for choice in choices if _chain_of(theirs).name in str(choice["display"])] == []
    for name in ("change", "history", "delete"):
        foreign, absent = client.get(_url(each, name, theirs.pk)), client.get(_url(each, name, nothing))
        assert foreign.status_code == absent.status_code == (403 if name == "delete" and _never_deleted(each) else 404)
    for button in each.all_buttons():
        assert client.post(_url(each, "press", theirs.pk, button.name)).status_code == 404


def test_staff_with_one_chain_see_only_its_rows_control(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the scope the same people do see the other chain's rows, so the test above can fail."""
    theirs, own = make_device(), make_device()
    user = make_user()
    make_grant(user=user, role="support")
    make_grant(user=user, role="chain_manager", chain=_chain_of(own))
    _as(client, user)
    monkeypatch.setattr(User, "visible", lambda self, rows, permission: rows)

    page = client.get(reverse("admin:devices_device_changelist"))

    assert theirs.pk in [row.pk for row in page.context["cl"].result_list]


def _never_deleted(each: ScopedAdmin) -> bool:
    return isinstance(each, ReadOnly) or each.model in (Branch, Cart, Device, User)


def _chain_of(row: Any) -> Chain:
    if isinstance(row, User):
        row = row.grants.get()
    path = type(row).chain_path
    for step in (path[0] if isinstance(path, tuple) else path).split("__"):
        row = row if step == "pk" else getattr(row, step)
    return row if isinstance(row, Chain) else Chain.objects.get(pk=row)


def test_search_finds_rows_of_every_searched_list(manager: Client) -> None:
    cart = make_cart(branch=None)

    answer = manager.get(reverse("admin:search"), {"s": cart.branch.code, "extended": "1"})

    found = answer.content.decode()
    for row in (cart, cart.branch, cart.controller.device):
        assert reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk]) in found


def test_index_shows_figures_and_what_waits(manager: Client) -> None:
    make_rental(status="overdue")
    make_device(connected=False)
    _parked()

    answer = manager.get(reverse("admin:index"))

    assert {str(figure["title"]) for figure in answer.context["figures"]} == {
        "Branches",
        "Carts",
        "Open rentals",
        "Devices online",
    }
    waiting = {str(entry["words"]): entry["count"] for entry in answer.context["attention"]}
    assert waiting == {
        "rental is overdue": 1,
        "active device is offline": 1,
        "message was given up": 1,
    }
    for entry in (*answer.context["figures"], *answer.context["attention"]):
        assert manager.get(entry["url"]).status_code == 200


def test_expired_grant_ends_the_way_in(client: Client) -> None:
    user = make_user()
    make_grant(user=user, role="manager", expires_at=timezone.now() - timedelta(seconds=1))
    _as(client, user)

    assert client.get(reverse("admin:index")).status_code == 403
