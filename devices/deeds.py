"""What deeds about devices are called in the audit; see `core.audit_words`."""

from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from core.audit_words import Kind, Word, tell_deeds, tell_details, tell_kind
from devices.models import Controller, Device, EnrolmentCode

tell_deeds(
    {
        "approved": Word(_("Approved"), "ok"),
        "asked to be let in": Word(_("Asked to be let in"), "warn"),
        "cancelled": Word(_("Cancelled"), "warn"),
        "configuration sent": Word(_("Configuration sent")),
        "enrolled": Word(_("Enrolled"), "ok"),
        "firmware sent": Word(_("Firmware sent")),
        "restart sent": Word(_("Restart sent"), "warn"),
        "token renewed": Word(_("Token renewed")),
    }
)
tell_details({"mac_address": _("MAC address")})


def _device_page(device: Device) -> str:
    return f"{reverse('carts:branch-detail', args=[device.branch_id])}#devices"


def _board_name(board: Controller) -> str:
    return f"{board.device.name} {board.port} #{board.address}"


def _code_name(code: EnrolmentCode) -> str:
    return str(code.device.name if code.device else code.branch.name)


tell_kind("devices.device", Kind("devices:view", url=_device_page))
tell_kind("devices.controller", Kind("devices:view", related=("device",), name=_board_name))
tell_kind("devices.enrolmentcode", Kind("devices:view", related=("device", "branch"), name=_code_name))
tell_kind("devices.knownmac", Kind("devices:view"))
tell_kind("devices.command", Kind("devices:view", name=lambda command: str(command.type)))
