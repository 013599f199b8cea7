"""REST of devices: what Pis call, and what people and programs ask about them."""

from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import generics
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core.addresses import client_address
from core.errors import NotAllowed, NotFound
from devices import services
from devices.api.authentication import DeviceAuthentication, IsDevice
from devices.api.serializers import (
    ConfigOutput,
    DeviceOutput,
    DeviceStatusOutput,
    FirmwareInput,
    HeartbeatInput,
    HeartbeatOutput,
    PendingOutput,
    RegisterInput,
    RegistrationOutput,
    TelemetryOutput,
    TokenOutput,
)
from devices.models import Device, DeviceToken, TelemetryEvent
from devices.mqtt.addresses import device_root
from devices.selectors import device_config, devices_visible_to, telemetry_visible_to
from devices.services.presence import Heartbeat
from devices.services.tokens import issue_token, signed, wait_for_broker
from tenants import access
from tenants.selectors import branch_visible_to, chains_visible_to

HEARTBEAT_INTERVAL_S = 30
TELEMETRY_INTERVAL_S = 60


class RegisterView(APIView):
    """Let a Pi in (201), let it wait (202), or refuse it (403, one body for every reason)."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    @extend_schema(
        request=RegisterInput,
        responses={201: RegistrationOutput, 202: PendingOutput},
        operation_id="device_register",
        tags=["devices"],
    )
    def post(self, request: Request) -> Response:
        serializer = RegisterInput(data=request.data)
        serializer.is_valid(raise_exception=True)
        data = serializer.validated_data
        started = timezone.now()
        registration = services.register_device(
            mac_address=data["mac_address"],
            serial_number=data["serial_number"],
            branch_code=data["branch_code"],
            code=data["enrolment_code"],
            claim=data["claim"],
            address=client_address(request._request),
        )
        if registration.token is None:
            waiting = {"device_id": registration.device.pk, "status": "pending", "claim": registration.claim}
            return Response(waiting, status=202)
        wait_for_broker(registration.device, started)
        return Response(_admitted(registration.device, registration.token), status=201)


class DeviceView(APIView):
    """Base of what a device calls with its own token; the id in the address, when there is one, must be its own."""

    authentication_classes = (DeviceAuthentication,)
    permission_classes = (IsDevice,)

    @property
    def device(self) -> Device:
        """Who asks."""
        device: Device = self.request.user.device  # type: ignore[union-attr]
        return device


class HeartbeatView(DeviceView):
    """A sign of life, every 30 seconds; answers the server's clock."""

    @extend_schema(
        request=HeartbeatInput, responses={200: HeartbeatOutput}, operation_id="device_heartbeat", tags=["devices"]
    )
    def post(self, request: Request, device_id: UUID | None = None) -> Response:
        serializer = HeartbeatInput(data=request.data)
        serializer.is_valid(raise_exception=True)
        data = dict(serializer.validated_data)
        figures: dict[str, Any] = {name: data[name] for name in Heartbeat.__dataclass_fields__ if name in data}
        commands = services.record_heartbeat(device=self.device, heartbeat=Heartbeat(**figures))
        body: Any = {
            "status": "ok",
            "server_time": timezone.now(),
            "config_version": self.device.config_version,
            "commands": [
                {
                    "command_id": command.pk,
                    "type": command.type,
                    "issued_at": command.issued_at,
                    "expires_at": command.expires_at,
                    "args": command.args,
                }
                for command in commands
            ],
        }
        return Response(HeartbeatOutput(body).data)


@extend_schema_view(post=extend_schema(operation_id="heartbeat"))
class OwnHeartbeatView(HeartbeatView):
    """The same for a device that leaves its id to its token."""


class ConfigView(DeviceView):
    """What the device drives."""

    @extend_schema(responses={200: ConfigOutput}, operation_id="device_config", tags=["devices"])
    def get(self, request: Request, device_id: UUID) -> Response:
        return Response(device_config(self.device))


class TokenView(DeviceView):
    """A new token. The one used until now works for ten more minutes from the first use of the new one."""

    @extend_schema(request=None, responses={200: TokenOutput}, operation_id="device_token_rotate", tags=["devices"])
    def post(self, request: Request, device_id: UUID) -> Response:
        token = issue_token(device=self.device, shown=False)
        return Response({"device_token": signed(token), "token_expires_at": token.expires_at})


@extend_schema_view(get=extend_schema(operation_id="device_list", tags=["devices"]))
class DeviceListView(generics.ListAPIView[Device]):
    """Devices you may see."""

    serializer_class = DeviceOutput
    filterset_fields = ("branch", "branch__chain", "state", "presence__state")

    def get_queryset(self) -> QuerySet[Device]:
        return devices_visible_to(self.request.user)


@extend_schema_view(get=extend_schema(operation_id="device_detail", tags=["devices"]))
class DeviceDetailView(generics.RetrieveAPIView[Device]):
    """One device."""

    serializer_class = DeviceOutput
    lookup_url_kwarg = "device_id"

    def get_queryset(self) -> QuerySet[Device]:
        return devices_visible_to(self.request.user)


class DeviceStatusView(APIView):
    """Whether a device can be reached."""

    @extend_schema(responses={200: DeviceStatusOutput}, operation_id="device_status", tags=["devices"])
    def get(self, request: Request, device_id: UUID) -> Response:
        device = _visible_device(request, device_id)
        if not hasattr(device, "presence"):
            raise NotFound
        return Response(DeviceStatusOutput(device.presence).data)


class FirmwareView(APIView):
    """Ask a device to install a firmware; it may learn of it with a later heartbeat."""

    @extend_schema(
        request=FirmwareInput, responses={202: DeviceOutput}, operation_id="device_firmware", tags=["devices"]
    )
    def put(self, request: Request, device_id: UUID) -> Response:
        device = _visible_device(request, device_id)
        if not access.may(request.user, "devices:change", device):
            raise NotAllowed
        serializer = FirmwareInput(data=request.data)
        serializer.is_valid(raise_exception=True)
        version = serializer.validated_data["firmware_version"]
        changed = services.request_firmware(device=device, version=version, actor=request.user)
        return Response(DeviceOutput(changed).data, status=202)


class TelemetryView(generics.ListAPIView[TelemetryEvent]):
    """Telemetry of a device, a branch or a chain, newest first; `timestamp__gte` and `timestamp__lt` bound it."""

    serializer_class = TelemetryOutput
    filterset_fields = {"event_type": ["exact"], "timestamp": ["gte", "lt"]}

    def get_queryset(self) -> QuerySet[TelemetryEvent]:
        if getattr(self, "swagger_fake_view", False):
            return TelemetryEvent.objects.none()
        rows = telemetry_visible_to(self.request.user)
        if device_id := self.kwargs.get("device_id"):
            return rows.filter(device=_visible_device(self.request, device_id))
        if branch_id := self.kwargs.get("branch_id"):
            return rows.filter(branch=branch_visible_to(self.request.user, branch_id))
        chain = chains_visible_to(self.request.user).filter(pk=self.kwargs["chain_id"]).first()
        if chain is None:
            raise NotFound
        return rows.filter(branch__chain=chain)


@extend_schema_view(get=extend_schema(operation_id="telemetry_of_device", tags=["telemetry"]))
class DeviceTelemetryView(TelemetryView):
    """Telemetry of a device."""


@extend_schema_view(get=extend_schema(operation_id="telemetry_of_branch", tags=["telemetry"]))
class BranchTelemetryView(TelemetryView):
    """Telemetry of a branch."""


@extend_schema_view(get=extend_schema(operation_id="telemetry_of_chain", tags=["telemetry"]))
class ChainTelemetryView(TelemetryView):
    """Telemetry of a chain."""


def _visible_device(request: Request, device_id: UUID) -> Device:
    device = devices_visible_to(request.user).filter(pk=device_id).first()
    if device is None:
        raise NotFound
    return device


def _admitted(device: Device, token: DeviceToken) -> dict[str, Any]:
    row = Device.objects.select_related("branch__chain").get(pk=device.pk)
    body: Any = {
        "device_id": row.pk,
        "device_token": signed(token),
        "token_expires_at": token.expires_at,
        "server_time": timezone.now(),
        "heartbeat_interval_s": HEARTBEAT_INTERVAL_S,
        "telemetry_interval_s": TELEMETRY_INTERVAL_S,
        "mqtt_config": {
            "broker": settings.MQTT_PUBLIC_HOST,
            "port": settings.MQTT_PUBLIC_PORT,
            "tls": settings.MQTT_PUBLIC_TLS,
            "client_id": str(row.pk),
            "username": str(row.pk),
            "topic": device_root(row),
        },
        "config": device_config(row),
    }
    return dict(RegistrationOutput(body).data)
