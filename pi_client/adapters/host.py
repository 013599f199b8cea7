"""Figures of the machine for the heartbeat; None when it doesn't tell."""

import os
import shutil
from pathlib import Path


def load_1m() -> float:
    return round(os.getloadavg()[0], 2)


def cpu_celsius() -> float | None:
    try:
        return int(Path("/sys/class/thermal/thermal_zone0/temp").read_text("ascii")) / 1000
    except (OSError, ValueError):
        return None


def disk_free_mb(directory: Path) -> int | None:
    try:
        return shutil.disk_usage(directory).free // (1024 * 1024)
    except OSError:
        return None
