"""Accounts people make and keep themselves: signing up, proving an address, a password. allauth's flows end here."""

from datetime import timedelta

from allauth.account.models import EmailAddress
from django.contrib.auth.hashers import UNUSABLE_PASSWORD_PREFIX
from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from core.errors import InvalidInput
from core.rows import delete_row, note, save_row
from tenants.models import User
from tenants.services.sessions import sign_out_everywhere

KEPT_UNPROVED = timedelta(days=7)


def register_person(*, email: str, password: str, name: str, language: str) -> User:
    """A new customer, who may do nothing until the address is proved. Raises `InvalidInput` for a taken address."""
    person = User()
    person.set_password(password)
    return save_row(person, changes={"email": email.lower(), "name": name, "language": language}, actor=person)


def prove_address(*, user: User, email: str, keep_password: bool) -> None:
    """Remember that this person reads the mail of `email`, which becomes their only address.

    A password from before anybody proved the address may be a stranger's, who signed up with it and waits: unless
    whoever proves it now has given the password as well (`keep_password`), it is forgotten.
    Proved already: nothing happens. Raises `InvalidInput` when the address is another account's.
    """
    email = email.lower()
    if EmailAddress.objects.filter(user=user, email=email, verified=True).exists():
        return
    if (
        User.objects.filter(email=email).exclude(pk=user.pk).exists()
        or EmailAddress.objects.filter(email=email, verified=True).exclude(user=user).exists()
    ):
        raise _taken()
    try:
        with transaction.atomic():
            EmailAddress.objects.filter(user=user).exclude(email=email).delete()
            EmailAddress.objects.update_or_create(user=user, email=email, defaults={"verified": True, "primary": True})
            if user.email != email:
                save_row(user, changes={"email": email}, actor=user)
            if not keep_password and user.has_usable_password():
                user.set_unusable_password()
                user.save(update_fields=["password"])
            note("address proved", user, actor=user)
    except IntegrityError:
        raise _taken() from None


def change_password(*, user: User, password: str) -> None:
    """Set a password its owner chose, and end every session and token that leaned on the old one."""
    with transaction.atomic():
        user.set_password(password)
        user.save(update_fields=["password"])
        sign_out_everywhere(user.pk)
        note("password changed", user, actor=user)
    user.refresh_from_db(fields=["token_version", "access_version"])


def forget_unproved_accounts() -> int:
    """Delete accounts that somebody signed up for and never proved: the address may be a stranger's.

    Not those that staff made, which have no password, nor those that were given a role meanwhile.
    """
    made_long_ago = User.objects.filter(created_at__lt=timezone.now() - KEPT_UNPROVED, last_login=None, phone=None)
    proved = EmailAddress.objects.filter(user=OuterRef("pk"), verified=True)
    forgotten = 0
    for user in made_long_ago.filter(~Exists(proved), grants=None).exclude(
        password__startswith=UNUSABLE_PASSWORD_PREFIX
    ):
        delete_row(user, actor="clock")
        forgotten += 1
    return forgotten


def _taken() -> InvalidInput:
    return InvalidInput(_("This address belongs to another account. Sign in with it instead."))
