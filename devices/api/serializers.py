"""Shapes of the devices' REST."""

from datetime import datetime

from rest_framework import serializers

from devices.models import Device, Presence, TelemetryEvent

MAC = r"^([0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}\Z"


class RegisterInput(serializers.Serializer[None]):
    """A Pi that asks to be let in: with a code from the branch, or with the claim it was given while it waits."""

    mac_address = serializers.RegexField(MAC, max_length=17)
    serial_number = serializers.CharField(max_length=100, allow_blank=True, default="")
    branch_code = serializers.CharField(max_length=60)
    enrolment_code = serializers.CharField(max_length=20, allow_blank=True, default="")
    claim = serializers.CharField(max_length=100, allow_blank=True, default="")

    def validate_mac_address(self, value: str) -> str:
        """Capitals and colons."""
        return value.upper().replace("-", ":")


class MqttConfigOutput(serializers.Serializer[None]):
    """How the device reaches the broker; the password is the device token."""

    broker = serializers.CharField()
    port = serializers.IntegerField()
    tls = serializers.BooleanField()
    client_id = serializers.CharField()
    username = serializers.CharField()
    topic = serializers.CharField(help_text="The device's topics start with this.")


class ControllerOutput(serializers.Serializer[None]):
    """A lock board."""

    id = serializers.UUIDField()
    address = serializers.IntegerField()
    port = serializers.CharField()
    baudrate = serializers.IntegerField()
    protocol = serializers.CharField()
    hook_closed_bit = serializers.IntegerField()


class ConfigCartOutput(serializers.Serializer[None]):
    """A cart behind a lock."""

    id = serializers.UUIDField()
    cart_number = serializers.IntegerField()
    controller_id = serializers.UUIDField()
    locker_id = serializers.IntegerField()


class ConfigOutput(serializers.Serializer[None]):
    """What a device drives."""

    version = serializers.IntegerField()
    controllers = ControllerOutput(many=True)
    carts = ConfigCartOutput(many=True)


class RegistrationOutput(serializers.Serializer[None]):
    """An admitted device."""

    device_id = serializers.UUIDField()
    device_token = serializers.CharField()
    token_expires_at = serializers.DateTimeField()
    server_time = serializers.DateTimeField()
    heartbeat_interval_s = serializers.IntegerField()
    telemetry_interval_s = serializers.IntegerField()
    mqtt_config = MqttConfigOutput()
    config = ConfigOutput()


class PendingOutput(serializers.Serializer[None]):
    """A device that waits for a person; it asks again with `claim`."""

    device_id = serializers.UUIDField()
    status = serializers.CharField()
    claim = serializers.CharField()


class HeartbeatInput(serializers.Serializer[None]):
    """A sign of life and how the device is doing."""

    sent_at = serializers.DateTimeField()
    boot_id = serializers.UUIDField(required=False, allow_null=True)
    connection_id = serializers.UUIDField(
        required=False,
        allow_null=True,
        help_text="Of the MQTT connection that is up; null: none is. Left out: not told.",
    )
    uptime_s = serializers.IntegerField(required=False, allow_null=True, min_value=0, max_value=2_000_000_000)
    firmware_version = serializers.CharField(required=False, allow_blank=True, max_length=20, default="")
    config_version = serializers.IntegerField(required=False, allow_null=True, min_value=0, max_value=2_000_000_000)
    outbox_depth = serializers.IntegerField(required=False, allow_null=True, min_value=0, max_value=2_000_000_000)
    load_1m = serializers.FloatField(required=False, allow_null=True, min_value=0, max_value=1e6)
    cpu_c = serializers.FloatField(required=False, allow_null=True, min_value=-100, max_value=300)
    disk_free_mb = serializers.IntegerField(required=False, allow_null=True, min_value=0, max_value=2_000_000_000)


class LateCommandOutput(serializers.Serializer[None]):
    """A command that may arrive late: configuration, firmware, restart."""

    command_id = serializers.UUIDField()
    type = serializers.CharField()
    issued_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()
    args = serializers.JSONField()


class HeartbeatOutput(serializers.Serializer[None]):
    """The server's clock, which the device must know before it opens anything."""

    status = serializers.CharField()
    server_time = serializers.DateTimeField()
    config_version = serializers.IntegerField()
    commands = LateCommandOutput(many=True)


class TokenOutput(serializers.Serializer[None]):
    """A new device token; the old one works a little longer once the new one was used."""

    device_token = serializers.CharField()
    token_expires_at = serializers.DateTimeField()


class FirmwareInput(serializers.Serializer[None]):
    """The version to install."""

    firmware_version = serializers.RegexField(r"^[0-9A-Za-z][0-9A-Za-z.+-]{0,19}\Z", max_length=20)


class DeviceOutput(serializers.ModelSerializer[Device]):
    """A device as people see it; no secret in it."""

    branch_id = serializers.UUIDField()
    device_name = serializers.CharField(source="name")
    status = serializers.SerializerMethodField(help_text="online, degraded, offline or unknown")
    last_heartbeat = serializers.SerializerMethodField()

    class Meta:
        model = Device
        fields = (
            "id",
            "branch_id",
            "device_name",
            "mac_address",
            "serial_number",
            "state",
            "status",
            "last_heartbeat",
            "firmware_version",
            "wanted_firmware",
            "config_version",
            "created_at",
        )

    def get_status(self, device: Device) -> str:
        return device.presence.state if hasattr(device, "presence") else "offline"

    def get_last_heartbeat(self, device: Device) -> datetime | None:
        return device.presence.last_heartbeat_at if hasattr(device, "presence") else None


class DeviceStatusOutput(serializers.Serializer[Presence]):
    """Whether a device can be reached and how it is doing."""

    device_id = serializers.UUIDField()
    status = serializers.CharField(source="state")
    connected = serializers.SerializerMethodField()
    connected_at = serializers.DateTimeField(allow_null=True)
    last_heartbeat = serializers.DateTimeField(source="last_heartbeat_at", allow_null=True)
    uptime_s = serializers.IntegerField(allow_null=True)
    outbox_depth = serializers.IntegerField(allow_null=True)
    load_1m = serializers.FloatField(allow_null=True)
    cpu_c = serializers.FloatField(allow_null=True)
    disk_free_mb = serializers.IntegerField(allow_null=True)
    config_version = serializers.IntegerField(allow_null=True)

    def get_connected(self, presence: Presence) -> bool:
        return presence.connection_id is not None


class TelemetryOutput(serializers.ModelSerializer[TelemetryEvent]):
    """One event."""

    device_id = serializers.UUIDField()
    branch_id = serializers.UUIDField()

    class Meta:
        model = TelemetryEvent
        fields = ("event_id", "device_id", "branch_id", "event_type", "event_data", "timestamp", "received_at")
