"""Accounts for programs' users: an address, a password, and a code mailed to the address (OWASP ASVS 5.0 §6.5, §6.6).

Until the code comes back there is no account, only a `Registration`: nothing can be done with it, and nothing stands in
the way of whoever owns the address. Answers and times are the same for known and unknown addresses.
"""

import secrets
from datetime import timedelta
from uuid import UUID

from allauth.account.models import EmailAddress
from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.mail import EmailMessage
from django.db import IntegrityError, transaction
from django.db.models import F, Q
from django.utils import timezone, translation
from django.utils.crypto import constant_time_compare, salted_hmac
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from core.addresses import network_of
from core.errors import InvalidInput
from core.limits import Limit, take
from core.mail import send_message
from core.rows import note
from tenants.models import Registration, User
from tenants.services.sessions import sign_out_everywhere
from tenants.sign_in_limits import take_mail, take_sign_up

LIFETIME = timedelta(minutes=5)
MAX_GUESSES = 5


def request_registration(*, email: str, password: str, name: str, language: str, address: str) -> Registration:
    """Keep what an account would begin with and mail the code that begins it; its owner is told of a known address.

    Raises `InvalidInput` for a weak password, `TooMany`, and `Unavailable` when the mail or the counters don't go.
    """
    email = email.lower()
    try:
        validate_password(password, User(email=email, name=name))
    except ValidationError as error:
        raise InvalidInput(errors={"password": error.messages}) from None
    take_sign_up(address=address)
    take_mail(to=email, address=address)
    code = f"{secrets.randbelow(10**6):06d}"
    known = _is_known(email)
    registration = Registration(
        email=email,
        password=make_password(password),
        name=name,
        language=language,
        expires_at=timezone.now() + LIFETIME,
    )
    registration.code_hmac = "" if known else _hmac(registration, code)
    registration.save()
    with translation.override(language):
        subject, text = _text_for_known() if known else _text_with(code)
        send_message(EmailMessage(subject, text, to=[email]))
    return registration


def verify_registration(*, registration_id: UUID, code: str, address: str) -> User:
    """Begin the account whose code this is. Raises `InvalidInput`: wrong, expired, used, guessed too often, unknown.

    A guess is counted before it is compared, in one statement, so that parallel guesses all count.
    """
    take([Limit(f"code-guess:address:{network_of(address)}", 100, timedelta(hours=1))], fail_closed=True)
    now = timezone.now()
    alive = Registration.objects.filter(pk=registration_id, used_at__isnull=True, expires_at__gt=now)
    if not alive.filter(guesses__lt=MAX_GUESSES).update(guesses=F("guesses") + 1):
        raise _over()
    registration = Registration.objects.get(pk=registration_id)
    if not constant_time_compare(_hmac(registration, code), registration.code_hmac):
        raise InvalidInput(errors={"code": [_("This is not the code we sent.")]})
    try:
        with transaction.atomic():
            if not alive.update(used_at=now):
                raise _over()
            return _begin_account(registration)
    except IntegrityError:  # another registration of the address was faster
        raise _over() from None


def forget_old_registrations() -> int:
    """Delete those whose time is over: they name addresses."""
    return Registration.objects.filter(expires_at__lt=timezone.now()).delete()[0]


def _begin_account(registration: Registration) -> User:
    """The account, its address verified. One that was begun elsewhere and never proved is the prover's from now on."""
    email = registration.email
    user = User.objects.select_for_update().filter(email=email).first()
    if _is_known(email):
        raise _over()
    if user is None:
        user = User.objects.create(
            email=email, name=registration.name, language=registration.language, password=registration.password
        )
    else:
        user.password = registration.password
        user.save(update_fields=["password"])
        sign_out_everywhere(user.pk)
        user.refresh_from_db(fields=["token_version"])
    EmailAddress.objects.filter(user=user).exclude(email=email).delete()
    EmailAddress.objects.update_or_create(user=user, email=email, defaults={"verified": True, "primary": True})
    note("registered", user, actor=user)
    return user


def _is_known(email: str) -> bool:
    """Whether an account holds this address for good. One that nobody proved, used or was given a role does not."""
    proved = EmailAddress.objects.filter(email=email, verified=True).exists()
    # Asked whatever the first says: the time must not tell.
    in_use = Q(is_active=False) | Q(last_login__isnull=False) | Q(grants__isnull=False)
    used = User.objects.filter(in_use, email=email).exists()
    return proved or used


def _text_with(code: str) -> tuple[str, str]:
    text = gettext(
        "Your CartWise code is %(code)s. It works for 5 minutes.\n\n"
        "You did not ask for an account? Then ignore this mail: without the code there is none."
    )
    return gettext("Your CartWise code"), text % {"code": code}


def _text_for_known() -> tuple[str, str]:
    text = gettext(
        "Somebody, perhaps you, tried to open a CartWise account with this address. You already have one: sign in, or"
        " reset your password at %(url)s.\n\nIt was not you? Then there is nothing to do: nothing was changed."
    )
    return gettext("You already have a CartWise account"), text % {"url": f"{settings.PUBLIC_URL}/auth/password-reset"}


def _hmac(registration: Registration, code: str) -> str:
    return salted_hmac("tenants.registration", f"{registration.pk}:{code}", algorithm="sha256").hexdigest()


def _over() -> InvalidInput:
    return InvalidInput(errors={"code": [_("This code no longer works. Ask for a new one.")]})
