"""Writes of the devices app."""

from devices.services.commands import (
    cancel_command,
    expire_overdue_commands,
    forget_who_asked,
    queue_command,
    record_result,
    stop_command,
)
from devices.services.enrolment import approve_device, create_enrolment_code, register_device, revoke_device
from devices.services.presence import record_birth, record_heartbeat, record_will, sweep_presence
from devices.services.setup import (
    add_known_mac,
    bump_config,
    change_controller,
    change_known_mac,
    place_controller,
    prepare_device,
    remove_controller,
    remove_known_mac,
    rename_device,
    request_firmware,
    restart_device,
    send_config,
)
from devices.services.telemetry import store_telemetry

__all__ = [
    "add_known_mac",
    "approve_device",
    "bump_config",
    "cancel_command",
    "change_controller",
    "change_known_mac",
    "create_enrolment_code",
    "expire_overdue_commands",
    "forget_who_asked",
    "place_controller",
    "prepare_device",
    "queue_command",
    "record_birth",
    "record_heartbeat",
    "record_result",
    "record_will",
    "register_device",
    "remove_controller",
    "remove_known_mac",
    "rename_device",
    "request_firmware",
    "restart_device",
    "revoke_device",
    "send_config",
    "stop_command",
    "store_telemetry",
    "sweep_presence",
]
