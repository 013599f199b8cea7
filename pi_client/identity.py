"""Who this device is: what registration gave it, kept in one private file (0600) of the state directory."""

import hashlib
import json
import logging
import os
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from .ports import MqttSettings
from .site import SiteError, Topics

log = logging.getLogger(__name__)


class IdentityError(ValueError):
    """The cloud's registration answer, or the saved file, lacks what is needed."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The answer of registration. `config` is the cloud's JSON as it came; `enrolled_with` a hash of the code used."""

    device_id: UUID
    token: str = field(repr=False)
    token_expires_at: datetime | None
    mqtt: MqttSettings
    config: dict[str, Any]
    heartbeat_interval: float
    telemetry_interval: float
    enrolled_with: str

    @property
    def topics(self) -> Topics:
        return Topics.from_base(self.mqtt.topic)

    def with_token(self, answer: dict[str, Any]) -> "Identity":
        """After a rotation; IdentityError when the answer holds no token."""
        token = answer.get("device_token")
        if not isinstance(token, str) or not token:
            raise IdentityError("no device_token")
        return replace(self, token=token, token_expires_at=_time(answer.get("token_expires_at")))


def code_mark(code: str) -> str:
    """Tells a new enrolment code from the used one without keeping either."""
    return hashlib.sha256(code.encode()).hexdigest()


def read_identity(answer: dict[str, Any], *, enrolled_with: str) -> Identity:
    """Check the JSON of a registration; IdentityError names what is wrong."""
    try:
        mqtt = answer["mqtt_config"]
        identity = Identity(
            device_id=UUID(answer["device_id"]),
            token=str(answer["device_token"]),
            token_expires_at=_time(answer.get("token_expires_at")),
            mqtt=MqttSettings(
                broker=str(mqtt["broker"]),
                port=int(mqtt["port"]),
                tls=bool(mqtt.get("tls", False)),
                client_id=str(mqtt["client_id"]),
                username=str(mqtt["username"]),
                topic=str(mqtt["topic"]),
            ),
            config=dict(answer["config"]),
            heartbeat_interval=_interval(answer.get("heartbeat_interval_s", 30)),
            telemetry_interval=_interval(answer.get("telemetry_interval_s", 60)),
            enrolled_with=enrolled_with,
        )
        _ = identity.topics
    except (KeyError, TypeError, ValueError, AttributeError, SiteError) as error:
        raise IdentityError(repr(error)) from error
    return identity


def _interval(value: Any) -> float:
    return min(max(float(value), 1.0), 3600.0)


def _time(value: Any) -> datetime | None:
    if not isinstance(value, str):
        return None
    moment = datetime.fromisoformat(value)
    if moment.tzinfo is None:
        raise IdentityError("token_expires_at has no offset")
    return moment


class IdentityFile:
    """The saved identity and, before approval, the claim. A full disk is logged: what is in memory still serves."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "device.json"
        self._claim_path = directory / "claim"

    def load(self) -> Identity | None:
        """None when there is none or it can't be read (logged)."""
        try:
            value = json.loads(self._path.read_text("utf-8"))
            return read_identity(value, enrolled_with=str(value.get("enrolled_with", "")))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, AttributeError) as error:
            log.warning("saved identity %s is unusable: %s", self._path, error)
            return None

    def save(self, identity: Identity) -> None:
        expires = identity.token_expires_at
        value = {
            "device_id": str(identity.device_id),
            "device_token": identity.token,
            "token_expires_at": expires.isoformat() if expires else None,
            "mqtt_config": {
                "broker": identity.mqtt.broker,
                "port": identity.mqtt.port,
                "tls": identity.mqtt.tls,
                "client_id": identity.mqtt.client_id,
                "username": identity.mqtt.username,
                "topic": identity.mqtt.topic,
            },
            "config": identity.config,
            "heartbeat_interval_s": identity.heartbeat_interval,
            "telemetry_interval_s": identity.telemetry_interval,
            "enrolled_with": identity.enrolled_with,
        }
        self._write(self._path, json.dumps(value))

    def load_claim(self) -> str | None:
        try:
            return self._claim_path.read_text("utf-8").strip() or None
        except (OSError, UnicodeDecodeError):
            return None

    def save_claim(self, claim: str) -> None:
        self._write(self._claim_path, claim)

    def drop_claim(self) -> None:
        try:
            self._claim_path.unlink(missing_ok=True)
        except OSError as error:
            log.debug("claim not removed: %s", error)

    @staticmethod
    def _write(path: Path, text: str) -> None:
        """Whole or not at all, also when the power goes."""
        draft = path.with_suffix(".new")
        try:
            draft.unlink(missing_ok=True)
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        except OSError as error:
            log.error("%s could not be saved: %s", path, error)
