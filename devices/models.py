"""Devices, what hangs on them, and what was said to and by them."""

from typing import ClassVar
from uuid import uuid4

from django.core.validators import MaxValueValidator, RegexValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from core.models import ActorKind
from devices.enums import OPEN_COMMANDS, CommandStatus, DeviceState, PresenceState, Protocol
from tenants.models import Branch, Chain, User

DEFAULT_PORT = "/dev/ttyUSB0"


class Device(models.Model):
    """A Raspberry Pi of a branch. It may be prepared with controllers and carts before any hardware exists."""

    actor_kind: ClassVar[str] = ActorKind.DEVICE
    chain_path: ClassVar[str] = "branch__chain"
    branch_path: ClassVar[str] = "branch"

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    branch = models.ForeignKey(Branch, on_delete=models.PROTECT, related_name="devices", verbose_name=_("branch"))
    name = models.CharField(_("name"), max_length=100)
    mac_address = models.CharField(
        _("MAC address"),
        max_length=17,
        unique=True,
        null=True,
        blank=True,
        validators=[RegexValidator(r"^([0-9A-F]{2}:){5}[0-9A-F]{2}\Z", _("Like AA:BB:CC:DD:EE:FF."))],
    )
    serial_number = models.CharField(_("serial number"), max_length=100, blank=True)
    state = models.CharField(_("state"), max_length=20, choices=DeviceState, default=DeviceState.PREPARED)
    firmware_version = models.CharField(_("firmware"), max_length=20, blank=True)
    wanted_firmware = models.CharField(_("wanted firmware"), max_length=20, blank=True)
    config_version = models.PositiveIntegerField(_("configuration version"), default=1)
    claim_hash = models.CharField(max_length=64, blank=True, help_text="Of the claim a waiting Pi asks again with.")
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    class Meta:
        verbose_name = _("device")
        verbose_name_plural = _("devices")
        ordering = ["name", "pk"]
        constraints = [models.UniqueConstraint(fields=["branch", "name"], name="device_name_once_in_branch")]

    def __str__(self) -> str:
        return self.name


class Presence(models.Model):
    """Whether a device can be reached, in a narrow row of its own because it is rewritten every 30 seconds."""

    chain_path: ClassVar[str] = "device__branch__chain"
    branch_path: ClassVar[str] = "device__branch"

    device = models.OneToOneField(
        Device, on_delete=models.CASCADE, primary_key=True, related_name="presence", verbose_name=_("device")
    )
    state = models.CharField(_("state"), max_length=10, choices=PresenceState, default=PresenceState.OFFLINE)
    connection_id = models.UUIDField(
        _("connection id"), null=True, help_text=_("Of the MQTT connection that is up; none when it is down.")
    )
    lost_connection_id = models.UUIDField(null=True, help_text="Of the last connection whose end was told.")
    connection_told_at = models.DateTimeField(null=True, help_text="Of the last word on it, by the device's clock.")
    boot_id = models.UUIDField(_("boot id"), null=True)
    connected_at = models.DateTimeField(_("connected"), null=True)
    last_heartbeat_at = models.DateTimeField(_("last heartbeat"), null=True)
    uptime_s = models.PositiveIntegerField(_("uptime (s)"), null=True)
    outbox_depth = models.PositiveIntegerField(_("messages waiting on it"), null=True)
    load_1m = models.FloatField(_("load (1 min)"), null=True)
    cpu_c = models.FloatField(_("CPU temperature (°C)"), null=True)
    disk_free_mb = models.PositiveIntegerField(_("free disk (MB)"), null=True)
    config_version = models.PositiveIntegerField(_("configuration version"), null=True)

    class Meta:
        verbose_name = _("presence")
        verbose_name_plural = _("presence")

    def __str__(self) -> str:
        return str(self.device)


class DeviceToken(models.Model):
    """A token handed to a device. The token itself is not kept: it can be signed again from this row.

    The newest token the device has shown is also its MQTT password; the one before works a little longer over REST.
    """

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    device = models.ForeignKey(Device, on_delete=models.CASCADE, related_name="tokens")
    key_id = models.CharField(max_length=40)
    issued_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    shown_at = models.DateTimeField(null=True, help_text="When the device first used it.")
    ends_at = models.DateTimeField(null=True, help_text="Earlier end: rotated or revoked.")

    def __str__(self) -> str:
        return f"token of {self.device_id}"


class BrokerAccount(models.Model):
    """What the MQTT broker was last told about a device, so that only changes are sent: a change ends its session."""

    device = models.OneToOneField(Device, on_delete=models.CASCADE, primary_key=True, related_name="broker_account")
    fingerprint = models.CharField(max_length=64)
    applied_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return f"broker account of {self.device_id}"


class EnrolmentCode(models.Model):
    """A code that lets one Pi in, once. Holds an HMAC, never the code."""

    chain_path: ClassVar[str] = "branch__chain"
    branch_path: ClassVar[str] = "branch"

    branch = models.ForeignKey(
        Branch, on_delete=models.CASCADE, related_name="enrolment_codes", verbose_name=_("branch")
    )
    device = models.ForeignKey(
        Device,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="enrolment_codes",
        help_text=_("Whoever enrols becomes this prepared device."),
        verbose_name=_("device"),
    )
    code_hmac = models.CharField(max_length=64, unique=True)
    created_by = models.ForeignKey(
        User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+", verbose_name=_("made by")
    )
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    expires_at = models.DateTimeField(_("expires"))
    used_at = models.DateTimeField(_("used"), null=True, blank=True)

    class Meta:
        verbose_name = _("enrolment code")
        verbose_name_plural = _("enrolment codes")

    def __str__(self) -> str:
        return f"code for {self.branch.code}"


class KnownMac(models.Model):
    """A MAC address a chain registered before delivery: its Pi need not wait for approval."""

    chain_path: ClassVar[str] = "chain"
    branch_path: ClassVar[str] = ""

    chain = models.ForeignKey(Chain, on_delete=models.CASCADE, related_name="known_macs", verbose_name=_("chain"))
    mac_address = models.CharField(
        _("MAC address"), max_length=17, validators=Device._meta.get_field("mac_address").validators
    )

    class Meta:
        verbose_name = _("known MAC address")
        verbose_name_plural = _("known MAC addresses")
        constraints = [models.UniqueConstraint(fields=["chain", "mac_address"], name="known_mac_once_in_chain")]

    def __str__(self) -> str:
        return self.mac_address


class Controller(models.Model):
    """A lock board on a device's RS485 bus."""

    chain_path: ClassVar[str] = "device__branch__chain"
    branch_path: ClassVar[str] = "device__branch"

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    device = models.ForeignKey(Device, on_delete=models.CASCADE, related_name="controllers", verbose_name=_("device"))
    address = models.PositiveSmallIntegerField(_("address on the bus"), validators=[MaxValueValidator(32)])
    port = models.CharField(_("port"), max_length=50, default=DEFAULT_PORT)
    baudrate = models.PositiveIntegerField(_("baud rate"), default=19200)
    protocol = models.CharField(_("protocol"), max_length=20, choices=Protocol, default=Protocol.KERONG_CU16)
    hook_closed_bit = models.PositiveSmallIntegerField(
        _("bit of a closed hook"),
        default=1,
        validators=[MaxValueValidator(1)],
        help_text=_("What the hook's bit reads when it is closed."),
    )

    class Meta:
        verbose_name = _("lock board")
        verbose_name_plural = _("lock boards")
        ordering = ["port", "address", "pk"]
        constraints = [
            models.UniqueConstraint(fields=["device", "port", "address"], name="controller_address_once_on_bus"),
            models.CheckConstraint(condition=Q(hook_closed_bit__in=(0, 1)), name="controller_bit_is_a_bit"),
        ]

    def __str__(self) -> str:
        return f"{self.device} {self.port} #{self.address}"


class Command(models.Model):
    """Something a device was told, a row before it is a message. Only the device's word or the clock advances it."""

    chain_path: ClassVar[str] = "device__branch__chain"
    branch_path: ClassVar[str] = "device__branch"

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    device = models.ForeignKey(Device, on_delete=models.CASCADE, related_name="commands", verbose_name=_("device"))
    type = models.CharField(_("type"), max_length=20)
    target_id = models.UUIDField(_("cart id"), null=True, help_text=_("The cart, for cart commands."))
    topic = models.CharField(_("topic"), max_length=256)
    args = models.JSONField(default=dict)
    connection_id = models.UUIDField(
        _("connection id"), null=True, help_text=_("The connection it is addressed to; no other may act on it.")
    )
    status = models.CharField(_("status"), max_length=10, choices=CommandStatus, default=CommandStatus.QUEUED)
    actor = models.CharField(_("done by"), max_length=80, blank=True)
    issued_at = models.DateTimeField(_("issued"))
    expires_at = models.DateTimeField(_("expires"))
    lease_until = models.DateTimeField(
        _("being sent until"), null=True, help_text=_("Until then one bridge is publishing it.")
    )
    sent_at = models.DateTimeField(null=True)
    acked_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    reason = models.CharField(_("reason"), max_length=20, blank=True)
    lock = models.CharField(_("lock"), max_length=10, blank=True)
    present = models.BooleanField(_("cart is there"), null=True)
    seq = models.BigIntegerField(_("order of the report"), null=True)
    timing_ms = models.JSONField(default=dict)
    late_result = models.JSONField(null=True, help_text="What came after the time-out; it changed nothing.")

    class Meta:
        verbose_name = _("command")
        verbose_name_plural = _("commands")
        ordering = ["-issued_at", "-pk"]
        indexes = [
            models.Index(fields=["expires_at"], condition=Q(status__in=OPEN_COMMANDS), name="command_open"),
            models.Index(fields=["-issued_at"]),
            models.Index(fields=["device", "-issued_at"]),
            models.Index(fields=["target_id", "-issued_at"]),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.id}"


class InboundMessage(models.Model):
    """A device's message as it came, once: a second one with its id is a duplicate."""

    source_id = models.UUIDField(_("source id"), help_text=_("The device or cart of the topic."))
    message_id = models.UUIDField(_("message id"))
    topic = models.CharField(_("topic"), max_length=256)
    payload = models.JSONField()
    received_at = models.DateTimeField(_("received"), db_index=True)
    rejected = models.CharField(_("rejected because"), max_length=60, blank=True, help_text=_("Why it had no effect."))

    class Meta:
        verbose_name = _("inbound message")
        verbose_name_plural = _("inbound messages")
        constraints = [models.UniqueConstraint(fields=["source_id", "message_id"], name="inbound_message_once")]

    def __str__(self) -> str:
        return f"{self.topic} {self.message_id}"


class TelemetryEvent(models.Model):
    """Something a device noticed. The table is partitioned by day (see the migration) and only ever appended to."""

    chain_path: ClassVar[str] = "branch__chain"
    branch_path: ClassVar[str] = "branch"

    id = models.BigAutoField(primary_key=True)
    device = models.ForeignKey(
        Device, on_delete=models.DO_NOTHING, related_name="telemetry", db_constraint=False, verbose_name=_("device")
    )
    branch = models.ForeignKey(
        Branch, on_delete=models.DO_NOTHING, related_name="telemetry", db_constraint=False, verbose_name=_("branch")
    )
    event_id = models.UUIDField(_("event id"))
    event_type = models.CharField(_("event type"), max_length=50)
    event_data = models.JSONField()
    timestamp = models.DateTimeField(_("noticed"))
    received_at = models.DateTimeField(_("received"))

    class Meta:
        verbose_name = _("telemetry event")
        verbose_name_plural = _("telemetry events")
        ordering = ["-timestamp", "-pk"]

    def __str__(self) -> str:
        return f"{self.event_type} at {self.timestamp:%H:%M:%S}"
