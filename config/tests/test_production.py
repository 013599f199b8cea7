"""Production does not start on what is good enough for a desk."""

import subprocess
import sys
from pathlib import Path

import pytest

from deploy.stack.testing import outside_environment

PROJECT = Path(__file__).resolve().parents[2]
GOOD = {
    "ENVIRONMENT": "production",
    "SECRET_KEY": "k" * 20 + "-of-production-" + "x" * 30,
    "JWT_KEYS": '{"2026-11": "a-signing-key-of-at-least-thirty-two-characters"}',
    "PUBLIC_URL": "https://cartwise.example",
    "MQTT_PUBLIC_TLS": "1",
    "DATABASE_URL": "postgresql://nobody@127.0.0.1:9/none",
    "REDIS_URL": "redis://127.0.0.1:9/0",
}


def start(entry_point: str, **changes: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in {**outside_environment(), **GOOD, **changes}.items() if value}
    command = [sys.executable, "-W", "ignore", "-c", f"import config.{entry_point}"]
    return subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("entry_point", ["asgi", "wsgi"])
def test_production_starts_when_it_is_configured(entry_point: str) -> None:
    assert start(entry_point).returncode == 0, start(entry_point).stderr


@pytest.mark.parametrize("entry_point", ["asgi", "wsgi"])
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"SECRET_KEY": ""}, "SECRET_KEY is the development default"),
        ({"JWT_KEYS": '{"a": "short"}'}, "JWT_KEYS[a]"),
        ({"DEBUG": "1"}, "DEBUG is on"),
        ({"PUBLIC_URL": "http://cartwise.example"}, "PUBLIC_URL must be https"),
        ({"MQTT_PUBLIC_TLS": "0"}, "MQTT_PUBLIC_TLS"),
        ({"ENVIRONMENT": "prod"}, "ENVIRONMENT must be"),
    ],
)
def test_production_refuses_to_start_on(entry_point: str, changes: dict[str, str], reason: str) -> None:
    refused = start(entry_point, **changes)

    assert refused.returncode != 0
    assert reason in refused.stderr
