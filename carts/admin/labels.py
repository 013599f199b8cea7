"""Colours of the states of carts and rentals; the word always stands beside."""

from carts.enums import CartCondition, CartStatus, LockState, RentalStatus

STATUS_LABELS = {
    CartStatus.AVAILABLE.value: "success",
    CartStatus.RESERVED.value: "warning",
    CartStatus.RENTED.value: "info",
    CartStatus.RETURNED.value: "info",
}
CONDITION_LABELS = {
    CartCondition.OK.value: "success",
    CartCondition.SUSPECT.value: "warning",
    CartCondition.MAINTENANCE.value: "danger",
}
LOCK_LABELS = {
    LockState.LOCKED.value: "success",
    LockState.UNLOCKED.value: "info",
    LockState.UNKNOWN.value: "warning",
}
RENTAL_LABELS = {
    RentalStatus.PENDING_UNLOCK.value: "warning",
    RentalStatus.ACTIVE.value: "info",
    RentalStatus.OVERDUE.value: "danger",
    RentalStatus.RETURNED.value: "success",
    RentalStatus.VOIDED.value: "warning",
    RentalStatus.CLOSED_BY_STAFF.value: "warning",
}
