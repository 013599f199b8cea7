"""Access and refresh tokens of people."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid4

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from core.compiled import Lookup
from core.errors import DomainError
from core.tokens import TokenError, read, sign
from tenants import access
from tenants.models import BrowserSession, RefreshToken, User
from tenants.powers import Powers

KIND = "person"
CUSTOMER_ACCESS = timedelta(days=30)
STAFF_ACCESS = timedelta(minutes=60)
CUSTOMER_REFRESH = timedelta(days=90)
STAFF_REFRESH = timedelta(days=7)


_open_accounts = Lookup(
    lambda pk, version: User.objects.filter(pk=pk, is_active=True, token_version=version), pk=UUID, version=int
)


class SignedOut(DomainError):
    """The refresh token is unknown, used before or too old."""

    status = 401
    code = "signed-out"
    title = _("Sign in again")


@dataclass(frozen=True, slots=True)
class TokenPair:
    """What a client keeps."""

    access: str
    refresh: str


def issue_tokens(user: User, *, second_factor: bool, family: UUID | None = None) -> TokenPair:
    """Tokens for a person who has just proved who they are. Customers keep them long, staff and managers don't.

    Without a second factor those of staff and managers are worth a customer's.
    """
    trusted = access.is_trusted(user)
    now = timezone.now()
    refresh = secrets.token_urlsafe(32)
    RefreshToken.objects.create(
        token_hash=_hash(refresh),
        family=family or uuid4(),
        user=user,
        second_factor=second_factor,
        expires_at=now + (STAFF_REFRESH if trusted else CUSTOMER_REFRESH),
    )
    return TokenPair(access=issue_access_token(user, second_factor=second_factor), refresh=refresh)


def issue_access_token(user: User, *, second_factor: bool) -> str:
    """A bearer token that dies with the account, with its `token_version`, or of age."""
    now = timezone.now()
    lifetime = STAFF_ACCESS if access.is_trusted(user) else CUSTOMER_ACCESS
    return sign(
        kind=KIND,
        subject=user.pk,
        issued_at=now,
        expires_at=now + lifetime,
        ver=user.token_version,
        sf=int(second_factor),
    )


def user_of_token(token: str) -> User | None:
    """The person an access token stands for. One query."""
    try:
        claims = read(token, kind=KIND)
        user = _open_accounts.first(pk=UUID(claims["sub"]), version=int(claims["ver"]))
        if user is not None:
            user.powers = Powers(second_factor=bool(claims["sf"]))
        return user
    except (TokenError, KeyError, ValueError, TypeError):
        return None


def refresh_tokens(*, refresh: str) -> TokenPair:
    """A new pair for a refresh token, which is used up. One that comes twice was stolen: its whole family ends."""
    now = timezone.now()
    with transaction.atomic():
        row = RefreshToken.objects.select_for_update().filter(token_hash=_hash(refresh)).select_related("user").first()
        stolen = row is not None and row.used_at is not None
        if row is not None and stolen:
            RefreshToken.objects.filter(family=row.family).delete()
        elif row is not None and row.expires_at > now and row.user.is_active:
            RefreshToken.objects.filter(pk=row.pk).update(used_at=now)
            return issue_tokens(row.user, second_factor=row.second_factor, family=row.family)
    raise SignedOut


def forget_old_tokens() -> int:
    """Delete refresh tokens past their time; used ones stay until then, to notice a second use."""
    return RefreshToken.objects.filter(expires_at__lt=timezone.now()).delete()[0]


def forget_old_sessions() -> int:
    """Delete browser sessions past their time."""
    return BrowserSession.objects.filter(expire_date__lt=timezone.now()).delete()[0]


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
