from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from tenants.enums import RoleCode
from tenants.models import Branch, Chain
from tenants.tests.api import client_of, problem
from tenants.tests.factories import People, make_branch, make_chain, make_grant, make_user

pytestmark = pytest.mark.django_db


def names(response: Any) -> list[str]:
    assert response.status_code == 200, response.content
    return [row["name"] for row in response.json()["results"]]


def write(client: Client, method: str, path: str, body: object) -> Any:
    return getattr(client, method)(path, body, content_type="application/json")


def new_branch(chain: Chain, **changes: object) -> dict[str, object]:
    return {"chain_id": str(chain.pk), "code": "NEW-1", "name": "New", **changes}


@pytest.mark.parametrize(
    ("who", "chains", "branches"),
    [
        ("erin", ["Ours", "Theirs"], ["Our branch", "Their branch"]),
        ("bob", ["Ours"], ["Our branch"]),
        ("charlie", ["Theirs"], ["Their branch"]),
        ("alice", [], ["Our branch"]),
        ("dora", [], []),
    ],
)
def test_lists_hold_what_is_ones_own(people: People, who: str, chains: list[str], branches: list[str]) -> None:
    client = client_of(getattr(people, who))

    assert names(client.get("/api/chains")) == chains
    assert names(client.get("/api/branches")) == branches


def test_customer_sees_the_branches_they_rented_at(people: People) -> None:
    make_grant(user=people.dora, role=RoleCode.CUSTOMER, branch=people.branch)

    assert names(client_of(people.dora).get("/api/branches")) == ["Our branch"]


@pytest.mark.parametrize("kind", ["chains", "branches"])
def test_strangers_thing_answers_as_one_that_never_was(people: People, kind: str) -> None:
    client = client_of(people.bob)
    strange = {"chains": people.strange_chain, "branches": people.strange_branch}[kind].pk

    def answers(pk: object) -> list[tuple[int, object]]:
        found = [client.get(f"/api/{kind}/{pk}")]
        if kind == "chains":
            found += [write(client, "put", f"/api/chains/{pk}", {"name": "X", "slug": "x"})]
            found += [client.delete(f"/api/chains/{pk}")]
        for response in found:
            problem(response, 404)
        return [(each.status_code, {**each.json(), "request_id": ""}) for each in found]

    assert answers(strange) == answers(uuid4())
    assert Chain.objects.get(pk=people.strange_chain.pk).name == "Theirs"


def test_strangers_thing_is_not_reached_through_filters(people: People) -> None:
    client = client_of(people.bob)

    assert names(client.get("/api/chains", {"slug": people.strange_chain.slug})) == []
    assert names(client.get("/api/branches", {"code": people.strange_branch.code})) == []
    assert names(client.get("/api/branches", {"chain": str(people.strange_chain.pk)})) == []
    assert names(client.get("/api/branches", {"chain": str(uuid4())})) == []


def test_lists_are_filtered(people: People) -> None:
    make_branch(chain=people.chain, name="Closed", active=False, city="Haifa")
    client = client_of(people.erin)

    assert names(client.get("/api/branches", {"chain": str(people.chain.pk)})) == ["Closed", "Our branch"]
    assert names(client.get("/api/branches", {"active": "false"})) == ["Closed"]
    assert names(client.get("/api/branches", {"city": "Haifa"})) == ["Closed"]
    assert names(client.get("/api/branches", {"code": people.branch.code})) == ["Our branch"]
    assert names(client.get("/api/chains", {"slug": people.chain.slug})) == ["Ours"]


@pytest.mark.parametrize("query", ["chain=x", "active=maybe&chain=x"])
def test_filter_that_makes_no_sense_is_refused(people: People, query: str) -> None:
    assert "chain" in problem(client_of(people.erin).get(f"/api/branches?{query}"), 400)


def test_lists_come_in_pages(people: People) -> None:
    for number in range(4):
        make_chain(name=f"Z{number}")
    client = client_of(people.erin)

    first = client.get("/api/chains", {"page_size": 4}).json()
    second = client.get(first["next"]).json()

    assert (first["count"], first["previous"], second["next"]) == (6, None, None)
    assert [row["name"] for row in first["results"] + second["results"]] == ["Ours", "Theirs", "Z0", "Z1", "Z2", "Z3"]
    assert len(client.get("/api/chains", {"page_size": 100_000}).json()["results"]) == 6


@pytest.mark.parametrize("page", ["0", "99", "-1", "x"])
def test_page_that_is_not_there_is_not_found(people: People, page: str) -> None:
    problem(client_of(people.erin).get(f"/api/chains?page={page}"), 404)


@pytest.mark.parametrize("path", ["/api/chains", "/api/branches", "/api/branches?active=true"])
@pytest.mark.parametrize("who", ["erin", "bob"])
def test_lists_cost_the_same_with_one_row_and_with_three(people: People, path: str, who: str) -> None:
    client = client_of(getattr(people, who))

    def cost() -> int:
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert client.get(path).status_code == 200
        return len(queries)

    few = cost()
    for _ in range(2):
        make_branch(chain=people.chain)
        make_branch()

    assert cost() == few
    assert few <= 4


def test_manager_creates_reads_changes_and_deletes_a_chain(people: People) -> None:
    client = client_of(people.erin)

    made = write(client, "post", "/api/chains", {"name": "New", "slug": "new"})
    path = f"/api/chains/{made.json()['id']}"
    renamed = write(client, "put", path, {"name": "Newer", "slug": "newer", "active": False})
    changed = write(client, "put", path, {"name": "Newer", "slug": "new", "active": False})
    read = client.get(path)
    deleted = client.delete(path)

    assert (made.status_code, made.json()["active"]) == (201, True)
    assert (changed.status_code, changed.json()) == (200, read.json())
    assert (read.json()["name"], read.json()["slug"], read.json()["active"]) == ("Newer", "new", False)
    problem(renamed, 403)  # a level of every topic its devices were told
    assert (deleted.status_code, client.get(path).status_code) == (204, 404)


@pytest.mark.parametrize("role", [RoleCode.TECHNICAL, RoleCode.SUPPORT, "bob"])
def test_chain_is_seen_but_not_touched_without_the_right(people: People, role: str) -> None:
    user = people.bob if role == "bob" else make_user()
    if role != "bob":
        make_grant(user=user, role=role)
    client, path = client_of(user), f"/api/chains/{people.chain.pk}"

    assert client.get(path).status_code == 200
    problem(write(client, "post", "/api/chains", {"name": "New", "slug": "new"}), 403)
    problem(write(client, "put", path, {"name": "New", "slug": "new"}), 403)
    problem(client.delete(path), 403)
    assert sorted(Chain.objects.values_list("name", flat=True)) == ["Ours", "Theirs"]


def test_chain_with_branches_is_not_deleted(people: People) -> None:
    problem(client_of(people.erin).delete(f"/api/chains/{people.chain.pk}"), 409)

    assert Chain.objects.filter(pk=people.chain.pk).exists()


def test_chain_is_replaced_whole_or_not_at_all(people: People) -> None:
    client, path = client_of(people.erin), f"/api/chains/{people.chain.pk}"

    assert set(problem(write(client, "put", path, {"name": "New"}), 400)) == {"slug"}
    assert client.patch(path, {"name": "New"}, content_type="application/json").status_code == 405
    assert Chain.objects.get(pk=people.chain.pk).name == "Ours"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"slug": "Not A Slug"}, "slug"),
        ({"slug": "a/b"}, "slug"),
        ({"slug": "a#"}, "slug"),
        ({"slug": ""}, "slug"),
        ({"slug": "x" * 101}, "slug"),
        ({"slug": None}, "slug"),
        ({"name": ""}, "name"),
        ({"name": "\x00"}, "name"),
        ({"name": "x" * 256}, "name"),
        ({"active": "maybe"}, "active"),
    ],
    ids=str,
)
def test_bad_chain_is_refused_and_named(people: People, changes: dict[str, object], field: str) -> None:
    body = {"name": "New", "slug": "new", **changes}

    assert set(problem(write(client_of(people.erin), "post", "/api/chains", body), 400)) == {field}
    assert Chain.objects.count() == 2


def test_taken_slug_and_code_are_named(people: People) -> None:
    client = client_of(people.erin)

    chain = write(client, "post", "/api/chains", {"name": "New", "slug": people.chain.slug})
    branch = write(client, "post", "/api/branches", new_branch(people.chain, code=people.strange_branch.code))

    assert (set(problem(chain, 400)), set(problem(branch, 400))) == ({"slug"}, {"code"})


def test_what_only_the_server_says_is_not_taken_from_a_body(people: People) -> None:
    body = {
        "name": "New",
        "slug": "new",
        "id": str(people.chain.pk),
        "approve_devices": True,
        "created_at": "2000-01-01",
    }

    made = write(client_of(people.erin), "post", "/api/chains", body).json()

    assert made["id"] != str(people.chain.pk)
    assert not made["created_at"].startswith("2000")
    assert not Chain.objects.get(pk=made["id"]).approve_devices


@pytest.mark.parametrize(
    ("who", "status"), [("erin", 201), ("bob", 201), ("charlie", 404), ("alice", 404), ("dora", 404)]
)
def test_branch_is_created_where_one_may(people: People, who: str, status: int) -> None:
    made = write(client_of(getattr(people, who)), "post", "/api/branches", new_branch(people.chain, latitude="32.0853"))

    assert made.status_code == status
    assert Branch.objects.filter(code="NEW-1").exists() is (status == 201)
    if status == 201:
        assert made.json() | {"latitude": "32.08530000", "chain_id": str(people.chain.pk)} == made.json()


def test_branch_of_a_chain_that_is_not_there_is_not_found(people: People) -> None:
    body = new_branch(people.chain, chain_id=str(uuid4()))

    problem(write(client_of(people.erin), "post", "/api/branches", body), 404)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"code": "lower"}, "code"),
        ({"code": "A/B"}, "code"),
        ({"code": "A+B"}, "code"),
        ({"latitude": "91"}, "latitude"),
        ({"longitude": "-181"}, "longitude"),
        ({"latitude": "NaN"}, "latitude"),
        ({"rental_minutes": 0}, "rental_minutes"),
        ({"rental_minutes": 10**12}, "rental_minutes"),
        ({"time_zone": "Mars/Base"}, "time_zone"),
        ({"chain_id": "x"}, "chain_id"),
        ({"chain_id": None}, "chain_id"),
        ({"name": ["New"]}, "name"),
    ],
    ids=str,
)
def test_bad_branch_is_refused_and_named(people: People, changes: dict[str, object], field: str) -> None:
    response = write(client_of(people.erin), "post", "/api/branches", new_branch(people.chain, **changes))

    assert set(problem(response, 400)) == {field}
    assert Branch.objects.count() == 2


@pytest.mark.parametrize("path", ["/api/chains/x", "/api/branches/x", "/api/chains/", "/api/branches/"])
def test_address_that_is_none_is_not_found(people: People, path: str) -> None:
    problem(client_of(people.erin).get(path), 404)
