"""Secrets, ports, the lock and run.json of one VAR_DIR."""

import base64
import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.stack.layout import HOST, ROOT, AlreadyRunning, Layout, Ports, PortTaken, Secrets, web_socket, write_private


def test_layout_var_dir_is_relative_to_the_project(tmp_path: Path) -> None:
    assert Layout.from_environment({}).var == ROOT / "var"
    assert Layout.from_environment({"VAR_DIR": "other var"}).var == ROOT / "other var"
    assert Layout.from_environment({"VAR_DIR": str(tmp_path)}).var == tmp_path


def test_secrets_are_made_once_and_private(folder: Path) -> None:
    first = Secrets.load(folder / "secrets.json")
    second = Secrets.load(folder / "secrets.json")

    assert second == first
    assert len(set(vars(first).values())) == len(vars(first))
    assert (folder / "secrets.json").stat().st_mode & 0o777 == 0o600


def test_secrets_missing_from_an_older_file_are_added(folder: Path) -> None:
    write_private(folder / "secrets.json", json.dumps({"secret_key": "kept"}))

    loaded = Secrets.load(folder / "secrets.json")

    assert loaded.secret_key == "kept"
    assert loaded.redis_password
    assert Secrets.load(folder / "secrets.json").field_key == loaded.field_key


def test_key_of_encrypted_fields_is_one_of_aes_256(folder: Path) -> None:
    assert len(base64.b64decode(Secrets.load(folder / "secrets.json").field_key, validate=True)) == 32


def test_port_stays_the_same_while_it_is_free(folder: Path) -> None:
    port = Ports(folder / "ports.json").reserve("broker")

    assert Ports(folder / "ports.json").reserve("broker") == port


def test_port_taken_by_another_is_replaced(folder: Path) -> None:
    port = Ports(folder / "ports.json").reserve("broker")
    with socket.create_server((HOST, port)):
        assert Ports(folder / "ports.json").reserve("broker") != port


def test_web_port_is_as_asked_or_the_next_free_one() -> None:
    with web_socket({}) as first, web_socket({}) as second:
        taken, free = first.getsockname()[1], second.getsockname()[1]
        assert free > taken
        with pytest.raises(PortTaken, match="in use"):
            web_socket({"PORT": str(taken)})
    with web_socket({"PORT": str(free)}) as asked:
        assert asked.getsockname() == (HOST, free)


@pytest.mark.parametrize("wanted", ["abc", "0", "-1", "65536"])
def test_web_port_that_is_none_is_refused_in_words(wanted: str) -> None:
    with pytest.raises(PortTaken, match="not the number of a port"):
        web_socket({"PORT": wanted})


def test_lock_is_held_by_one(folder: Path) -> None:
    layout = Layout(folder)
    with layout.lock(), pytest.raises(AlreadyRunning):
        layout.lock()

    layout.lock().close()


def test_run_file_is_believed_only_while_its_supervisor_lives(folder: Path) -> None:
    layout = Layout(folder)
    write_private(layout.run_file, json.dumps({"web": "http://127.0.0.1:8000"}))
    code = "import sys; from pathlib import Path; from deploy.stack.layout import Layout\n"
    code += "held = Layout(Path(sys.argv[1])).lock(); print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(folder)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "held\n"
        assert layout.read_run() == {"web": "http://127.0.0.1:8000"}

        owner.kill()
        owner.wait(10)

        assert layout.read_run() is None
