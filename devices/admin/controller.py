"""Lock boards."""

from django.contrib import admin
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from core.admin.base import ScopedAdmin, Section
from core.admin.forms import AnyModelForm
from devices.models import Controller
from devices.services import change_controller, place_controller, remove_controller


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
        if not change:
            obj.pk = place_controller(actor=request.user, **form.cleaned_data).pk
        elif form.changed_data:
            change_controller(controller=obj, actor=request.user, **form.cleaned_data)

    def delete_model(self, request: HttpRequest, obj: Controller) -> None:
        remove_controller(controller=obj, actor=request.user)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Controller]) -> None:
        with transaction.atomic():
            for controller in queryset:
                remove_controller(controller=controller, actor=request.user)
