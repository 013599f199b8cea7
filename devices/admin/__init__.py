"""Devices in the admin: preparing, enrolling, watching, and what was said to and by them."""

from devices.admin import command, controller, device, enrolment, inbound_message, known_mac, presence, telemetry_event

__all__ = [
    "command",
    "controller",
    "device",
    "enrolment",
    "inbound_message",
    "known_mac",
    "presence",
    "telemetry_event",
]
