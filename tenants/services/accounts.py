"""Accounts people make and keep themselves: signing up, proving an address, a password. allauth's flows end here."""

from datetime import timedelta

from allauth.account.models import EmailAddress
from allauth.socialaccount.models import SocialAccount
from django.contrib.auth.hashers import UNUSABLE_PASSWORD_PREFIX
from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from core.errors import InvalidInput
from core.rows import delete_row, note, save_row
from tenants.models import User
from tenants.services.sessions import hold_account, sign_out_everywhere

KEPT_UNPROVED = timedelta(days=7)


def register_person(*, email: str, password: str, name: str, language: str) -> User:
    """A new customer, who may do nothing until the address is proved. Raises `InvalidInput` for a taken address."""
    person = User()
    person.set_password(password)
    return save_row(person, changes={"email": email.lower(), "name": name, "language": language}, actor=person)


def prove_address(*, user: User, email: str, keep_password: bool) -> None:
    """Remember that this person reads the mail of `email`, which becomes their only address.

    A password from before anybody proved an address may be a stranger's, who signed up with it and waits: unless
    whoever proves it now has given the password as well (`keep_password`), it is forgotten.
    Proved already: nothing happens. Locks the person. Raises `InvalidInput` when the address is another account's,
    and `SignedOut` when the account was closed or signed out everywhere since `user` was read.
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
            hold_account(user)
            keep_password = keep_password or EmailAddress.objects.filter(user=user, verified=True).exists()
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


def require_still_theirs(user: User, email: str) -> None:
    """Raise `InvalidInput` unless this is the person's address: one that staff replaced after the code was sent."""
    if user.email != email.lower():
        raise InvalidInput(_("This is not the address of the account any more. Start again with the new one."))


def change_password(*, user: User, password: str) -> None:
    """Set a password its owner chose, and end every session and token that leaned on the old one.

    Locks the person. Raises `SignedOut` when the account was closed or signed out everywhere since `user` was read.
    """
    with transaction.atomic():
        hold_account(user)
        user.set_password(password)
        user.save(update_fields=["password"])
        sign_out_everywhere(user.pk)
        note("password changed", user, actor=user)
    user.refresh_from_db(fields=["token_version", "access_version"])


def link_google(*, user: User, account: SocialAccount) -> bool:
    """Let an account of Google sign in as this person. Linked already: nothing happens. Whether it is new.

    Locks the person. Raises `InvalidInput` when it is linked to somebody else, and `SignedOut` when the person's
    account was closed or signed out everywhere since `user` was read.
    """
    with transaction.atomic():
        hold_account(user)
        kept, created = SocialAccount.objects.get_or_create(
            provider=account.provider, uid=account.uid, defaults={"user": user, "extra_data": account.extra_data}
        )
        if kept.user_id != user.pk:
            raise InvalidInput(_("This account of Google is linked to somebody else."))
        if created:
            note("Google linked", user, actor=user)
    return bool(created)


def unlink_google(*, user: User, account: SocialAccount) -> None:
    """Let one of the person's accounts of Google sign in no more. Locks the person; raises `SignedOut`."""
    with transaction.atomic():
        hold_account(user)
        if SocialAccount.objects.filter(pk=account.pk, user=user).delete()[0]:
            note("Google unlinked", user, actor=user)


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
