"""`config.json`: what the installer writes. Everything else comes from the cloud."""

import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

_MAC = re.compile(r"[0-9A-F]{2}(:[0-9A-F]{2}){5}")
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


class SettingsError(ValueError):
    """`config.json` is missing, unreadable or wrong; says where."""


@dataclass(frozen=True, slots=True)
class LanApiSettings:
    """Where the branch's own network may ask; the token is shared with the cloud."""

    bind: str
    port: int
    token: str


@dataclass(frozen=True, slots=True)
class Settings:
    """Durations are seconds. `port_overrides` maps a port named by the cloud to the one to open instead."""

    api_url: str
    branch_code: str
    enrolment_code: str
    mac_address: str
    serial_number: str
    state_dir: Path
    port_overrides: Mapping[str, str] = field(default_factory=dict)
    simulate: bool = False
    rs485_mode: bool = False
    poll_interval: float = 0.25
    evidence_timeout: float = 1.5
    ca_file: str | None = None
    lan_api: LanApiSettings | None = None
    log_level: str = "INFO"


def load_settings(path: Path) -> Settings:
    """Read and check `config.json`; SettingsError names the field."""
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise SettingsError(f"{path}: {error}") from error
    if not isinstance(value, dict):
        raise SettingsError(f"{path}: not an object")
    try:
        return _read(value, path)
    except KeyError as error:
        raise SettingsError(f"{path}: {error.args[0]} is missing") from error
    except (TypeError, ValueError) as error:
        raise SettingsError(f"{path}: {error}") from error


def _read(value: dict[str, Any], path: Path) -> Settings:
    api_url = str(value["api_url"]).rstrip("/")
    if urlsplit(api_url).scheme not in ("http", "https") or not urlsplit(api_url).hostname:
        raise ValueError("api_url is not an http address")
    mac = str(value.get("mac_address") or _detected_mac()).upper().replace("-", ":")
    if not _MAC.fullmatch(mac):
        raise ValueError("mac_address is not a MAC address")
    log_level = str(value.get("log_level", "INFO")).upper()
    if log_level not in _LEVELS:
        raise ValueError(f"log_level is not one of {', '.join(_LEVELS)}")
    overrides = value.get("port_overrides", {})
    if not isinstance(overrides, dict):
        raise ValueError("port_overrides is not an object")
    ca_file = str(value["ca_file"]) if value.get("ca_file") else None
    if ca_file and not Path(ca_file).is_file():
        raise ValueError("ca_file is not there")
    return Settings(
        api_url=api_url,
        branch_code=str(value["branch_code"]),
        enrolment_code=str(value.get("enrolment_code", "")),
        mac_address=mac,
        serial_number=str(value.get("serial_number") or _detected_serial()),
        state_dir=(path.parent / str(value.get("state_dir", "state"))).resolve(),
        port_overrides={str(port): str(other) for port, other in overrides.items()},
        simulate=_flag(value, "simulate"),
        rs485_mode=_flag(value, "rs485_mode"),
        poll_interval=_seconds(value, "poll_interval_s", 0.25, 0.02, 60),
        evidence_timeout=_seconds(value, "evidence_timeout_s", 1.5, 0.1, 30),
        ca_file=ca_file,
        lan_api=_lan_api(value.get("lan_api")),
        log_level=log_level,
    )


def _flag(value: Mapping[str, Any], name: str) -> bool:
    flag = value.get(name, False)
    if not isinstance(flag, bool):
        raise ValueError(f"{name} is not true or false")
    return flag


def _seconds(value: Mapping[str, Any], name: str, default: float, least: float, most: float) -> float:
    number = value.get(name, default)
    if isinstance(number, bool) or not isinstance(number, int | float) or not least <= number <= most:
        raise ValueError(f"{name} is not a number from {least} to {most}")
    return float(number)


def _lan_api(value: Any) -> LanApiSettings | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise ValueError("lan_api is not an object")
    token = str(value["token"])
    if len(token) < 16:
        raise ValueError("lan_api.token is shorter than 16 characters")
    return LanApiSettings(str(value.get("bind", "127.0.0.1")), int(value.get("port", 8480)), token)


def _detected_mac() -> str:
    number = uuid.getnode()
    # The multicast bit marks a number that Python made up because it found no interface: it changes at each start.
    if number >> 40 & 1:
        raise ValueError("mac_address can't be detected here: name it")
    return ":".join(f"{number >> shift & 0xFF:02X}" for shift in range(40, -1, -8))


def _detected_serial() -> str:
    try:
        return Path("/proc/device-tree/serial-number").read_text("ascii").strip("\0\n ")
    except (OSError, UnicodeDecodeError):
        return ""
