"""Reads of the carts app, each from the requester."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.contrib.auth.models import AnonymousUser
from django.db.models import Avg, Count, DurationField, ExpressionWrapper, F, Q, QuerySet
from django.utils import timezone

from carts.enums import OPEN_RENTALS, RUNNING_RENTALS, CartCondition, CartStatus, LockState, RentalStatus
from carts.models import Cart, Rental
from core.errors import NotFound
from devices.enums import DeviceState
from devices.targets import LockTarget
from tenants import access
from tenants.models import Branch, User
from tenants.selectors import branches_rented_at, in_operation

Requester = User | AnonymousUser
_RENTAL_RELATIONS = ("cart", "branch__chain", "unlock_command", "customer")


def lock_targets_of_device(device_id: UUID) -> list[LockTarget]:
    """Carts behind the locks of a device."""
    rows = Cart.objects.filter(controller__device_id=device_id).order_by("cart_number")
    return [
        LockTarget(id=pk, number=number, controller_id=controller_id, locker_id=locker_id)
        for pk, number, controller_id, locker_id in rows.values_list("pk", "cart_number", "controller_id", "locker_id")
        if controller_id
    ]


def free_carts(branch_id: UUID) -> QuerySet[Cart]:
    """Carts of a branch that can be rented right now: free, healthy, latched, and their Pi is let in and reachable."""
    return Cart.objects.filter(
        Q(present__isnull=True) | Q(present=True),
        in_operation("branch"),
        branch_id=branch_id,
        status=CartStatus.AVAILABLE,
        condition=CartCondition.OK,
        controller__device__state=DeviceState.ACTIVE,
        controller__device__presence__connection_id__isnull=False,
    ).exclude(lock_state=LockState.UNLOCKED)


def next_free_cart(cart: Cart) -> Cart | None:
    """The healthy cart nearest in number to one that failed."""
    others = list(free_carts(cart.branch_id).exclude(pk=cart.pk))
    return min(others, key=lambda other: abs(other.cart_number - cart.cart_number), default=None)


def cart_of_code(public_code: str) -> Cart:
    """The cart whose QR code was scanned. Raises `NotFound`, also for closed branches."""
    rows = Cart.objects.select_related("branch__chain", "controller__device__presence")
    cart = rows.filter(in_operation("branch"), public_code=public_code).first()
    if cart is None:
        raise NotFound
    return cart


def carts_visible_to(user: Requester, branch: Branch, permission: str = "carts:view") -> QuerySet[Cart]:
    """Carts of a branch this person may see; customers of the branch see those that are free."""
    carts = Cart.objects.filter(branch=branch).select_related("branch__chain")
    seen = access.visible(user, carts, permission)
    if permission == "carts:view" and not access.may(user, permission, branch):
        free = free_carts(branch.pk).select_related("branch__chain")
        return free if branch.pk in branches_rented_at(user) else carts.none()
    return seen


def cart_visible_to(user: Requester, cart_id: UUID, permission: str = "carts:view") -> Cart:
    """One cart, or `NotFound`."""
    rows = Cart.objects.select_related("branch__chain", "controller__device__presence")
    cart = access.visible(user, rows, permission).filter(pk=cart_id).first()
    if cart is None:
        raise NotFound
    return cart


def rentals_visible_to(user: Requester, permission: str = "rentals:view") -> QuerySet[Rental]:
    """Rentals this person may see: of their branches, and their own."""
    return access.visible(user, Rental.objects.select_related(*_RENTAL_RELATIONS), permission)


def rental_visible_to(user: Requester, rental_id: UUID) -> Rental:
    """One rental, or `NotFound`."""
    rental = rentals_visible_to(user).filter(pk=rental_id).first()
    if rental is None:
        raise NotFound
    return rental


def own_rentals(user: Requester) -> QuerySet[Rental]:
    """What this person rented, newest first."""
    return Rental.objects.filter(customer_id=user.pk).select_related(*_RENTAL_RELATIONS).order_by("-created_at")


def own_open_rental(user: Requester, cart: Cart) -> Rental | None:
    """This person's open rental of this cart."""
    if not user.is_authenticated:
        return None
    return own_rentals(user).filter(cart=cart, status__in=OPEN_RENTALS).first()


def branch_stats(branch: Branch) -> dict[str, Any]:
    """Figures of a branch: carts by state, rentals of the last 24 hours. Three queries."""
    day = timezone.now() - timedelta(hours=24)
    carts = Cart.objects.filter(branch=branch).aggregate(
        total=Count("pk"),
        available=Count("pk", filter=Q(status=CartStatus.AVAILABLE, condition=CartCondition.OK)),
        rented=Count("pk", filter=Q(status=CartStatus.RENTED)),
        suspect=Count("pk", filter=Q(condition=CartCondition.SUSPECT)),
        maintenance=Count("pk", filter=Q(condition=CartCondition.MAINTENANCE)),
    )
    devices = branch.devices.aggregate(
        total=Count("pk"), connected=Count("pk", filter=Q(presence__connection_id__isnull=False))
    )
    return {"carts": carts, "devices": devices, "rentals": rental_stats(branch, day)}


def rental_stats(branch: Branch, since: Any = None) -> dict[str, Any]:
    """Rentals of a branch by outcome, and how long they took. One query."""
    rows = Rental.objects.filter(branch=branch)
    if since is not None:
        rows = rows.filter(created_at__gte=since)
    taken = ExpressionWrapper(F("actual_return") - F("start_time"), output_field=DurationField())
    found = rows.aggregate(
        total=Count("pk"),
        active=Count("pk", filter=Q(status__in=RUNNING_RENTALS)),
        overdue=Count("pk", filter=Q(status=RentalStatus.OVERDUE)),
        returned=Count("pk", filter=Q(status=RentalStatus.RETURNED)),
        voided=Count("pk", filter=Q(status=RentalStatus.VOIDED)),
        closed_by_staff=Count("pk", filter=Q(status=RentalStatus.CLOSED_BY_STAFF)),
        average=Avg(taken, filter=Q(actual_return__isnull=False)),
    )
    average = found.pop("average")
    return {**found, "average_minutes": round(average.total_seconds() / 60, 1) if average else None}


def open_rentals(branch: Branch) -> QuerySet[Rental]:
    """Rentals that run in a branch the requester was already let into, longest first."""
    rows = Rental.objects.filter(branch=branch, status__in=OPEN_RENTALS).select_related("cart", "customer", "branch")
    return rows.order_by("created_at")
