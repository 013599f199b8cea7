"""What rentals tell about people: nothing once the chain has kept it long enough, and not gone while one runs."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Coalesce
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from carts.enums import OPEN_RENTALS, CartStatus
from carts.models import Rental
from core.models import StateChange
from core.privacy import NotErasable
from core.transitions import forget_actors
from devices.services import forget_who_asked
from tenants.models import Chain, User
from tenants.services import forget_customer

BATCH = 200
MOST_BATCHES = 250  # a run; the next day goes on


class RentalRuns(NotErasable):
    """A cart is out in this person's name."""

    code = "rental-runs"
    title = _("A rental still runs")


def refuse_while_renting(person: User) -> None:
    """Raises `RentalRuns` while a cart is out in this person's name."""
    if Rental.objects.filter(customer=person, status__in=OPEN_RENTALS).exists():
        raise RentalRuns(_("Bring the cart back first, or let staff end the rental."))


def sweep_old_rentals() -> int:
    """Forget who rented, for rentals that ended longer ago than their chain keeps it. Returns how many.

    In batches that commit: stopped half way, the next run goes on. Customers who have nothing left, and were not seen
    since, are erased.
    """
    forgotten = 0
    batches = MOST_BATCHES
    for chain_id, days in Chain.objects.values_list("pk", "retention_days"):
        limit = timezone.now() - timedelta(days=days)
        while batches and (done := _forget_some(_ended_before(limit, chain_id), limit)):
            forgotten, batches = forgotten + done, batches - 1
    return forgotten


def _ended_before(limit: datetime, chain_id: UUID) -> QuerySet[Rental]:
    rows = Rental.objects.filter(branch__chain=chain_id, customer__isnull=False, created_at__lt=limit)
    ended = rows.exclude(status__in=OPEN_RENTALS).annotate(ended=Coalesce("actual_return", "created_at"))
    return ended.filter(ended__lt=limit).order_by("created_at")


@transaction.atomic
def _forget_some(old: QuerySet[Rental], limit: datetime) -> int:
    rows = list(old.select_for_update(of=("self",), skip_locked=True)[:BATCH])
    _forget_actors(rows, limit)
    Rental.objects.filter(pk__in=[row.pk for row in rows]).update(customer=None, notes="")
    for customer_id, branch_id in {(row.customer_id, row.branch_id) for row in rows}:
        if customer_id and not Rental.objects.filter(customer=customer_id, branch=branch_id).exists():
            forget_customer(user_id=customer_id, branch_id=branch_id, seen_before=limit)
    return len(rows)


def _forget_actors(rentals: Sequence[Rental], limit: datetime) -> None:
    """The history and the commands of a rental name its customer by id, which leads to them as well."""
    commands = [row.unlock_command_id for row in rentals if row.unlock_command_id]
    customers = [str(row.customer_id) for row in rentals]
    of_rental = Q(entity_id__in=[row.pk for row in rentals]) | Q(entity_id__in=commands)
    # Of a cart only what a rental does to it: its customer may be staff who look after carts too.
    of_cart = Q(entity_id__in=[row.cart_id for row in rentals], field="status", at__lt=limit) & Q(
        to_state__in=(CartStatus.RESERVED, CartStatus.RENTED)
    )
    forget_actors(StateChange.objects.filter(of_rental | of_cart, actor__in=customers))
    forget_who_asked(commands=commands)
