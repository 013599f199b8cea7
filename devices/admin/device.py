"""Devices."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db import transaction
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminTextInputWidget

from core.admin.base import ReadOnlyStacked, ScopedAdmin, ScopedTabular, Section
from core.admin.buttons import Button, Press, ShownOnce
from core.admin.forms import AnyModelForm
from core.admin.links import object_link, state_column
from core.admin.pages import Panel
from devices.admin.enrolment import show_new_code
from devices.admin.labels import DEVICE_LABELS, PRESENCE_LABELS
from devices.enums import DeviceState
from devices.models import Command, Controller, Device, Presence
from devices.services import (
    approve_device,
    change_controller,
    place_controller,
    prepare_device,
    remove_controller,
    rename_device,
    request_firmware,
    restart_device,
    revoke_device,
    send_config,
)

ADMITTED = (DeviceState.ACTIVE, DeviceState.PENDING)


class ReasonForm(forms.Form):
    """Why a device is shut out."""

    reason = forms.CharField(label=_("Reason"), max_length=200, widget=UnfoldAdminTextInputWidget())


class FirmwareForm(forms.Form):
    """Which firmware to install."""

    version = forms.RegexField(
        r"^[0-9A-Za-z.+-]+$", label=_("Version"), max_length=20, widget=UnfoldAdminTextInputWidget()
    )


def _enrolment_code(press: Press) -> ShownOnce:
    return show_new_code(branch=press.thing.branch, device=press.thing, actor=press.actor)


def _approve(press: Press) -> None:
    approve_device(device=press.thing, actor=press.actor)


def _revoke(press: Press) -> None:
    revoke_device(device=press.thing, actor=press.actor, reason=press.data["reason"])


def _replace_token(press: Press) -> ShownOnce:
    """Its tokens end now, and a new code lets it in again."""
    with transaction.atomic():
        revoke_device(device=press.thing, actor=press.actor, reason="token replaced")
        return _enrolment_code(press)


def _restart(press: Press) -> None:
    restart_device(device=press.thing, actor=press.actor)


def _apply_config(press: Press) -> None:
    send_config(device=press.thing, actor=press.actor)


def _install_firmware(press: Press) -> None:
    request_firmware(device=press.thing, version=press.data["version"], actor=press.actor)


def _is_active(device: Device) -> bool:
    return device.state == DeviceState.ACTIVE


class PresenceInline(ReadOnlyStacked):
    """Whether it can be reached, and its last figures."""

    resource = "devices"
    model = Presence
    fields = (
        ("state_label", "last_heartbeat_at"),
        ("connected_at", "uptime_s"),
        ("load_1m", "cpu_c"),
        ("disk_free_mb", "outbox_depth"),
        ("config_version", "connection_id"),
    )
    readonly_fields = ("state_label",)

    @state_column(description=_("state"), labels=PRESENCE_LABELS)
    def state_label(self, presence: Presence) -> tuple[str, str]:
        return presence.state, presence.get_state_display()


class PresenceFilter(admin.ChoicesFieldListFilter):
    """By presence, under a name of its own beside the device's state."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.title = _("presence")


class ControllerInline(ScopedTabular):
    """Boards on its RS485 lines."""

    resource = "devices"
    model = Controller
    fields = ("address", "port", "baudrate", "protocol", "hook_closed_bit")
    show_change_link = True


@admin.register(Device)
class DeviceAdmin(ScopedAdmin):
    """Raspberry Pis. One is prepared here with boards and carts, then enrols with a code."""

    resource = "devices"
    section, place, icon = Section.DEVICES, 10, "developer_board"
    list_display = ("name", "branch", "state_label", "presence_label", "last_seen", "firmware_version", "mac_address")
    list_filter = ("state", ("presence__state", PresenceFilter), "branch")
    list_select_related = ("branch", "presence")
    search_fields = ("name", "mac_address", "serial_number", "branch__name", "branch__code")
    name_related = ("branch",)
    autocomplete_fields = ("branch",)
    ordering = ("branch__name", "name")
    fieldsets = (
        (None, {"fields": (("branch", "name"), "state_label")}),
        (_("Hardware"), {"fields": (("mac_address", "serial_number"), ("firmware_version", "wanted_firmware"))}),
        (_("Configuration"), {"fields": (("config_version", "created_at"),)}),
    )
    add_fieldsets = ((None, {"fields": ("branch", "name")}),)
    readonly_fields = (
        "state_label",
        "mac_address",
        "serial_number",
        "firmware_version",
        "wanted_firmware",
        "config_version",
        "created_at",
    )
    fixed_fields = ("branch",)
    inlines = (PresenceInline, ControllerInline)
    actions = None
    buttons = (
        Button(
            name="approve",
            label=_("Approve"),
            permission="devices:change",
            run=_approve,
            icon="verified",
            variant="primary",
            done=_("It is let in as soon as it asks again."),
            bulk=True,
            when=lambda device: device.state == DeviceState.PENDING,
        ),
        Button(
            name="enrolment-code",
            label=_("Make an enrolment code"),
            permission="devices:change",
            run=_enrolment_code,
            icon="qr_code_2",
        ),
        Button(
            name="apply-config",
            label=_("Apply configuration"),
            permission="devices:command",
            run=_apply_config,
            icon="sync",
            done=_("It fetches its configuration, with its next heartbeat at the latest."),
            bulk=True,
            when=_is_active,
        ),
        Button(
            name="restart",
            label=_("Restart"),
            permission="devices:command",
            run=_restart,
            icon="restart_alt",
            question=_("Its locks can't be reached while it restarts, about a minute."),
            done=_("It restarts, with its next heartbeat at the latest."),
            bulk=True,
            when=_is_active,
        ),
        Button(
            name="firmware",
            label=_("Install firmware"),
            permission="devices:command",
            run=_install_firmware,
            icon="system_update",
            form=FirmwareForm,
            done=_("It installs the firmware, with its next heartbeat at the latest."),
            bulk=True,
            when=_is_active,
        ),
        Button(
            name="replace-token",
            label=_("Replace its token"),
            permission="devices:change",
            run=_replace_token,
            icon="key",
            question=_("Its token ends now, over REST and MQTT. It comes back when the new code is put in its config."),
            when=_is_active,
        ),
        Button(
            name="revoke",
            label=_("Revoke"),
            permission="devices:change",
            run=_revoke,
            icon="block",
            variant="danger",
            form=ReasonForm,
            question=_("It is shut out at once; its carts can't be rented until a device serves them again."),
            done=_("The device is shut out."),
            bulk=True,
            when=lambda device: device.state in ADMITTED,
        ),
    )

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A device with a past is revoked instead."""
        return False

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("branch__chain", "presence")

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        return super().get_inlines(request, obj) if obj else ()

    def describe(self, obj: Device) -> str:
        return f"{obj.name} · {obj.branch.name}"

    @state_column(description=_("state"), ordering="state", labels=DEVICE_LABELS)
    def state_label(self, device: Device) -> tuple[str, str]:
        return device.state, device.get_state_display()

    @state_column(description=_("presence"), ordering="presence__state", labels=PRESENCE_LABELS)
    def presence_label(self, device: Device) -> tuple[str, str] | None:
        presence = getattr(device, "presence", None)
        if presence is None or device.state != DeviceState.ACTIVE:
            return None
        return presence.state, presence.get_state_display()

    @admin.display(description=_("last heartbeat"), ordering="presence__last_heartbeat_at")
    def last_seen(self, device: Device) -> Any:
        presence = getattr(device, "presence", None)
        return presence.last_heartbeat_at if presence else None

    def get_panels(self, request: HttpRequest, obj: Device) -> list[Panel]:
        commands = Command.objects.filter(device=obj).order_by("-issued_at")[:10]
        rows = [
            [
                object_link(row, row.type),
                row.get_status_display(),
                row.reason or "–",
                f"{row.issued_at:%Y-%m-%d %H:%M:%S}",
            ]
            for row in commands
        ]
        more = f"{reverse('admin:devices_command_changelist')}?device__id__exact={obj.pk}"
        headers = (_("Command"), _("Status"), _("Reason"), _("Issued (UTC)"))
        return [Panel(title=_("Last commands"), headers=headers, rows=rows, more=more)] if rows else []

    def save_model(self, request: HttpRequest, obj: Device, form: AnyModelForm, change: bool) -> None:
        if change:
            rename_device(device=obj, actor=request.user, **form.cleaned_data)
        else:
            obj.pk = prepare_device(actor=request.user, **form.cleaned_data).pk

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        """Boards are typed, changed and ticked off in one table; presence beside it is only looked at."""
        if formset.model is not Controller:
            super().save_formset(request, form, formset, change)
            return
        formset.save(commit=False)
        for board in formset.deleted_objects:
            remove_controller(controller=board, actor=request.user)
        for board, fields in formset.changed_objects:
            change_controller(controller=board, actor=request.user, **{name: getattr(board, name) for name in fields})
        formset.new_objects = [
            place_controller(device=form.instance, actor=request.user, **_typed(board)) for board in formset.new_objects
        ]


def _typed(board: Controller) -> dict[str, Any]:
    return {name: getattr(board, name) for name in ControllerInline.fields}
