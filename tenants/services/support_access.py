"""Staff of the platform look into one chain, for a reason and a time; the chain sees it and may end it."""

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from core.errors import DomainError, InvalidInput, NotAllowed
from core.rows import note
from tenants import access
from tenants.enums import RoleCode
from tenants.models import Chain, Grant, SupportAccess, User
from tenants.services.people import close_support_access, grant_role, hold_person

SHORTEST = timedelta(minutes=15)
LONGEST = timedelta(hours=8)
ENDS = "support_access:end"


@transaction.atomic
def open_support_access(*, chain: Chain, reason: str, lasts: timedelta, actor: User) -> SupportAccess:
    """Let `actor` into this chain as the role *support access*, which runs out by itself. Locks the actor.

    They need not hold what the role allows: that is what it is for. Raises `NotAllowed` for others than platform staff
    who may open it, `InvalidInput` without a reason or for another length than 15 minutes to 8 hours, and
    `DomainError` while they have it open.
    """
    if not access.is_platform_staff(actor) or not access.may(actor, access.OPENS, chain):
        raise NotAllowed
    if actor.powers.behind:
        raise NotAllowed(_("You are acting as somebody else. The chain must see who really looks: leave that first."))
    if not reason.strip():
        raise InvalidInput(errors={"reason": [_("Say why, so that the chain can understand it.")]})
    if not SHORTEST <= lasts <= LONGEST:
        raise InvalidInput(errors={"lasts": [_("From 15 minutes to 8 hours.")]})
    hold_person(actor.pk)
    if open_accesses(timezone.now()).filter(staff=actor, chain=chain).exists():
        raise DomainError(_("You have this chain open already."))
    ends_at = timezone.now() + lasts
    grant = grant_role(user=actor, role=RoleCode.SUPPORT_ACCESS, chain=chain, expires_at=ends_at)
    opened = SupportAccess.objects.create(
        staff=actor, chain=chain, grant=grant, reason=reason.strip()[:300], ends_at=ends_at
    )
    note("support access opened", opened, actor=actor, staff=str(actor.pk), until=ends_at, reason=opened.reason)
    return opened


def end_support_access(*, opened: SupportAccess, actor: User) -> None:
    """Close it now: whoever looks in sees nothing more with their next request. Over already: nothing happens.

    For who opened it and for whoever holds `support_access:end` on the chain. Raises `NotAllowed`. Locks it.
    """
    if opened.staff_id != actor.pk and not access.may(actor, ENDS, opened):
        raise NotAllowed
    with transaction.atomic():
        hold_person(opened.staff_id)
        row = SupportAccess.objects.select_for_update().get(pk=opened.pk)
        if not row.in_force:
            return
        Grant.objects.filter(user=row.staff_id, chain=row.chain_id, role__code=RoleCode.SUPPORT_ACCESS).delete()
        access.rights_changed(row.staff_id)
        close_support_access(opened=row, actor=actor)


def open_accesses(now: datetime) -> QuerySet[SupportAccess]:
    """Those that neither ran out nor were ended by `now`."""
    return SupportAccess.objects.filter(ended_at__isnull=True, ends_at__gt=now)
