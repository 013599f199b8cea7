"""Where somebody is signed in: browsers, and apps over REST. A row that is gone ends its session at once.

The cookie finds nothing; an access token dies with its family of refresh tokens.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import Max, Min
from django.utils import timezone

from core import audit
from core.errors import NotFound
from tenants import access
from tenants.models import BrowserSession, RefreshToken, User
from tenants.services.sessions import STAFF_ACCESS, STAFF_FAMILY, end_families


@dataclass(frozen=True, slots=True)
class AppSession:
    """A sign-in of an app or a program: one family of refresh tokens.

    `renewed_at`: None before the first time, and once the token used then is too old to be kept. `ends_at`: unless it
    is renewed before.
    """

    family: UUID
    began_at: datetime
    renewed_at: datetime | None
    ends_at: datetime


def app_sessions_of(user: User) -> list[AppSession]:
    """The person's own, the one that was begun or renewed last first. One query, and what they hold."""
    now = timezone.now()
    rows = RefreshToken.objects.filter(user=user, expires_at__gt=now).values("family")
    found = rows.annotate(began=Min("began_at"), renewed=Max("used_at"), ends=Max("expires_at"))
    # However often they are renewed; the last access token outlives the last renewal.
    longest = STAFF_FAMILY + STAFF_ACCESS if access.is_trusted(user) else None
    sessions = [
        AppSession(
            family=row["family"],
            began_at=row["began"],
            renewed_at=row["renewed"],
            ends_at=min(row["ends"], row["began"] + longest) if longest else row["ends"],
        )
        for row in found
    ]
    return sorted(
        (each for each in sessions if each.ends_at > now),
        key=lambda each: each.renewed_at or each.began_at,
        reverse=True,
    )


def end_session(*, user: User, key: str) -> None:
    """End one of the person's own sessions; `key` is what its row is found by. Raises `NotFound`."""
    row = BrowserSession.objects.filter(user=user, pk=key).first()
    if row is None:
        raise NotFound
    row.delete()
    audit.record("session ended", user, actor=user)


@transaction.atomic
def end_app_session(*, user: User, family: UUID) -> None:
    """End one of the person's own sign-ins over REST, its access tokens too. Raises `NotFound`. Locks the person."""
    if not end_families(user=user, families=[family]):
        raise NotFound
    audit.record("session ended", user, actor=user)


@transaction.atomic
def end_other_sessions(*, user: User, keep: str) -> int:
    """End all sessions of the person but the one whose row has this key; of apps, too. Returns how many.

    Locks the person.
    """
    ended = end_families(user=user) + BrowserSession.objects.filter(user=user).exclude(pk=keep).delete()[0]
    if ended:
        audit.record("other sessions ended", user, actor=user, after={"sessions": ended})
    return ended
