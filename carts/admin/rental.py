"""Rentals."""

from django import forms
from django.contrib import admin
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminTextInputWidget

from carts.admin.labels import RENTAL_LABELS
from carts.enums import RUNNING_RENTALS
from carts.models import Rental
from carts.services import close_rental
from core.admin.base import ReadOnlyAdmin, Section
from core.admin.buttons import Button, Press
from core.admin.links import object_link, state_column


class ReasonForm(forms.Form):
    """Why staff end a rental."""

    reason = forms.CharField(label=_("Why do you end it?"), max_length=200, widget=UnfoldAdminTextInputWidget())


def _close(press: Press) -> None:
    close_rental(rental=press.thing, reason=press.data["reason"], actor=press.actor)


@admin.register(Rental)
class RentalAdmin(ReadOnlyAdmin):
    """Who has which cart, and had. Locks begin and end rentals; staff end those the locks don't."""

    resource = "rentals"
    section, place, icon = Section.CARTS, 20, "receipt_long"
    list_display = (
        "created_at",
        "cart",
        "branch",
        "renter",
        "status_label",
        "start_time",
        "expected_return",
        "actual_return",
    )
    list_filter = ("status", "created_at", "branch", "cart", "customer")
    list_select_related = ("cart", "branch", "customer")
    search_fields = ("customer__phone", "customer__email", "branch__code", "=cart__cart_number")
    contact_lookups = ("customer__phone", "customer__email")
    name_related = ("cart", "branch", "customer")
    ordering = ("-created_at",)
    fieldsets = (
        (None, {"fields": (("cart", "branch"), ("renter", "status_label"))}),
        (_("Times"), {"fields": (("created_at", "start_time"), ("expected_return", "actual_return"))}),
        (_("What happened"), {"fields": ("unlock_command", "end_reason", "notes")}),
    )
    readonly_fields = ("renter", "status_label")
    buttons = (
        Button(
            name="close",
            label=_("Close with a reason"),
            permission="rentals:close",
            run=_close,
            icon="assignment_turned_in",
            variant="danger",
            form=ReasonForm,
            question=_("The rental ends now. When the lock does not hold the cart, the cart waits to be looked after."),
            done=_("The rental is closed."),
            bulk=True,
            when=lambda rental: rental.status in RUNNING_RENTALS,
        ),
    )

    def describe(self, obj: Rental) -> str:
        return " · ".join(str(part) for part in (obj, obj.branch.name, obj.customer and obj.customer.masked) if part)

    @admin.display(description=_("customer"), ordering="customer")
    def renter(self, rental: Rental) -> str:
        """Without the name: whoever looks at rentals need not be one who looks at people."""
        return object_link(rental.customer, rental.customer and rental.customer.masked)

    @state_column(description=_("status"), ordering="status", labels=RENTAL_LABELS)
    def status_label(self, rental: Rental) -> tuple[str, str]:
        return rental.status, rental.get_status_display()
