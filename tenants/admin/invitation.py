"""Invitations: sent from the people pages, looked at, sent again and withdrawn here too."""

from typing import Any

from django.contrib import admin
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from core.admin.base import ReadOnlyAdmin, Section
from core.admin.buttons import Button, Press
from core.admin.links import state_column
from tenants.models import Invitation
from tenants.services.invitations import resend_invitation, withdraw_invitation
from tenants.services.people import GIVES


def _resend(press: Press) -> None:
    resend_invitation(invitation=press.thing, actor=press.actor)


def _withdraw(press: Press) -> None:
    withdraw_invitation(invitation=press.thing, actor=press.actor)


def _open(invitation: Invitation) -> bool:
    return not (invitation.accepted_at or invitation.withdrawn_at)


@admin.register(Invitation)
class InvitationAdmin(ReadOnlyAdmin):
    """Roles offered by mail."""

    resource = "grants"
    section, place, icon = Section.PEOPLE, 40, "mail"
    list_display = ("email", "role", "where", "invited_by", "created_at", "expires_at", "state")
    list_filter = ("role", "chain", "created_at")
    list_select_related = ("role", "chain", "branch", "invited_by")
    search_fields = ("email", "name")
    name_related = ("role",)
    fields = (("email", "name"), ("role", "where"), "invited_by", ("created_at", "expires_at"), "state")
    readonly_fields = ("where", "state")
    ordering = ("-created_at",)
    in_global_search = False
    buttons = (
        Button(
            name="resend",
            label=_("Send again"),
            permission=GIVES,
            run=_resend,
            icon="forward_to_inbox",
            done=_("Sent again. The link of the earlier mail does not work any more."),
            when=_open,
        ),
        Button(
            name="withdraw",
            label=_("Withdraw"),
            permission=GIVES,
            run=_withdraw,
            icon="block",
            variant="danger",
            done=_("The invitation is withdrawn. Its link does not work any more."),
            when=_open,
        ),
    )

    @admin.display(description=_("where"))
    def where(self, invitation: Invitation) -> str:
        return str(invitation.branch or invitation.chain or _("Platform"))

    @state_column(
        description=_("state"),
        labels={"waiting": "info", "accepted": "success", "withdrawn": "danger", "old": "warning"},
    )
    def state(self, invitation: Invitation) -> tuple[str, Any]:
        if invitation.accepted_at:
            return "accepted", _("Accepted")
        if invitation.withdrawn_at:
            return "withdrawn", _("Withdrawn")
        if invitation.expires_at <= timezone.now():
            return "old", _("Too old")
        return "waiting", _("Waiting")
