"""How a simulator starts and stops."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from simulators.tests.simulator import DEADLINE_S, ROOT, run, run_bus, wait_for


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_bus_leaves_nothing_behind_when_told_to_stop(tmp_path: Path, number: signal.Signals) -> None:
    with run_bus(tmp_path) as bench:
        assert Path(bench.link).is_symlink()
        bench.process.send_signal(number)
        assert bench.process.wait(DEADLINE_S) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["stdout.log"]


def test_sms_gateway_leaves_nothing_behind_when_told_to_stop(tmp_path: Path) -> None:
    with run("simulators.sms", tmp_path) as (process, ready):
        assert ready["http"].startswith("http://127.0.0.1:")
        process.terminate()
        assert process.wait(DEADLINE_S) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["stdout.log"]


@pytest.mark.parametrize("module", ["simulators.sms", "simulators.rs485"])
def test_simulator_ends_with_its_parent(tmp_path: Path, module: str) -> None:
    ready = tmp_path / "ready.json"
    command = [sys.executable, "-m", module, "--ready-file", str(ready), "--exit-with-parent"]
    if module.endswith("rs485"):
        command += ["--link", str(tmp_path / "bus")]
    script = "import subprocess, sys; subprocess.Popen(sys.argv[1:]); sys.stdin.read()"
    parent = subprocess.Popen(
        [sys.executable, "-c", script, *command], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    wait_for(ready.exists, "the ready file")

    parent.kill()
    parent.communicate()

    wait_for(lambda: not list(tmp_path.iterdir()), "the simulator to leave")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--board", "mystery:0"], "board is one of"),
        (["--board", "kerong-cu16:16"], "addresses 0 to 15"),
        (["--board", "8a:1:ack"], "has options"),
        (["--board", "8a:1", "--board", "kerong-cu16:1"], "given twice"),
        (["--baud", "1234"], "baud is one of"),
    ],
)
def test_bus_that_cannot_be_is_refused_with_a_reason(tmp_path: Path, arguments: list[str], reason: str) -> None:
    command = [sys.executable, "-m", "simulators.rs485", "--link", str(tmp_path / "bus"), *arguments]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE_S)
    assert (result.returncode, result.stdout) == (1, "")
    assert reason in result.stderr
    assert list(tmp_path.iterdir()) == []
