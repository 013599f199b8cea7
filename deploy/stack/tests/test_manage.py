"""`make manage`: only the command's own output."""

import subprocess

import pytest

from deploy.stack.__main__ import _manage

COMMAND = ["shell", "--no-imports", "-c", "import logging; logging.getLogger('x').info('noise'); print('answer')"]


def test_manage_prints_only_the_commands_output(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LOG_LEVEL", raising=False)

    assert _manage(COMMAND, {}, {}) == 0

    assert capfd.readouterr() == ("answer\n", "")


def test_manage_logs_when_asked_to(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_LEVEL", "INFO")

    assert _manage(COMMAND, {}, {}) == 0

    output, log = capfd.readouterr()
    assert output == "answer\n"
    assert "noise" in log


@pytest.mark.parametrize(("command", "role"), [("migrate", "owner"), ("check", "application")])
def test_only_migrating_is_done_as_the_owner(monkeypatch: pytest.MonkeyPatch, command: str, role: str) -> None:
    ran: list[str] = []

    def note(*arguments: object, env: dict[str, str], **options: object) -> subprocess.CompletedProcess[str]:
        ran.append(env["DATABASE_URL"])
        return subprocess.CompletedProcess([], 0)

    monkeypatch.setattr(subprocess, "run", note)

    _manage([command], {"DATABASE_URL": "application"}, {"DATABASE_URL": "owner"})

    assert ran == [role]
