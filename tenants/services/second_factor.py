"""Second factors: setting up, giving, removing, and the way back. Rows and cryptography are allauth's.

An app's code counts once (RFC 6238 §5.2): the last step used stands in the app's row and is compared under its lock, so
that neither a second browser nor an emptied cache lets a code through again.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from allauth.core.internal.cryptokit import compare_user_code
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, hotp_value, yield_hotp_counters_from_time
from allauth.mfa.utils import decrypt, encrypt
from allauth.mfa.webauthn.internal.auth import WebAuthn
from django.db import transaction
from django.utils.translation import gettext_lazy as _

from core.addresses import network_of
from core.errors import InvalidInput, NotAllowed, Unavailable
from core.limits import Limit, take
from core.rows import note
from core.secrets import Rewritten, SecretUnreadable, is_current
from tenants import access
from tenants.models import User
from tenants.phones import ascii_digits
from tenants.services.people import end_access, hold_person, require_oneself
from tenants.services.sessions import hold_account

logger = logging.getLogger(__name__)

FACTORS = (Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN)
WITH_CODES = (Authenticator.Type.TOTP, Authenticator.Type.RECOVERY_CODES)
GUESSES_OF_A_PERSON = 10
GUESSES_FROM_AN_ADDRESS = SIGN_INS_FROM_AN_ADDRESS = 100
MOST_KEYS = 20
_HOUR = timedelta(hours=1)
_LAST_STEP = "last_step"
_SECRETS = ("secret", "seed")


def owns_second_factor(user: User) -> bool:
    """Whether an app or a key is set up; recovery codes alone are no factor. One query."""
    return bool(Authenticator.objects.filter(user_id=user.pk, type__in=FACTORS).exists())


def use_code(*, user: User, code: str, address: str) -> Authenticator:
    """Use up a code of the person's app, or a recovery code; digits of any script. Locks the rows with codes.

    Raises `InvalidInput` for a wrong or used code, `TooMany`, and `Unavailable` while guesses can't be counted or the
    secrets can't be read.
    """
    take_guess(user=user, address=address)
    digits = ascii_digits(code)
    try:
        with transaction.atomic():
            rows = Authenticator.objects.select_for_update().filter(user_id=user.pk, type__in=WITH_CODES)
            for row in rows.order_by("pk"):
                is_app = row.type == Authenticator.Type.TOTP
                if _use_step(row, digits) if is_app else row.wrap().validate_code(digits):
                    row.record_usage()
                    if not is_app:
                        note("recovery code used", user, actor=user)
                    return row
    except SecretUnreadable:
        logger.exception("a second factor can't be read", extra={"user": str(user.pk)})
        raise Unavailable(_("Your second factor can't be read now. Ask whoever runs this back office.")) from None
    raise InvalidInput(errors={"code": [_("This code is wrong or was used before. Wait for the next one.")]})


def take_guess(*, user: User, address: str) -> None:
    """Count one try of a second factor. Raises `TooMany`, and `Unavailable` while tries can't be counted."""
    limits = (
        Limit(f"second-factor:person:{user.pk}", GUESSES_OF_A_PERSON, _HOUR),
        Limit(f"second-factor:address:{network_of(address)}", GUESSES_FROM_AN_ADDRESS, _HOUR),
    )
    take(limits, fail_closed=True)


def take_key_sign_in(*, address: str) -> None:
    """Count one sign-in by passkey, which names no person before it is checked. Raises `TooMany`, `Unavailable`."""
    take([Limit(f"passkey:address:{network_of(address)}", SIGN_INS_FROM_AN_ADDRESS, _HOUR)], fail_closed=True)


def step_of(*, secret: str, code: str, after: int = 0) -> int | None:
    """The time step (30 s) for which an app with this secret shows this code, if it is about now and after `after`."""
    digits = ascii_digits(code)
    for step in yield_hotp_counters_from_time():
        if step > after and compare_user_code(actual=digits, expected=format_hotp_value(hotp_value(secret, step))):
            return int(step)
    return None


def add_app(*, user: User, secret: str, step: int, first: bool) -> list[str]:
    """Set up an authenticator app whose code of this step was just given; that code is used up.

    Returns the recovery codes that come with the first factor; none with another one.
    `first`: the person had no factor when they were asked for proof. Raises `InvalidInput` where there is an app,
    `NotAllowed` where there is a factor by now that was not given.
    """
    with _changing(user, "authenticator app added"):
        _require_still_first(user, first)
        if Authenticator.objects.filter(user=user, type=Authenticator.Type.TOTP).exists():
            raise InvalidInput(_("There is an authenticator app already. Remove it first."))
        app = TOTP.activate(user, secret).instance
        app.data[_LAST_STEP] = step
        app.save(update_fields=["data"])
        return _codes_with(user)


def add_key(*, user: User, name: str, credential: dict[str, Any], first: bool) -> list[str]:
    """Set up a passkey or security key whose credential was verified. Returns and raises what `add_app` does."""
    with _changing(user, "key added"):
        _require_still_first(user, first)
        if Authenticator.objects.filter(user=user, type=Authenticator.Type.WEBAUTHN).count() >= MOST_KEYS:
            raise InvalidInput(_("You have %(most)d keys. Remove one that is not used.") % {"most": MOST_KEYS})
        WebAuthn.add(user, name, credential)
        return _codes_with(user)


def rename_key(*, key: Authenticator, name: str) -> None:
    """Call a key something else."""
    key.data["name"] = name
    key.save(update_fields=["data"])


def remove_factor(*, user: User, factor: Authenticator) -> None:
    """Remove one of the person's own factors; recovery codes go with the last one.

    Raises `NotAllowed` for the last factor of staff and managers.
    """
    with _changing(user, "authenticator app removed" if factor.type == Authenticator.Type.TOTP else "key removed"):
        require_removable(factor)
        factor.delete()
        if not owns_second_factor(user):
            Authenticator.objects.filter(user=user).delete()


def require_removable(factor: Authenticator) -> None:
    """Raise `NotAllowed` for the last factor of staff and managers, who can't be without one."""
    others = Authenticator.objects.filter(user=factor.user, type__in=FACTORS).exclude(pk=factor.pk)
    if access.is_trusted(factor.user) and not others.exists():
        raise NotAllowed(_("Whoever works in the back office keeps one second factor. Add another one first."))


def renew_recovery_codes(*, user: User) -> list[str]:
    """New recovery codes instead of the old ones, which end. Raises `NotAllowed` without a factor."""
    with _changing(user, "recovery codes renewed"):
        if not owns_second_factor(user):
            raise NotAllowed(_("Recovery codes come with a second factor. Set one up first."))
        Authenticator.objects.filter(user=user, type=Authenticator.Type.RECOVERY_CODES).delete()
        return _codes_with(user)


@transaction.atomic
def reset_second_factor(*, user: User, actor: User) -> None:
    """Take all factors and recovery codes of somebody who lost them; whoever is signed in as them is signed out.

    Raises `NotAllowed` for oneself and when the person outranks `actor`.
    """
    access.require_rank(actor, user, "users:link")
    require_oneself(actor)
    if actor.pk == user.pk:
        raise NotAllowed(_("You can't reset your own second factor. Change it on the page about your security."))
    hold_person(user.pk)
    Authenticator.objects.filter(user=user).delete()
    end_access(user.pk, actor=actor)
    note("second factor reset", user, actor=actor)


def rewrite_secrets(*, write: bool) -> Rewritten:
    """Encrypt with the newest key what older keys wrote, a row at a time under its lock; how many rows.

    What can't be read stays. Not to `write` only counts, without locks.
    """
    rewritten, unreadable = 0, 0
    rows = Authenticator.objects.select_for_update() if write else Authenticator.objects
    for key in list(Authenticator.objects.filter(type__in=WITH_CODES).values_list("pk", flat=True)):
        with transaction.atomic():
            row = rows.filter(pk=key).first()
            old = {name: row.data[name] for name in _SECRETS if name in row.data} if row else {}
            if row is None or all(map(is_current, old.values())):
                continue
            try:
                row.data.update({name: encrypt(decrypt(written)) for name, written in old.items()})
            except SecretUnreadable:
                logger.warning("a second factor can't be read", extra={"authenticator": key})
                unreadable += 1
                continue
            if write:
                row.save(update_fields=["data"])
            rewritten += 1
    return Rewritten(rewritten, unreadable)


@contextmanager
def _changing(user: User, what: str) -> Iterator[None]:
    """One change at a time of somebody's own factors, told in the audit. Locks the person.

    Raises `SignedOut` when the account was closed or signed out everywhere since `user` was read.
    """
    with transaction.atomic():
        hold_account(user)
        yield
        note(what, user, actor=user)


def _codes_with(user: User) -> list[str]:
    if Authenticator.objects.filter(user=user, type=Authenticator.Type.RECOVERY_CODES).exists():
        return []
    codes: list[str] = RecoveryCodes.activate(user).get_unused_codes()
    return codes


def _require_still_first(user: User, first: bool) -> None:
    if first and owns_second_factor(user):
        raise NotAllowed(_("A second factor was set up a moment ago. Give it first."))


def _use_step(app: Authenticator, digits: str) -> bool:
    step = step_of(secret=decrypt(app.data["secret"]), code=digits, after=app.data.get(_LAST_STEP, 0))
    if step is None:
        return False
    app.data[_LAST_STEP] = step
    app.save(update_fields=["data"])
    return True
