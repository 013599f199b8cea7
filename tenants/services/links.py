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
from tenants.services.people import home_of

LIFETIME = timedelta(hours=12)


def create_sign_in_link(*, user: User, next_path: str, actor: User | None = None) -> str:
    """A token for `/auth/link/<token>`; only its hash is kept. Raises `NotAllowed` when `user` outranks `actor`."""
    access.require_rank(actor, user, "users:link")
    token = secrets.token_urlsafe(32)
    ends = timezone.now() + LIFETIME
    with transaction.atomic():
        SignInLink.objects.create(token_hash=_hash(token), user=user, next_path=next_path, expires_at=ends)
        audit.record("sign-in link made", user, actor=actor, after={"expires_at": ends}, place=home_of(user))
    return token


def use_sign_in_link(*, token: str) -> SignInLink:
    """Use the link up and answer whose it was. Raises `InvalidInput`; of two at once one gets in."""
    now = timezone.now()
    alive = SignInLink.objects.filter(token_hash=_hash(token), used_at__isnull=True, expires_at__gt=now)
    with transaction.atomic():
        if not alive.update(used_at=now):
            raise InvalidInput(_("This sign-in link was used before or is too old. Ask for a new one."))
        link = SignInLink.objects.select_related("user").get(token_hash=_hash(token))
        audit.record("sign-in link used", link.user, actor=link.user, place=home_of(link.user))
    return link


def forget_old_links() -> int:
    """Delete links that can't be used any more."""
    return SignInLink.objects.filter(expires_at__lt=timezone.now()).delete()[0]


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
