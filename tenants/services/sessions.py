"""Access and refresh tokens of people."""

import hashlib
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from django.db import transaction
from django.db.models import Exists, F
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from core.compiled import Lookup
from core.errors import DomainError
from core.rows import note
from core.tokens import TokenError, read, sign
from tenants import access
from tenants.models import BrowserSession, RefreshToken, User
from tenants.powers import Powers
from tenants.tiers import tier_held

KIND = "person"
CUSTOMER_ACCESS = timedelta(days=30)
STAFF_ACCESS = timedelta(minutes=60)
CUSTOMER_REFRESH = timedelta(days=90)
STAFF_REFRESH = timedelta(days=7)
STAFF_FAMILY = timedelta(days=30)  # however often they refresh, they sign in anew after that
SEEN_ONCE_IN = timedelta(days=1)


_open_accounts = Lookup(
    lambda pk, version: User.objects.filter(pk=pk, is_active=True, token_version=version), pk=UUID, version=int
)
_signed_in_accounts = Lookup(
    lambda pk, version, family: User.objects.filter(
        Exists(RefreshToken.objects.filter(family=family)), pk=pk, is_active=True, token_version=version
    ),
    pk=UUID,
    version=int,
    family=UUID,
)


class SignedOut(DomainError):
    """The refresh token is unknown, used before or too old; or the person was signed out at this moment."""

    status = 401
    code = "signed-out"
    title = _("Sign in again")


@dataclass(frozen=True, slots=True)
class TokenPair:
    """What a client keeps."""

    access: str
    refresh: str


def issue_tokens(user: User, *, second_factor: bool, by_phone: bool = False) -> TokenPair:
    """Tokens for a person who has just proved who they are. Customers keep them long, staff and managers don't.

    `by_phone`: with a code to their phone alone, which whoever has the number could give.

    Without a second factor those of staff and managers are worth a customer's. Raises `SignedOut` when the account was
    closed or signed out everywhere since `user` was read.
    """
    with transaction.atomic():
        hold_account(user)
        family = RefreshToken(
            family=uuid4(),
            user=user,
            second_factor=second_factor,
            began_at=timezone.now(),
            trusted=access.is_trusted(user),
            by_phone=by_phone,
        )
        return _issue(user, family)


def hold_account(user: User) -> None:
    """Lock the person's row until the transaction ends. Raises `SignedOut` when it is not as `user` was read.

    Whatever ends somebody's access writes that row first: what is written under the lock is either there for it to be
    ended, or comes too late and is refused.
    """
    rows = User.objects.select_for_update(no_key=True)
    unchanged = rows.filter(pk=user.pk, is_active=True, token_version=user.token_version)
    if unchanged.values_list("pk").first() is None:
        raise SignedOut


def issue_access_token(user: User, *, second_factor: bool, family: UUID | None = None) -> str:
    """A bearer token that dies with the account, its `token_version`, its family of refresh tokens, or of age.

    Without a family it stands alone: for scripts and measurements. What it says of their tier widens limits only.
    """
    now = timezone.now()
    lifetime = STAFF_ACCESS if access.is_trusted(user) else CUSTOMER_ACCESS
    return sign(
        kind=KIND,
        subject=user.pk,
        issued_at=now,
        expires_at=now + lifetime,
        ver=user.token_version,
        sf=int(second_factor),
        tier=tier_held(user),
        **({"fam": family.hex} if family else {}),
    )


def user_of_token(token: str) -> User | None:
    """The person an access token stands for. One query."""
    try:
        claims = read(token, kind=KIND)
        key, version = UUID(claims["sub"]), int(claims["ver"])
        if "fam" in claims:
            user = _signed_in_accounts.first(pk=key, version=version, family=UUID(claims["fam"]))
        else:
            user = _open_accounts.first(pk=key, version=version)
        if user is not None:
            user.powers = Powers(second_factor=_has_second_factor(claims, user))
        return user
    except (TokenError, KeyError, ValueError, TypeError, AttributeError):
        return None


def refresh_tokens(*, refresh: str) -> TokenPair:
    """A new pair for a refresh token, which is used up. One that comes twice was stolen: its whole family ends.

    For staff and managers it works for `STAFF_FAMILY` after the sign-in; a second factor that was given before they
    were any counts no more.
    """
    now, token_hash = timezone.now(), _hash(refresh)
    with transaction.atomic():
        # The person first, as whatever ends somebody's access does: no successor slips past it, and nobody deadlocks.
        people = User.objects.select_for_update(of=("self",), no_key=True)
        user = people.filter(refresh_tokens__token_hash=token_hash).first()
        row = RefreshToken.objects.select_for_update().filter(token_hash=token_hash).first()
        stolen = row is not None and row.used_at is not None
        if row is not None and stolen:
            RefreshToken.objects.filter(family=row.family).delete()
            note("refresh token came twice", row.user, actor="system")
        elif row is not None and row.expires_at > now and user is not None and user.is_active:
            trusted = access.is_trusted(user)
            if not trusted or now - row.began_at <= STAFF_FAMILY:
                RefreshToken.objects.filter(pk=row.pk).update(used_at=now)
                row.second_factor = row.second_factor and (row.trusted or not trusted)
                return _issue(user, row)
    raise SignedOut


def proved_at(access_token: str) -> datetime | None:
    """When its bearer proved who they are by signing in; None for a code to a phone alone, and for what is no access
    token of a person. One query where it has a family."""
    try:
        claims = read(access_token, kind=KIND)
        if "fam" not in claims:
            return datetime.fromtimestamp(claims["iat"], UTC)
        rows = RefreshToken.objects.filter(family=UUID(claims["fam"]), by_phone=False)
        return rows.values_list("began_at", flat=True).first()
    except (TokenError, KeyError, ValueError):
        return None


def sign_out(*, user: User, access_token: str | None = None, refresh: str = "", everywhere: bool = False) -> None:
    """End the families of these tokens of `user`, or every session and token but personal ones. Others' stay."""
    if everywhere:
        sign_out_everywhere(user.pk)
        return
    mine = RefreshToken.objects.filter(user=user)
    families = list(mine.filter(token_hash=_hash(refresh)).values_list("family", flat=True)) if refresh else []
    if access_token and (family := _family_of(access_token)):
        families.append(family)
    end_families(user=user, families=families)


@transaction.atomic
def end_families(*, user: User, families: Collection[UUID] | None = None) -> int:
    """End these sign-ins over REST of a person, or all of theirs. Returns how many there were.

    Locks the person: no successor of a token that is being used at this moment slips past.
    """
    User.objects.select_for_update(no_key=True).filter(pk=user.pk).values_list("pk").first()
    rows = RefreshToken.objects.filter(user=user)
    if families is not None:
        rows = rows.filter(family__in=families)
    ended = rows.values("family").distinct().count()
    rows.delete()
    return ended


@transaction.atomic
def sign_out_everywhere(user_id: UUID) -> None:
    """End every session, access token and refresh token of a person. Personal tokens stay: programs use them."""
    User.objects.filter(pk=user_id).update(token_version=F("token_version") + 1)
    RefreshToken.objects.filter(user=user_id).delete()
    BrowserSession.objects.filter(user=user_id).delete()


def note_seen(user: User) -> None:
    """That they are here by now, in `last_login`: retention counts from it. At most one write a day."""
    now = timezone.now()
    if user.last_login is None or now - user.last_login > SEEN_ONCE_IN:
        User.objects.filter(pk=user.pk).update(last_login=now)


def forget_old_tokens() -> int:
    """Delete refresh tokens past their time; used ones stay until then, to notice a second use."""
    return RefreshToken.objects.filter(expires_at__lt=timezone.now()).delete()[0]


def forget_old_sessions() -> int:
    """Delete browser sessions past their time."""
    return BrowserSession.objects.filter(expire_date__lt=timezone.now()).delete()[0]


def _issue(user: User, like: RefreshToken) -> TokenPair:
    """A pair of the same family as `like`, which is the one before or the family's first."""
    note_seen(user)
    refresh = secrets.token_urlsafe(32)
    RefreshToken.objects.create(
        token_hash=_hash(refresh),
        family=like.family,
        user=user,
        second_factor=like.second_factor,
        began_at=like.began_at,
        by_phone=like.by_phone,
        trusted=like.trusted,
        expires_at=timezone.now() + (STAFF_REFRESH if access.is_trusted(user) else CUSTOMER_REFRESH),
    )
    token = issue_access_token(user, second_factor=like.second_factor, family=like.family)
    return TokenPair(access=token, refresh=refresh)


def _has_second_factor(claims: dict[str, Any], user: User) -> bool:
    """As the token says; but one given to a customer for 30 days is no token of staff when they become staff."""
    if not claims["sf"]:
        return False
    age = timezone.now() - datetime.fromtimestamp(claims["iat"], UTC)
    return age <= STAFF_ACCESS or not access.is_trusted(user)


def _family_of(access_token: str) -> UUID | None:
    try:
        return UUID(read(access_token, kind=KIND)["fam"])
    except (TokenError, KeyError, ValueError):
        return None  # a personal token, or one that stands alone


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
