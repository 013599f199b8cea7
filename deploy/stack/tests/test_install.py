"""The virtualenv `make` works with."""

import subprocess
import sys
from pathlib import Path

import pytest

from deploy.stack import install


def test_virtualenv_left_without_pip_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    venv = tmp_path / "a venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    monkeypatch.setattr(install, "VENV", venv)
    monkeypatch.setattr(install, "PYTHON", venv / "bin" / "python")
    monkeypatch.setattr(install, "install", lambda requirements: None)

    install.ensure_installed(install.RUN)

    assert subprocess.run([install.PYTHON, "-m", "pip", "--version"], capture_output=True).returncode == 0
