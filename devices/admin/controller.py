"""Lock boards."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from core.admin.base import ScopedAdmin, Section
from core.admin.forms import AnyModelForm
from devices.models import Controller
from devices.services import bump_config


@admin.register(Controller)
class ControllerAdmin(ScopedAdmin):
    """Boards on the RS485 lines of devices. Whatever changes here, the device fetches its configuration anew."""

    resource = "devices"
    section, place, icon = Section.DEVICES, 20, "cable"
    list_display = ("__str__", "device", "protocol", "baudrate", "hook_closed_bit")
    list_filter = ("protocol", "device")
    list_select_related = ("device",)
    search_fields = ("device__name", "port", "device__branch__name")
    name_related = ("device",)
    autocomplete_fields = ("device",)
    fieldsets = (
        (None, {"fields": ("device", ("port", "address"))}),
        (_("How it speaks"), {"fields": (("protocol", "baudrate"), "hook_closed_bit")}),
    )
    fixed_fields = ("device",)
    ordering = ("device__name", "port", "address")

    def save_model(self, request: HttpRequest, obj: Controller, form: AnyModelForm, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if form.changed_data or not change:
            bump_config(device_ids=[obj.device_id])

    def delete_model(self, request: HttpRequest, obj: Controller) -> None:
        super().delete_model(request, obj)
        bump_config(device_ids=[obj.device_id])

    def delete_queryset(self, request: HttpRequest, queryset: Any) -> None:
        devices = list(queryset.values_list("device_id", flat=True).order_by().distinct())
        super().delete_queryset(request, queryset)
        bump_config(device_ids=devices)
