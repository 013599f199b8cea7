"""The audit as a page, as a download and over REST: one's own places, in words, narrowed by the address."""

import csv
import io
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from openpyxl import load_workbook

from carts.services import put_in_maintenance
from carts.tests.factories import make_cart
from core import audit
from core.models import AuditEntry
from core.rows import save_row
from devices.services import rename_device
from devices.tests.factories import make_device
from tenants import access, audit_trail
from tenants.models import User
from tenants.services import create_role, grant_role, update_role
from tenants.services.shops import update_branch
from tenants.tests.api import client_of, problem
from tenants.tests.factories import People, make_branch, make_grant, make_user
from tenants.tests.signing_in import sign_in
from tenants.views import audit as pages

PAGE, EXPORT, REST = "/control/audit", "/control/audit/export", "/api/audit"


def browser(user: User) -> Client:
    client = Client()
    sign_in(client, user)
    return client


def text_of(client: Client, **narrowed: object) -> str:
    response = client.get(PAGE, narrowed)
    assert response.status_code == 200
    return str(response.content.decode())


def rows_of(client: Client, **narrowed: object) -> list[int]:
    """The numbers of the entries on the page."""
    return [row.entry.pk for row in client.get(PAGE, narrowed).context["rows"]]


def told(branch: Any, *, actor: object = "test", action: str = "tried", **more: Any) -> int:
    audit.record(action, branch, actor=actor, **more)
    return AuditEntry.objects.latest("pk").pk


def csv_of(response: Any) -> list[list[str]]:
    text = b"".join(response).decode().removeprefix("\ufeff")
    return list(csv.reader(io.StringIO(text, newline="")))


@pytest.fixture
def theirs(people: People) -> int:
    """What must not leak: done by charlie, in charlie's shop, with a name of its own."""
    secret = make_cart(branch=people.strange_branch)
    put_in_maintenance(cart=secret, note="canary-in-their-shop", actor=people.charlie)
    return AuditEntry.objects.latest("pk").pk


# Who sees what.


def test_each_sees_the_entries_of_their_places(people: People, theirs: int) -> None:
    sister = make_branch(chain=people.chain)
    here, there, chain = told(people.branch), told(sister), told(people.chain)
    nowhere = told(people.dora)

    assert rows_of(browser(people.alice)) == [here]
    assert rows_of(browser(people.bob)) == [chain, there, here]
    assert rows_of(browser(people.charlie)) == [theirs]
    assert rows_of(browser(people.erin)) == [nowhere, chain, there, here, theirs]


def test_each_sees_the_entries_of_their_places_control(
    people: People, theirs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the scope everything is there."""
    here = told(people.branch)
    monkeypatch.setattr(audit_trail, "entries_visible_to", lambda asker: AuditEntry.objects.order_by("-pk"))

    assert rows_of(browser(people.alice)) == [here, theirs]


def test_customer_and_stranger_find_no_audit(people: People) -> None:
    told(people.branch)

    assert browser(people.dora).get(PAGE).status_code == 404
    assert browser(people.dora).post(EXPORT, {"format": "csv"}).status_code == 404
    assert Client().get(PAGE).status_code == 302
    problem(client_of(people.dora).get(REST), 403)
    problem(client_of(None).get(REST), 401)


@pytest.mark.parametrize("narrowed", ["place", "who", "thing", "kind"])
def test_no_filter_leads_to_anothers_entries(people: People, theirs: int, narrowed: str) -> None:
    row = AuditEntry.objects.get(pk=theirs)
    value = {"place": f"branch:{row.branch_id}", "who": row.actor_id, "thing": row.entity_id, "kind": row.entity}[
        narrowed
    ]

    for user in (people.alice, people.bob):
        assert rows_of(browser(user), **{narrowed: value}) == []
        query = {narrowed: str(value).removeprefix("branch:")}
        assert client_of(user).get(REST, query).json()["results"] == []
    assert rows_of(browser(people.charlie), **{narrowed: value}) == [theirs]


def test_nothing_of_another_shop_is_on_the_page_or_in_the_export(people: People, theirs: int) -> None:
    told(people.branch, actor=people.bob)

    page = text_of(browser(people.bob))
    export = b"".join(browser(people.bob).post(EXPORT, {"format": "csv"})).decode()

    for secret in ("canary", "Charlie", "Theirs", "Their branch", str(people.strange_branch.pk)):
        assert secret not in page + export


def test_name_of_a_thing_in_another_shop_is_not_told(people: People) -> None:
    """A row of ours may name what is not ours: a known address that went to another chain, say."""
    told(people.branch, before={"chain": people.strange_chain}, after={"chain": people.chain})

    page = text_of(browser(people.bob))

    assert "Theirs" not in page
    assert str(people.strange_chain.pk)[:8] in page


# In words.


def test_entry_says_who_did_what_to_what_where_and_why(people: People) -> None:
    cart = make_cart(branch=people.branch)
    with audit.origin(audit.Origin(address="192.0.2.7")):
        put_in_maintenance(cart=cart, note="A wheel is loose", actor=people.bob)

    page = text_of(browser(people.alice))

    for text in ("Bob", "Put in maintenance", f"/carts/{cart.pk}", "Our branch", "192.0.2.7", "A wheel is loose"):
        assert text in page


def test_changes_are_told_with_the_words_of_their_fields(people: People) -> None:
    update_branch(branch=people.branch, actor=people.bob, rental_minutes=60, active=False)
    role = create_role(code="till", name="Till", permissions=["carts:view", "rentals:view"], actor=people.erin)
    update_role(role=role, name="Till", permissions=["carts:view", "carts:command"], actor=people.erin)

    [of_role, _, of_branch] = browser(people.erin).get(PAGE).context["rows"]

    assert {(each.label, each.before, each.after) for each in of_branch.changes} == {
        ("longest rental (minutes)", "240", "60"),
        ("in operation", "yes", "no"),
    }
    [permissions] = of_role.changes
    assert (permissions.added, permissions.removed) == (("carts:command",), ("rentals:view",))


def test_given_role_names_the_person_the_role_and_the_place(people: People) -> None:
    grant_role(user=people.dora, role="branch_manager", branch=people.branch, actor=people.bob)

    [row] = browser(people.bob).get(PAGE).context["rows"]

    assert row.what.text == "Role given"
    assert row.thing.label == f"Branch manager · {people.branch}"
    assert {(each.label, each.after) for each in row.changes} == {("person", "Dora"), ("role", "Branch manager")}


def test_acting_as_somebody_shows_both(people: People) -> None:
    with audit.origin(audit.Origin(behind=people.erin.pk)):
        told(people.branch, actor=people.alice)

    [row] = browser(people.bob).get(PAGE).context["rows"]

    assert (row.who.label, row.behind.label) == ("Alice", "Erin")
    assert "acting as them" in text_of(browser(people.bob))


def test_erased_person_is_told_as_such(people: People) -> None:
    told(people.branch, actor=people.bob)
    User.objects.filter(pk=people.bob.pk).update(name="", email=None, phone=None, erased_at=timezone.now())

    [row] = browser(people.alice).get(PAGE).context["rows"]

    assert row.who.label == "Erased person"


def test_address_or_number_of_somebody_without_a_name_is_masked(people: People) -> None:
    nameless = make_user(email="someone.long@example.com", name="")
    grant_role(user=nameless, role="customer", branch=people.branch, actor=people.erin)
    told(people.branch, actor=nameless, after={"user": nameless.pk})

    page = text_of(browser(people.alice))

    assert "s•••@example.com" in page
    assert "someone.long" not in page


def test_device_and_job_are_named(people: People) -> None:
    device = make_device(branch=people.branch, name="pi-at-the-door")
    told(people.branch, actor=device)
    told(people.branch, actor="clock")

    assert [row.who.label for row in browser(people.alice).get(PAGE).context["rows"]] == ["The clock", "pi-at-the-door"]


def test_thing_that_is_gone_is_told_by_its_id(people: People) -> None:
    device = make_device(branch=people.branch)
    rename_device(device=device, name="new-name", actor=people.bob)
    key = str(device.pk)
    device.delete()

    [row] = browser(people.bob).get(PAGE).context["rows"]

    assert (row.thing.label, row.thing.url) == (f"{key[:8]}…", "")
    assert row.changes[0].after == "new-name"


def test_personal_values_are_not_shown(people: People) -> None:
    save_row(people.alice, changes={"email": "very-new@example.com"}, actor=people.erin)

    page = text_of(browser(people.erin))

    assert "very-new" not in page
    assert "(not shown)" in page


def test_what_somebody_typed_is_text(people: People) -> None:
    told(people.branch, reason="<script>alert(1)</script>", after={"<b>": "<img src=x>"}, action="<i>")

    page = text_of(browser(people.alice))

    assert "<script>alert" not in page
    assert "<img src" not in page
    assert "<i>" not in page


# Narrowed.


def test_filters_narrow_alone_and_together(people: People) -> None:
    alice, bob = people.alice, people.bob
    cart = make_cart(branch=people.branch)
    first, second = told(people.branch, actor=alice), told(cart, actor=bob, action="unlock sent")
    client = browser(people.erin)

    assert rows_of(client, who=bob.email.upper()) == [second]
    assert rows_of(client, who="ali") == [first]
    assert rows_of(client, who=alice.pk) == [first]
    assert rows_of(client, action="unlock sent") == [second]
    assert rows_of(client, kind="tenants.branch") == [first]
    assert rows_of(client, thing=cart.pk) == [second]
    assert rows_of(client, thing=str(cart.pk).upper().replace("-", "")) == [second]
    assert rows_of(client, place=f"chain:{people.chain.pk}") == [second, first]
    assert rows_of(client, place=f"chain:{people.chain.pk}", who=bob.pk, action="unlock sent") == [second]
    assert rows_of(client, place=f"branch:{people.strange_branch.pk}") == []
    assert rows_of(client, who="nobody@example.com") == []


def test_people_are_looked_for_only_among_those_the_asker_sees(people: People) -> None:
    by_erin = told(people.branch, actor=people.erin)
    by_alice = told(people.branch, actor=people.alice)
    bob = browser(people.bob)

    assert rows_of(bob) == [by_alice, by_erin]
    assert (rows_of(bob, who="Erin"), rows_of(bob, who=people.erin.email)) == ([], [])
    assert rows_of(bob, who="Ali") == rows_of(bob, who=people.alice.email) == [by_alice]


def test_address_of_somebody_masked_is_not_confirmed(people: People) -> None:
    nameless = make_user(email="someone.long@example.com", name="")
    make_grant(user=nameless, role="customer", branch=people.branch)
    number = told(people.branch, actor=nameless)

    assert rows_of(browser(people.alice), who="someone.long@example.com") == []
    assert rows_of(browser(people.bob), who="someone.long@example.com") == [number]


def test_who_was_really_there_is_found_too(people: People) -> None:
    with audit.origin(audit.Origin(behind=people.erin.pk)):
        number = told(people.branch, actor=people.alice)

    assert rows_of(browser(people.bob), who=people.erin.pk) == [number]


def test_days_are_whole_and_both_included(people: People) -> None:
    numbers = []
    for at in ("2026-03-01T00:00:00", "2026-03-02T23:59:59", "2026-03-03T00:00:00"):
        numbers.append(told(people.branch))
        AuditEntry.objects.filter(pk=numbers[-1]).update(at=datetime.fromisoformat(at).replace(tzinfo=UTC))
    client = browser(people.alice)

    assert rows_of(client, since="2026-03-01", until="2026-03-02") == numbers[1::-1]
    assert rows_of(client, since="2026-03-03") == [numbers[2]]


@pytest.mark.parametrize(
    "narrowed",
    [
        {"place": "x"},
        {"since": "2026-13-45"},
        {"until": "9999-12-31"},
        {"before": "x"},
        {"before": "9" * 40},
        {"kind": "no.kind"},
        {"before": "²"},
    ],
    ids=str,
)
def test_nonsense_in_the_address_breaks_nothing(people: People, narrowed: dict[str, str]) -> None:
    told(people.branch)

    assert browser(people.alice).get(PAGE, narrowed).status_code == 200


def test_pages_follow_each_other_without_a_gap_and_keep_the_filter(people: People) -> None:
    numbers = [told(people.branch, actor=people.alice) for _ in range(2 * pages.PAGE + 1)][::-1]
    told(people.branch, actor=people.bob)
    client, seen, query = browser(people.alice), [], f"who={people.alice.pk}"

    for _ in range(4):
        response = client.get(f"{PAGE}?{query}")
        seen += [row.entry.pk for row in response.context["rows"]]
        query = response.context["older"]
        if not query:
            break

    assert seen == numbers


def test_page_with_fifty_entries_costs_what_one_costs(people: People) -> None:
    client, cart = browser(people.bob), make_cart(branch=people.branch)
    costs = []
    for count in (1, pages.PAGE - 1):
        for _ in range(count):
            put = told(cart, actor=make_user(name="Somebody"), before={"condition": "ok"}, reason="x")
        client.get(PAGE)
        with CaptureQueriesContext(connection) as queries:
            assert put in [row.entry.pk for row in client.get(PAGE).context["rows"]]
        costs.append(len(queries))

    assert costs[0] == costs[1]
    assert costs[0] <= 14


def test_empty_audit_says_so(people: People) -> None:
    client = browser(people.alice)

    assert "Nothing was done yet" in text_of(client)
    assert "Nothing fits" in text_of(client, who="nobody@example.com")


# Taken away.


def test_export_holds_what_the_page_shows_and_is_told(people: People, theirs: int) -> None:
    told(people.branch, actor=people.alice, reason="=cmd|' /c calc'!A0")
    told(people.branch, actor="clock")
    client = browser(people.bob)

    table = csv_of(client.post(f"{EXPORT}?who={people.alice.pk}", {"format": "csv"}))

    assert table[0][:3] == ["Time (UTC)", "Who", "Kind of actor"]
    [row] = table[1:]
    assert (row[1], row[8], row[9], row[11], row[14]) == (
        "Alice",
        "Branch",
        "Our branch",
        "Our branch",
        "'=cmd|' /c calc'!A0",
    )
    entry = AuditEntry.objects.latest("pk")
    assert (entry.action, entry.actor_id, entry.chain_id) == ("audit exported", people.bob.pk, people.chain.pk)
    assert entry.after == {"format": "csv", "filter": {"who": str(people.alice.pk)}}


@pytest.mark.parametrize("field", ["who", "thing", "kind", "place"])
@pytest.mark.parametrize("typed", ["Alice", "ALICE@example.com", "052-1234567", "clock"])
def test_export_does_not_keep_whom_it_was_narrowed_to(people: People, field: str, typed: str) -> None:
    told(people.branch, actor=people.alice)

    browser(people.bob).post(f"{EXPORT}?{field}={typed}&action=created", {"format": "csv"})

    assert AuditEntry.objects.latest("pk").after == {"format": "csv", "filter": {"action": "created"}}


def test_export_as_a_workbook_holds_the_same(people: People) -> None:
    told(people.branch, actor=people.alice)
    client = browser(people.bob)

    book = load_workbook(io.BytesIO(b"".join(client.post(EXPORT, {"format": "xlsx"}))))

    rows = [[cell.value for cell in row] for row in book.active.iter_rows()]
    assert [row[1] for row in rows] == ["Who", "Bob", "Alice"]


def test_export_ends_at_its_bound(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(5):
        told(people.branch)
    monkeypatch.setattr("core.exports.newest_first.__kwdefaults__", {"most": 3})

    assert len(csv_of(browser(people.alice).post(EXPORT, {"format": "csv"}))) == 4


def test_export_is_asked_for_with_post_in_a_known_format(people: People) -> None:
    client = browser(people.alice)

    assert client.get(EXPORT).status_code == 405
    assert client.post(EXPORT, {"format": "exe"}).status_code == 400
    assert not AuditEntry.objects.exists()


# Over REST.


def test_rest_lists_the_same_entries_by_cursor(people: People, theirs: int) -> None:
    numbers = [told(people.branch, actor=people.alice) for _ in range(5)][::-1]
    client, seen, url = client_of(people.bob), [], f"{REST}?page_size=2"

    while url:
        body = client.get(url).json()
        seen += [row["id"] for row in body["results"]]
        url = body["next"]

    assert seen == numbers
    assert body["results"][0]["actor_id"] == str(people.alice.pk)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"place": "x"}, "place"),
        ({"since": "2026-13-45"}, "since"),
        ({"until": "9999-12-31"}, "until"),
        ({"who": "x" * 101}, "who"),
    ],
)
def test_rest_says_what_is_wrong_with_a_filter(people: People, query: dict[str, str], field: str) -> None:
    assert field in problem(client_of(people.bob).get(REST, query), 400)


def test_rest_with_a_cursor_of_somebody_elses_making_is_refused(people: People) -> None:
    problem(client_of(people.bob).get(REST, {"cursor": "x"}), 404)


def test_audit_can_be_read_for_as_long_as_the_right_lasts(people: People) -> None:
    told(people.branch)
    client = browser(people.alice)
    assert client.get(PAGE).status_code == 200

    people.alice.grants.update(expires_at=timezone.now() - timedelta(seconds=1))
    access.rights_changed(people.alice.pk)

    assert client.get(PAGE).status_code in (302, 404)


def test_older_keeps_only_known_parts_of_the_address(people: People) -> None:
    for _ in range(pages.PAGE + 1):
        told(people.branch)

    older = browser(people.alice).get(PAGE, {"action": "tried", "evil": str(uuid4())}).context["older"]

    assert set(parse_qs(urlsplit(f"?{older}").query)) == {"action", "before"}
