"""The control API and its page: what is shown, what is done, what is refused."""

import pytest

from simulators.tests.simulator import Bench


def test_state_shows_every_board_and_lock(bench: Bench) -> None:
    state = bench.http.get("/state").json()
    assert [(board["address"], board["kind"], len(board["locks"])) for board in state["boards"]] == [
        (0, "kerong-cu16", 16),
        (3, "kerong-cu16", 16),
        (5, "kerong-cu16", 16),
        (1, "8a", 24),
        (2, "8a", 24),
    ]
    assert state["seed"] == 7
    assert state["boards"][0]["locks"][4] == {
        "number": 4,
        "hook": "closed",
        "reads": "closed",
        "present": True,
        "jammed": False,
        "held": False,
        "firings": 0,
    }


def test_a_double_firing_is_counted_as_two(bench: Bench) -> None:
    since, before = bench.last_event(), bench.http.get("/state").json()["firings"]
    for _ in range(2):
        bench.host.send("02 04 31 03 3A")
    bench.host.ask("02 00 30 03 35", 9)
    fired = bench.events("unlock_fired", since)
    assert [(event["board"], event["lock"], event["firing"]) for event in fired] == [
        (0, 4, before + 1),
        (0, 4, before + 2),
    ]
    assert bench.lock(0, 4)["firings"] == 2


def test_cart_goes_out_and_comes_back(bench: Bench) -> None:
    bench.host.send("02 04 31 03 3A")
    bench.host.ask("02 00 30 03 35", 9)
    assert bench.move(0, 4, "pull").json()["present"] is False
    assert bench.host.ask("02 00 30 03 35", 9) == "02 00 35 EF FF EF FF 03 16"
    assert bench.move(0, 4, "push").json()["hook"] == "closed"
    assert bench.host.ask("02 00 30 03 35", 9) == "02 00 35 FF FF FF FF 03 36"


def test_cart_in_a_closed_lock_cannot_be_taken(bench: Bench) -> None:
    assert bench.move(0, 4, "pull").status_code == 409


def test_cart_pushed_into_a_jammed_lock_is_there_but_not_latched(bench: Bench) -> None:
    bench.host.send("02 04 31 03 3A")
    bench.host.ask("02 00 30 03 35", 9)
    bench.move(0, 4, "jam")
    assert bench.move(0, 4, "push").json() | {"firings": 0} == {
        "number": 4,
        "hook": "open",
        "reads": "open",
        "present": True,
        "jammed": True,
        "held": False,
        "firings": 0,
    }
    bench.move(0, 4, "free")
    assert bench.move(0, 4, "push").json()["hook"] == "closed"


def test_reset_brings_everything_home_and_the_numbers_go_on(bench: Bench) -> None:
    bench.host.send("02 04 31 03 3A")
    bench.host.ask("02 00 30 03 35", 9)
    bench.fault("dead", board=0, times=None)
    state = bench.http.post("/reset").json()
    assert state["faults"] == []
    assert bench.lock(0, 4)["hook"] == "closed"
    assert state["firings"] > 0


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/boards/9/locks/1/pull", None, 404),
        ("POST", "/boards/0/locks/16/pull", None, 404),
        ("POST", "/boards/x/locks/1/pull", None, 400),
        ("POST", "/boards/0/locks/1/explode", None, 404),
        ("POST", "/faults", b"{", 400),
        ("POST", "/faults", b"[" * 60_000, 400),
        ("POST", "/faults", b"[]", 400),
        ("POST", "/faults", b'{"kind": "gremlin"}', 400),
        ("POST", "/faults", b'{"kind": "dead", "board": 9}', 404),
        ("POST", "/faults", b'{"kind": "dead", "times": 0}', 400),
        ("POST", "/faults", b'{"kind": "dead", "times": true}', 400),
        ("POST", "/faults", b'{"kind": "dead", "probability": NaN}', 400),
        ("POST", "/faults", b'{"kind": "dead", "probability": 2}', 400),
        ("POST", "/wire-time", b'{"mode": "warp"}', 400),
        ("GET", "/log?since=-1", None, 400),
        ("GET", "/nowhere", None, 404),
        ("POST", "/faults", b" " * 70_000, 413),
    ],
)
def test_bad_input_is_refused_with_a_reason(
    bench: Bench, method: str, path: str, body: bytes | None, status: int
) -> None:
    response = bench.http.request(method, path, content=body)
    assert (response.status_code, list(response.json())) == (status, ["error"])
    assert bench.http.get("/state").json()["faults"] == []


def test_page_shows_the_bus_and_its_forms_work(bench: Bench) -> None:
    page = bench.http.get("/", headers={"Accept": "text/html"})
    assert page.headers["content-type"].startswith("text/html")
    assert 'formaction="/boards/0/locks/4/jam"' in page.text
    assert "<script" not in page.text

    form = {"kind": "no_reply", "board": "0", "lock": "", "times": "always"}
    answer = bench.http.post("/faults", data=form, headers={"Accept": "text/html"})

    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert bench.http.get("/state").json()["faults"] == [
        {"kind": "no_reply", "board": 0, "lock": None, "times": None, "probability": 1.0}
    ]
