"""Shapes of the carts' and rentals' REST."""

from typing import Any

from django.utils.translation import gettext as _
from rest_framework import serializers

from carts.models import Cart, Rental
from tenants import access


class CartOutput(serializers.ModelSerializer[Cart]):
    """A cart. `maintenance_notes` are staff's words: blank for whoever holds no `carts:view` there."""

    branch_id = serializers.UUIDField()
    controller_id = serializers.UUIDField(allow_null=True)
    is_locked = serializers.BooleanField()

    class Meta:
        model = Cart
        fields = (
            "id",
            "branch_id",
            "cart_number",
            "controller_id",
            "locker_id",
            "status",
            "condition",
            "is_locked",
            "lock_state",
            "present",
            "last_used",
            "maintenance_notes",
        )

    def to_representation(self, cart: Cart) -> dict[str, Any]:
        data = super().to_representation(cart)
        return data if _may_in_branch(self, "carts:view", cart) else {**data, "maintenance_notes": ""}


class CartChoiceInput(serializers.Serializer[None]):
    """One cart of the branch, by its number or its id."""

    cart_number = serializers.IntegerField(required=False, min_value=0, max_value=2_147_483_647)
    cart_id = serializers.UUIDField(required=False)

    def validate(self, data: dict[str, Any]) -> dict[str, Any]:
        """Exactly one of the two."""
        if len(data) != 1:
            raise serializers.ValidationError({"cart_number": [_("Give cart_number or cart_id.")]})
        return data


class AssignedCartOutput(serializers.Serializer[None]):
    """The cart of a new rental."""

    id = serializers.UUIDField()
    cart_number = serializers.IntegerField()
    public_code = serializers.CharField()


class AssignOutput(serializers.Serializer[None]):
    """A rental that waits for its lock."""

    rental_id = serializers.UUIDField()
    status = serializers.CharField()
    cart = AssignedCartOutput()


class RentalOutput(serializers.ModelSerializer[Rental]):
    """A rental. `user_phone` is whole for the person themselves, masked for everybody else, blank once forgotten.

    `end_reason` and `notes` are for staff: blank for whoever holds no `rentals:view` there.
    """

    rental_id = serializers.UUIDField(source="id")
    branch_id = serializers.UUIDField()
    cart_id = serializers.UUIDField()
    cart_number = serializers.IntegerField(source="cart.cart_number")
    user_phone = serializers.SerializerMethodField()
    duration_minutes = serializers.IntegerField(allow_null=True)

    class Meta:
        model = Rental
        fields = (
            "rental_id",
            "branch_id",
            "cart_id",
            "cart_number",
            "user_phone",
            "status",
            "created_at",
            "start_time",
            "expected_return",
            "actual_return",
            "duration_minutes",
            "end_reason",
            "notes",
        )

    def get_user_phone(self, rental: Rental) -> str:
        request = self.context.get("request")
        if rental.customer is None:
            return ""
        own = request is not None and request.user.pk == rental.customer_id
        return (rental.customer.phone or "") if own else rental.customer.masked_phone

    def to_representation(self, rental: Rental) -> dict[str, Any]:
        data = super().to_representation(rental)
        return data if _may_in_branch(self, "rentals:view", rental) else {**data, "end_reason": "", "notes": ""}


def _may_in_branch(serializer: serializers.BaseSerializer[Any], permission: str, row: Cart | Rental) -> bool:
    """By a grant: asked of the branch, of which nobody is the owner. No query where `row` came with its branch."""
    request = serializer.context.get("request")
    return request is not None and bool(access.may(request.user, permission, row.branch))


class RentalStatsOutput(serializers.Serializer[None]):
    """Rentals by outcome; the average is of those that ended, in minutes."""

    total = serializers.IntegerField()
    active = serializers.IntegerField()
    overdue = serializers.IntegerField()
    returned = serializers.IntegerField()
    voided = serializers.IntegerField()
    closed_by_staff = serializers.IntegerField()
    average_minutes = serializers.FloatField(allow_null=True)


class CartCountsOutput(serializers.Serializer[None]):
    """Carts by state."""

    total = serializers.IntegerField()
    available = serializers.IntegerField()
    rented = serializers.IntegerField()
    suspect = serializers.IntegerField()
    maintenance = serializers.IntegerField()


class DeviceCountsOutput(serializers.Serializer[None]):
    """Devices, and how many are connected."""

    total = serializers.IntegerField()
    connected = serializers.IntegerField()


class BranchStatsOutput(serializers.Serializer[None]):
    """Figures of a branch; rentals of the last 24 hours."""

    carts = CartCountsOutput()
    devices = DeviceCountsOutput()
    rentals = RentalStatsOutput()
