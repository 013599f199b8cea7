"""Colours of the states of devices; the word always stands beside."""

from devices.enums import CommandStatus, DeviceState, PresenceState

DEVICE_LABELS = {
    DeviceState.PREPARED.value: "info",
    DeviceState.PENDING.value: "warning",
    DeviceState.ACTIVE.value: "success",
    DeviceState.REVOKED.value: "danger",
}
PRESENCE_LABELS = {
    PresenceState.ONLINE.value: "success",
    PresenceState.DEGRADED.value: "warning",
    PresenceState.OFFLINE.value: "danger",
    PresenceState.UNKNOWN.value: "warning",
}
COMMAND_LABELS = {
    CommandStatus.QUEUED.value: "info",
    CommandStatus.SENT.value: "info",
    CommandStatus.ACKED.value: "info",
    CommandStatus.DONE.value: "success",
    CommandStatus.FAILED.value: "danger",
    CommandStatus.EXPIRED.value: "warning",
    CommandStatus.UNKNOWN.value: "warning",
    CommandStatus.CANCELLED.value: "warning",
}
