"""What is forgotten because it was kept long enough. Each chain says how long (`Chain.retention_days`)."""

from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import DurationField, Exists, ExpressionWrapper, F, Max, OuterRef, Q, QuerySet, Value
from django.db.models.deletion import PROTECT
from django.db.models.functions import Coalesce, Greatest
from django.utils import timezone

from core.errors import NotAllowed
from core.privacy import NotErasable
from tenants import access
from tenants.enums import RoleCode
from tenants.models import BrowserSession, Chain, Grant, Invitation, PersonalToken, RefreshToken, User
from tenants.services.people import hold_person
from tenants.services.privacy import erase_person

BATCH = 500
ACTOR = "retention"
_DEFAULT_DAYS: int = Chain._meta.get_field("retention_days").default


def sweep_retention() -> int:
    """Forget invitations that are over and people who have nothing here and were not seen, each kept long enough.

    A bounded number a run; the next one goes on. Returns how many.
    """
    return _forget_invitations() + _erase_strangers()


def forget_customer(*, user_id: UUID, branch_id: UUID, seen_before: datetime) -> None:
    """They are no customer of this branch any more; whoever has nothing left and was not seen since is erased."""
    hold_person(user_id)
    own = Grant.objects.filter(user=user_id, branch=branch_id, role__code=RoleCode.CUSTOMER, created_at__lt=seen_before)
    if own.delete()[0]:
        access.rights_changed(user_id)
    if user := _with_nothing_left(seen_before).filter(pk=user_id).first():
        erase_person(user=user, actor=ACTOR)


def _forget_invitations() -> int:
    """Those accepted, withdrawn or run out that their chain has kept long enough; the platform's when all have."""
    days = Coalesce("chain__retention_days", "branch__chain__retention_days", Value(_longest_kept().days))
    kept = ExpressionWrapper(days * Value(timedelta(days=1)), output_field=DurationField())
    over = Coalesce("accepted_at", "withdrawn_at", "expires_at")
    old = Invitation.objects.annotate(over=over, kept=kept).filter(over__lt=timezone.now() - F("kept"))
    return Invitation.objects.filter(pk__in=list(old.values_list("pk", flat=True)[:BATCH])).delete()[0]


def _erase_strangers() -> int:
    """People no chain can say anything about: forgotten as late as the most patient chain forgets.

    Raises `Unavailable` when the journal of erasures can't be written.
    """
    erased = 0
    for user in _with_nothing_left(timezone.now() - _longest_kept())[:BATCH]:
        try:
            erase_person(user=user, actor=ACTOR)
        except (NotAllowed, NotErasable):
            continue  # something of theirs began meanwhile
        erased += 1
    return erased


def _longest_kept() -> timedelta:
    return timedelta(days=Chain.objects.aggregate(days=Max("retention_days"))["days"] or _DEFAULT_DAYS)


def _with_nothing_left(seen_before: datetime) -> QuerySet[User]:
    """Who holds no role, is named by no row that protects people from deletion, and did not come since then."""
    now = timezone.now()
    alive = [
        Grant.objects.filter(user=OuterRef("pk")),
        BrowserSession.objects.filter(user=OuterRef("pk"), expire_date__gt=now),
        RefreshToken.objects.filter(user=OuterRef("pk"), expires_at__gt=now),
        PersonalToken.objects.filter(user=OuterRef("pk"), expires_at__gt=now, revoked_at__isnull=True),
        PersonalToken.objects.filter(user=OuterRef("pk"), last_used_at__gte=seen_before),
        *(
            relation.related_model._base_manager.filter(**{relation.field.name: OuterRef("pk")})
            for relation in User._meta.related_objects
            if relation.on_delete is PROTECT
        ),
    ]
    people = User.objects.filter(*(~Exists(rows) for rows in alive), erased_at__isnull=True, client_id__isnull=True)
    seen = Greatest(F("created_at"), Coalesce("last_login", "created_at"))
    return people.annotate(seen=seen).filter(Q(seen__lt=seen_before)).order_by("pk")
