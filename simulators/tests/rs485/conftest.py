from collections.abc import Iterator
from pathlib import Path

import pytest

from simulators.tests.simulator import Bench, run_bus


@pytest.fixture(scope="package")
def zero_bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    boards = ("kerong-cu16:0", "kerong-cu16:3", "kerong-cu16:5:ack", "8a:1", "8a:2:reversed,reports")
    arguments = [word for board in boards for word in ("--board", board)]
    folder: Path = tmp_path_factory.mktemp("rs485")
    with run_bus(folder, "--wire-time", "zero", "--seed", "7", *arguments) as bench:
        yield bench


@pytest.fixture
def bench(zero_bench: Bench) -> Bench:
    """The wire takes no time; every cart is home and locked, nothing misbehaves."""
    zero_bench.http.post("/wire-time", json={"mode": "zero"}).raise_for_status()
    zero_bench.http.post("/reset").raise_for_status()
    zero_bench.host.read_until_silence()
    return zero_bench
