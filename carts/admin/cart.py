"""Carts."""

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminTextareaWidget

from carts.admin.labels import CONDITION_LABELS, LOCK_LABELS, STATUS_LABELS
from carts.enums import CartCondition
from carts.models import Cart
from carts.presentation import poster
from carts.services import command_cart, place_cart, put_in_maintenance, put_in_service
from core.admin.base import ScopedAdmin, Section
from core.admin.buttons import Button, Link, Press, offer
from core.admin.forms import AnyModelForm
from core.admin.links import change_url, object_link, outside_link, state_column
from core.admin.pages import Panel
from devices.models import Command
from tenants.models import Branch

offer(
    Branch,
    Link(_("Live page"), lambda branch: reverse("carts:branch-detail", args=[branch.pk]), icon="sensors"),
    Link(_("QR posters"), lambda branch: reverse("carts:branch-posters", args=[branch.pk]), icon="print"),
)

offer(
    Command,
    Link(
        _("Cart"),
        lambda command: change_url("carts.cart", command.target_id) if command.target_id else "",
        icon="shopping_cart",
    ),
)


class NoteForm(forms.Form):
    """Why a cart is taken out of the offer."""

    note = forms.CharField(
        label=_("What is wrong with it?"), max_length=200, widget=UnfoldAdminTextareaWidget(attrs={"rows": 3})
    )


def _unlock(press: Press) -> None:
    command_cart(cart=press.thing, type="unlock", actor=press.actor, idempotency_key=press.key)


def _lock(press: Press) -> None:
    command_cart(cart=press.thing, type="lock", actor=press.actor, idempotency_key=press.key)


def _maintenance(press: Press) -> None:
    put_in_maintenance(cart=press.thing, note=press.data["note"], actor=press.actor)


def _back_in_service(press: Press) -> None:
    put_in_service(cart=press.thing, actor=press.actor)


class CartForm(AnyModelForm):
    """A cart always hangs on a lock; the model allows none only for boards that were taken away."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "controller" in self.fields:
            self.fields["controller"].required = True


@admin.register(Cart)
class CartAdmin(ScopedAdmin):
    """Carts behind their locks. Where one hangs is changed here; its states change by what its lock and staff do."""

    resource = "carts"
    section, place, icon = Section.CARTS, 10, "shopping_cart"
    form = CartForm
    list_display = (
        "number",
        "branch",
        "status_label",
        "condition_label",
        "lock_label",
        "controller",
        "locker_id",
        "last_used",
    )
    list_filter = ("status", "condition", "lock_state", "branch", "controller")
    list_select_related = ("branch", "controller__device")
    search_fields = ("=cart_number", "public_code", "branch__name", "branch__code")
    name_related = ("branch",)
    autocomplete_fields = ("branch", "controller")
    ordering = ("branch__name", "cart_number")
    fieldsets = (
        (None, {"fields": (("branch", "cart_number"), "controller", "locker_id")}),
        (
            _("State"),
            {
                "fields": (
                    ("status_label", "condition_label"),
                    "maintenance_notes",
                    "present",
                    ("lock_label", "lock_reported_at"),
                )
            },
        ),
        (_("For customers"), {"fields": ("customer_page", "qr")}),
        (_("Use"), {"fields": (("last_used", "created_at"),)}),
    )
    add_fieldsets = ((None, {"fields": (("branch", "cart_number"), "controller", "locker_id")}),)
    readonly_fields = (
        "status_label",
        "condition_label",
        "maintenance_notes",
        "lock_label",
        "present",
        "lock_reported_at",
        "customer_page",
        "qr",
        "last_used",
        "created_at",
    )
    fixed_fields = ("branch", "cart_number")
    actions = None
    buttons = (
        Button(
            name="unlock",
            label=_("Unlock"),
            permission="carts:command",
            run=_unlock,
            icon="lock_open",
            variant="primary",
            done=_("Unlock sent."),
        ),
        Button(
            name="lock",
            label=_("Lock"),
            permission="carts:command",
            run=_lock,
            icon="lock",
            done=_("Lock sent."),
        ),
        Button(
            name="maintenance",
            label=_("Maintenance"),
            permission="carts:change",
            run=_maintenance,
            icon="build",
            form=NoteForm,
            question=_("It is not offered until it is back in service. A rental that runs goes on."),
            done=_("It is in maintenance."),
            bulk=True,
            when=lambda cart: cart.condition != CartCondition.MAINTENANCE,
        ),
        Button(
            name="back-in-service",
            label=_("Back in service"),
            permission="carts:change",
            run=_back_in_service,
            icon="check_circle",
            done=_("It is offered again."),
            bulk=True,
            when=lambda cart: cart.condition != CartCondition.OK,
        ),
    )
    links = (
        Link(
            _("Live page"),
            lambda cart: reverse("carts:cart-detail", args=[cart.branch_id, cart.pk]),
            icon="sensors",
        ),
    )

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Rentals tell of it; a cart that is gone stays in maintenance."""
        return False

    def describe(self, obj: Cart) -> str:
        return f"{obj} · {obj.branch.name}"

    @admin.display(description=_("cart"), ordering="cart_number")
    def number(self, cart: Cart) -> str:
        return str(cart)

    @state_column(description=_("use"), ordering="status", labels=STATUS_LABELS)
    def status_label(self, cart: Cart) -> tuple[str, str]:
        return cart.status, cart.get_status_display()

    @state_column(description=_("condition"), ordering="condition", labels=CONDITION_LABELS)
    def condition_label(self, cart: Cart) -> tuple[str, str]:
        return cart.condition, cart.get_condition_display()

    @state_column(description=_("lock"), ordering="lock_state", labels=LOCK_LABELS)
    def lock_label(self, cart: Cart) -> tuple[str, str]:
        return cart.lock_state, cart.get_lock_state_display()

    @admin.display(description=_("customer page"))
    def customer_page(self, cart: Cart) -> str:
        return outside_link(poster(cart).url, poster(cart).url)

    @admin.display(description=_("QR code"))
    def qr(self, cart: Cart) -> str:
        return format_html('<div class="bg-white inline-block rounded-default">{}</div>', poster(cart).svg)

    def get_panels(self, request: HttpRequest, obj: Cart) -> list[Panel]:
        return [panel for panel in (self._rentals(obj), self._commands(obj)) if panel.rows]

    def _rentals(self, cart: Cart) -> Panel:
        rows = [
            [
                object_link(row, row.get_status_display()),
                str(row.customer or "–"),
                _time(row.start_time),
                _time(row.actual_return),
            ]
            for row in cart.rentals.select_related("customer", "cart").order_by("-created_at")[:5]
        ]
        more = f"{reverse('admin:carts_rental_changelist')}?cart__id__exact={cart.pk}"
        headers = (_("Rental"), _("Customer"), _("From (UTC)"), _("To (UTC)"))
        return Panel(title=_("Last rentals"), headers=headers, rows=rows, more=more)

    def _commands(self, cart: Cart) -> Panel:
        rows = [
            [object_link(row, row.type), row.get_status_display(), row.reason or "–", _time(row.issued_at)]
            for row in Command.objects.filter(target_id=cart.pk).order_by("-issued_at")[:5]
        ]
        more = f"{reverse('admin:devices_command_changelist')}?q={cart.pk}"
        headers = (_("Command"), _("Status"), _("Reason"), _("Issued (UTC)"))
        return Panel(title=_("Last commands"), headers=headers, rows=rows, more=more)

    def save_model(self, request: HttpRequest, obj: Cart, form: AnyModelForm, change: bool) -> None:
        assert obj.controller is not None
        placed = place_cart(
            branch=obj.branch,
            cart_number=obj.cart_number,
            controller=obj.controller,
            locker_id=obj.locker_id,
            actor=request.user,
        )
        obj.pk = placed.pk


def _time(at: Any) -> str:
    return f"{at:%Y-%m-%d %H:%M}" if at else "–"
