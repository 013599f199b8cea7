"""REST routes of devices and telemetry."""

from django.urls import path

from devices.api import views

urlpatterns = [
    path("devices", views.DeviceListView.as_view(), name="api-device-list"),
    path("devices/register", views.RegisterView.as_view(), name="api-device-register"),
    path("devices/heartbeat", views.OwnHeartbeatView.as_view(), name="api-heartbeat"),
    path("devices/<uuid:device_id>", views.DeviceDetailView.as_view(), name="api-device-detail"),
    path("devices/<uuid:device_id>/heartbeat", views.HeartbeatView.as_view(), name="api-device-heartbeat"),
    path("devices/<uuid:device_id>/config", views.ConfigView.as_view(), name="api-device-config"),
    path("devices/<uuid:device_id>/token", views.TokenView.as_view(), name="api-device-token"),
    path("devices/<uuid:device_id>/status", views.DeviceStatusView.as_view(), name="api-device-status"),
    path("devices/<uuid:device_id>/firmware", views.FirmwareView.as_view(), name="api-device-firmware"),
    path("telemetry/devices/<uuid:device_id>", views.DeviceTelemetryView.as_view(), name="api-device-telemetry"),
    path("telemetry/branches/<uuid:branch_id>", views.BranchTelemetryView.as_view(), name="api-branch-telemetry"),
    path("telemetry/chains/<uuid:chain_id>", views.ChainTelemetryView.as_view(), name="api-chain-telemetry"),
]
