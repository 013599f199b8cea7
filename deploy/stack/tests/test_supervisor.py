"""Order of start and stop, what happens to a child that dies, and to all of them when the supervisor does."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.stack import process
from deploy.stack.layout import ROOT
from deploy.stack.process import Process
from deploy.stack.supervisor import StartFailed, Supervisor
from deploy.stack.tests.conftest import SLEEPER, python_service, wait_until

# Writes its name when it starts and when it is told to stop.
DIARIST = """
import signal, sys, time
def note(word):
    with open({diary!r}, "a") as diary: diary.write(word + " {name}\\n")
def stop(*_):
    note("stop"); sys.exit()
signal.signal(signal.SIGTERM, stop)
note("start")
open({ready!r}, "w").close()
time.sleep(600)
"""


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return not state.exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"


def test_stages_start_in_order_and_stop_in_reverse(supervisor: Supervisor, folder: Path) -> None:
    diary = folder / "diary"
    for name in ("first", "second", "third"):
        ready = folder / f"{name}.ready"
        code = DIARIST.format(diary=str(diary), name=name, ready=str(ready))
        supervisor.start(python_service(name, code, ready_file=ready))

    supervisor.stop()

    assert diary.read_text().split("\n")[:-1] == [
        "start first", "start second", "start third", "stop third", "stop second", "stop first",
    ]  # fmt: skip


def test_start_waits_until_the_service_is_ready(supervisor: Supervisor, folder: Path) -> None:
    answers = iter([False, False, True])

    supervisor.start(python_service("slow", SLEEPER, ready=lambda: next(answers)))

    assert next(answers, None) is None


def test_start_of_a_service_that_ends_tells_why(supervisor: Supervisor) -> None:
    with pytest.raises(StartFailed, match=r"broken ended \(code 3\)(.|\n)*no such table"):
        supervisor.start(
            python_service("broken", "import sys; print('no such table'); sys.exit(3)", ready=lambda: False)
        )


def test_start_of_a_service_that_stays_silent_fails(supervisor: Supervisor) -> None:
    with pytest.raises(StartFailed, match="mute is not ready in time"):
        supervisor.start(python_service("mute", SLEEPER, ready=lambda: False, ready_within=0.2))


def test_step_that_fails_tells_why(supervisor: Supervisor) -> None:
    with pytest.raises(StartFailed, match=r"migrate ended \(code 1\)(.|\n)*ZeroDivisionError"):
        supervisor.start(python_service("migrate", "1 / 0", once=True))


def test_step_is_waited_for_and_not_repeated(supervisor: Supervisor, folder: Path) -> None:
    count = folder / "count"
    code = f"import time; time.sleep(0.2); open({str(count)!r}, 'a').write('once ')"

    supervisor.start(python_service("migrate", code, once=True))
    supervisor.tend()

    assert count.read_text() == "once "


def test_dead_child_is_started_again(supervisor: Supervisor, said: list[str]) -> None:
    supervisor.start(python_service("mortal", SLEEPER))
    first = supervisor.pids["mortal"]

    os.kill(first, signal.SIGKILL)
    wait_until(lambda: supervisor.pids["mortal"] != first, doing=supervisor.tend)

    assert alive(supervisor.pids["mortal"])
    assert [line for line in said if "mortal ended (SIGKILL), again in 0.5 s" in line]


def test_child_that_keeps_dying_is_given_growing_pauses(supervisor: Supervisor, said: list[str]) -> None:
    supervisor.start(python_service("hopeless", "raise SystemExit(1)"))

    wait_until(lambda: len([line for line in said if "again in" in line]) == 3, doing=supervisor.tend)

    assert [line.split("again in ")[1].split(" s;")[0] for line in said if "again in" in line] == ["0.5", "1", "2"]


def test_deaf_child_is_killed_in_the_end(supervisor: Supervisor, folder: Path, said: list[str]) -> None:
    ready = folder / "deaf.ready"
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    code += f"open({str(ready)!r}, 'w').close(); time.sleep(600)"
    supervisor.start(python_service("deaf", code, ready_file=ready, stop_within=0.3))
    pid = supervisor.pids["deaf"]

    supervisor.stop()

    assert not alive(pid)
    assert said[-1] == "deaf did not stop in time and is killed"


def test_stop_leaves_no_grandchildren(supervisor: Supervisor, folder: Path) -> None:
    note = folder / "grandchild"
    code = f"import subprocess, sys, time\nchild = subprocess.Popen([sys.executable, '-c', {SLEEPER!r}])\n"
    code += f"open({str(note)!r} + '.part', 'w').write(str(child.pid))\n"
    code += f"import os; os.replace({str(note)!r} + '.part', {str(note)!r}); time.sleep(600)"
    supervisor.start(python_service("parent", code, ready_file=note))
    grandchild = int(note.read_text())

    supervisor.stop()

    wait_until(lambda: not alive(grandchild))


OWNER = """
import sys
from pathlib import Path
from deploy.stack.supervisor import Supervisor
from deploy.stack.tests.conftest import SLEEPER, python_service
supervisor = Supervisor(Path(sys.argv[1]), say=lambda line: None)
supervisor.take_signals()
supervisor.start(python_service("a", SLEEPER), python_service("b", SLEEPER))
print(*supervisor.pids.values(), flush=True)
supervisor.watch()
supervisor.stop()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_no_orphans_when_the_supervisor_ends(folder: Path, number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(folder)], cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as owner:
        assert owner.stdout is not None
        pids = [int(pid) for pid in owner.stdout.readline().split()]
        assert len(pids) == 2
        assert all(map(alive, pids))

        owner.send_signal(number)

        wait_until(lambda: not any(map(alive, pids)))
        assert owner.wait(10) == (-number if number == signal.SIGKILL else 0)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
def test_orphans_stay_without_the_parent_death_signal(folder: Path) -> None:
    """The control beside the test above: with the safeguard taken out, it would catch the orphans."""
    seeded = "import deploy.stack.process\ndeploy.stack.process._libc = None\n" + OWNER
    with subprocess.Popen(
        [sys.executable, "-c", seeded, str(folder)], cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as owner:
        assert owner.stdout is not None
        pids = [int(pid) for pid in owner.stdout.readline().split()]

        owner.kill()
        owner.wait(10)

        assert all(map(alive, pids))
        for pid in pids:
            os.kill(pid, signal.SIGKILL)


def test_log_is_bounded(supervisor: Supervisor, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "LOG_LIMIT_BYTES", 1000)
    supervisor.start(python_service("chatty", f"print('x' * 5000, flush=True); {SLEEPER}"))
    log = folder / "chatty.log"
    wait_until(lambda: log.stat().st_size > 5000)

    supervisor.tend()

    assert log.stat().st_size == 0
    assert (folder / "chatty.log.1").stat().st_size > 5000


def test_old_ready_file_proves_nothing(folder: Path) -> None:
    ready = folder / "ready"
    ready.touch()
    child = Process(python_service("late", SLEEPER, ready_file=ready), folder / "late.log")

    child.start()
    try:
        assert not child.is_ready()
    finally:
        child.kill_group()
