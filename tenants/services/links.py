"""Links that sign one person in once: for the first start of a back office and for whoever lost every other way."""

import hashlib
import secrets
from datetime import timedelta

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from core import audit
from core.errors import InvalidInput
from tenants import access
from tenants.models import SignInLink, User
from tenants.services.people import home_of, require_oneself

LIFETIME = timedelta(hours=12)
LINKS = "users:link"


def create_sign_in_link(*, user: User, next_path: str, actor: User | None = None) -> str:
    """A token for `/auth/link/<token>`; only its hash is kept.

    It works as long as `actor` could make it: None is the command line. Raises `NotAllowed` when `user` outranks
    `actor`, and for who acts as somebody else.
    """
    access.require_rank(actor, user, LINKS)
    require_oneself(actor)
    token = secrets.token_urlsafe(32)
    ends = timezone.now() + LIFETIME
    with transaction.atomic():
        SignInLink.objects.create(
            token_hash=_hash(token), user=user, made_by=actor, next_path=next_path, expires_at=ends
        )
        audit.record("sign-in link made", user, actor=actor, after={"expires_at": ends}, place=home_of(user))
    return token


def use_sign_in_link(*, token: str) -> SignInLink:
    """Use the link up and answer whose it was. Raises `InvalidInput`; of two at once one gets in.

    One whose maker could not make it any more is worth nothing: who was dismissed, or whom the person outranks by now.
    """
    now = timezone.now()
    alive = SignInLink.objects.filter(token_hash=_hash(token), used_at__isnull=True, expires_at__gt=now)
    with transaction.atomic():
        if not alive.update(used_at=now):
            raise _spent()
        link = SignInLink.objects.select_related("user", "made_by").get(token_hash=_hash(token))
        if link.made_by is not None and not _may_make(link.made_by, link.user):
            raise _spent()
        audit.record("sign-in link used", link.user, actor=link.user, place=home_of(link.user))
    return link


def _may_make(actor: User, user: User) -> bool:
    return actor.is_active and bool(access.may(actor, LINKS, user)) and access.outranks(actor, user, LINKS)


def _spent() -> InvalidInput:
    return InvalidInput(_("This sign-in link was used before or is too old. Ask for a new one."))


def forget_old_links() -> int:
    """Delete links that can't be used any more."""
    return SignInLink.objects.filter(expires_at__lt=timezone.now()).delete()[0]


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
