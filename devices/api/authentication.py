"""Bearer tokens of devices."""

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from devices.models import Device
from devices.services.tokens import device_of_token
from tenants.api.authentication import bearer_token


class DevicePrincipal:
    """A device as the one who asks: signed in, but nobody of our people."""

    is_authenticated = True
    is_active = True
    pk = None

    def __init__(self, device: Device) -> None:
        self.device = device


class DeviceAuthentication(BaseAuthentication):
    """A device's own token."""

    def authenticate(self, request: Request) -> tuple[DevicePrincipal, str] | None:
        token = bearer_token(request)
        if token is None:
            return None
        device = device_of_token(token)
        if device is None:
            raise AuthenticationFailed
        return DevicePrincipal(device), token

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


class IsDevice(BasePermission):
    """Only a device; and where the address names one, only itself."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        device = getattr(request.user, "device", None)
        named = view.kwargs.get("device_id")
        return device is not None and (named is None or named == device.pk)


class DeviceScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """Names the scheme in the OpenAPI document."""

    target_class = DeviceAuthentication
    name = "deviceToken"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
