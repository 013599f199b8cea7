"""Named keys of programs that act for a person: within scopes, for a time, and never more than the person may."""

import hashlib
import re
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from core.errors import InvalidInput, NotAllowed, Text
from core.rows import note
from tenants import access
from tenants.models import PersonalToken, User
from tenants.powers import Powers
from tenants.services.sessions import hold_account

# Recognisable, so that a token that leaked into a repository or a log is found: cwp_<id>_<secret>.
PREFIX = "cwp_"
LONGEST = timedelta(days=366)  # a year, a leap year too
MOST_IN_FORCE = 50
USE_NOTED_EVERY = timedelta(minutes=5)
_SHAPE = re.compile(r"cwp_([0-9a-f]{32})_[A-Za-z0-9_-]{43}")
_SCOPE = re.compile(r"[a-z_-]{1,30}:([a-z_-]{1,29}|\*)")


def create_personal_token(
    *, user: User, name: str, scopes: Sequence[str], expires_at: datetime
) -> tuple[PersonalToken, str]:
    """A new token of `user` and its secret, which is kept nowhere. `scopes` are permissions `resource:action`.

    Raises `InvalidInput` for a scope the person does not hold anywhere now and for an end that is past or more than a
    year away; `NotAllowed` where the way they came in may not make one: a program, somebody acting as them, staff and
    managers without their second factor.
    """
    require_themselves(user)
    scopes = list(dict.fromkeys(scopes))
    errors = {
        "name": _errors_of_name(name),
        "scopes": _errors_of_scopes(user, scopes),
        "expires_at": _errors_of_end(expires_at),
    }
    if found := {field: texts for field, texts in errors.items() if texts}:
        raise InvalidInput(errors=found)
    key = uuid4()
    secret = f"{PREFIX}{key.hex}_{secrets.token_urlsafe(32)}"
    with transaction.atomic():
        hold_account(user)
        if tokens_of(user).filter(expires_at__gt=timezone.now()).count() >= MOST_IN_FORCE:
            raise InvalidInput(_("You have %(most)d tokens. Revoke one that is not used.") % {"most": MOST_IN_FORCE})
        token = PersonalToken.objects.create(
            id=key,
            user=user,
            name=name.strip(),
            token_hash=_hash(secret),
            hint=secret[-4:],
            scopes=scopes,
            second_factor=user.powers.second_factor,
            expires_at=expires_at,
        )
        note("created", token, actor=user, name=token.name, scopes=scopes, expires_at=expires_at.isoformat())
    return token, secret


def revoke_personal_token(*, token: PersonalToken, actor: User) -> None:
    """End a token with its next use. Ended already: nothing happens. Raises `NotAllowed` when its owner outranks."""
    require_themselves(actor)
    access.require_rank(actor, token.user)
    with transaction.atomic():
        if PersonalToken.objects.filter(pk=token.pk, revoked_at__isnull=True).update(revoked_at=timezone.now()):
            note("revoked", token, actor=actor)


@transaction.atomic
def end_personal_tokens(user_id: UUID, *, actor: object) -> None:
    """Revoke all of a person's: what they leaned on is gone, a right or a second factor. One query where none is."""
    now = timezone.now()
    rows = PersonalToken.objects.filter(user=user_id, revoked_at__isnull=True, expires_at__gt=now)
    for token in rows.select_for_update():
        PersonalToken.objects.filter(pk=token.pk).update(revoked_at=now)
        note("revoked", token, actor=actor)


def user_of_personal_token(secret: str) -> User | None:
    """The person a token stands for, limited to its scopes. One query, and now and then a write of when it was used."""
    if not _SHAPE.fullmatch(secret):
        return None
    now = timezone.now()
    token = (
        PersonalToken.objects.filter(
            token_hash=_hash(secret), revoked_at__isnull=True, expires_at__gt=now, user__is_active=True
        )
        .select_related("user")
        .first()
    )
    if token is None:
        return None
    if token.last_used_at is None or now - token.last_used_at > USE_NOTED_EVERY:
        PersonalToken.objects.filter(pk=token.pk).update(last_used_at=now)
    user = token.user
    user.powers = Powers(second_factor=token.second_factor, scopes=frozenset(token.scopes))
    return user


def id_of(secret: str) -> UUID | None:
    """Which token a secret is of, true or forged; None for what is not written like one."""
    match = _SHAPE.fullmatch(secret)
    return UUID(match[1]) if match else None


def tokens_of(user: User) -> QuerySet[PersonalToken]:
    """A person's tokens but the revoked ones, newest first."""
    return user.personal_tokens.filter(revoked_at__isnull=True)


def require_themselves(user: User) -> None:
    """Raise `NotAllowed` unless it is the person who asks, with what they need to make keys for others."""
    if user.client_id or user.powers.scopes is not None:
        raise NotAllowed(_("Programs make and revoke no tokens. Sign in yourself."))
    if user.powers.behind or user.powers.read_only:
        raise NotAllowed(_("Tokens are for the person themselves to make and revoke."))
    if access.is_trusted(user) and not user.powers.second_factor:
        raise NotAllowed(_("Confirm that it is you with your second factor first."))


def _errors_of_name(name: str) -> list[Text]:
    return [] if 0 < len(name.strip()) <= 80 else [_("Give it a name of at most 80 characters.")]


def _errors_of_scopes(user: User, scopes: Sequence[str]) -> list[Text]:
    if not scopes:
        return [_("Choose what the token may do.")]
    unheld = [each for each in scopes if not may_carry(user, each)]
    return [_("You don't hold %(scope)s yourself.") % {"scope": each[:60]} for each in unheld[:10]]


def may_carry(user: User, scope: str) -> bool:
    """Whether the person holds this permission anywhere now, or everyone does on what is their own."""
    if not _SCOPE.fullmatch(scope):
        return False
    found = access.reach(user, scope)
    return scope in access.OWN or found.everywhere or bool(found.chains or found.branches)


def _errors_of_end(expires_at: datetime) -> list[Text]:
    now = timezone.now()
    return [] if now < expires_at <= now + LONGEST else [_("Choose an end within a year from now.")]


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
