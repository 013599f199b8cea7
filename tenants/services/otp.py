"""One-time codes by SMS (NIST SP 800-63B-4 §3.1.3, OWASP ASVS 5.0 §6.5 and §6.6).

Six digits, five minutes, five guesses, one use, bound to the phone and to who asked. Sending costs money and can be
abused for it, so sends are limited by number, number range, address, network, country and a daily budget, and stop
when the counters can't be reached.
"""

import logging
import secrets
from collections import Counter
from datetime import timedelta
from threading import BoundedSemaphore
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone, translation
from django.utils.crypto import constant_time_compare, salted_hmac
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from core.addresses import network_of, site_of
from core.errors import InvalidInput, NotAllowed, TooMany, Unavailable
from core.limits import Limit, take, wait_of
from core.sms import OtpText, SmsError, gateway
from core.turns import turn
from tenants.models import OtpChallenge, User
from tenants.phones import region_of
from tenants.services.people import ensure_customer

logger = logging.getLogger(__name__)

LIFETIME = timedelta(minutes=5)
MAX_GUESSES = 5
RESEND_AFTER = timedelta(seconds=60)
# Of the twenty threads that serve the web: a gateway that hangs must leave the others to unlocks and heartbeats.
_SENDING = BoundedSemaphore(6)
_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)
# Of the codes of a day to one country: with so many sent and so few used somebody earns by the messages themselves.
_MANY, _USED_BY_PEOPLE = 100, 0.4


def binding_of(challenge: UUID) -> str:
    """Who asked over REST: whoever was given this random id alone, so that nobody else ends or guesses their code."""
    return f"api:{challenge}"


def request_otp(*, phone: str, binding: str, address: str, language: str, host: str) -> OtpChallenge:
    """Send a new code to `phone` (E.164); earlier codes of the same asker end. The same for known and unknown phones.

    `binding` names who asked; `host` is the origin the browser may fill the code in at (WebOTP).
    Raises `TooMany` and, when the gateway or the counters don't answer, `Unavailable`. Talks to the gateway.
    """
    with turn(_SENDING, refusal=_("The message could not be sent. Please try again in a minute.")):
        return _send(phone, binding, address, language, host)


def _send(phone: str, binding: str, address: str, language: str, host: str) -> OtpChallenge:
    limits = _send_limits(phone, address)
    try:
        take(limits, fail_closed=True)
    except TooMany:
        _tell_of_budget(limits)
        raise
    code = f"{secrets.randbelow(10**6):06d}"
    now = timezone.now()
    with transaction.atomic():
        OtpChallenge.objects.filter(phone=phone, binding=binding, expires_at__gt=now).update(expires_at=now)
        challenge = OtpChallenge(phone=phone, binding=binding, expires_at=now + LIFETIME)
        challenge.code_hmac = _hmac(challenge, code)
        challenge.save()
    with translation.override(language):
        text = gettext("Your CartWise code is %(code)s. It works for 5 minutes.") % {"code": code}
    try:
        gateway().send_otp(OtpText(phone=phone, code=code, text=f"{text}\n\n@{host} #{code}"))
    except SmsError as error:
        OtpChallenge.objects.filter(pk=challenge.pk).update(expires_at=now)
        raise Unavailable(_("The message could not be sent. Please try again in a minute.")) from error
    return challenge


def verify_otp(*, phone: str, code: str, binding: str, address: str) -> None:
    """Use up the code, or raise `InvalidInput`: wrong, expired, used, guessed too often, asked by somebody else.

    A guess is counted before it is compared, in one statement, so that parallel guesses all count.
    """
    # None by phone: a stranger could use it up. A phone's guesses are bounded by its sends, five guesses each.
    take([Limit(f"otp-guess:address:{network_of(address)}", 100, _HOUR)], fail_closed=True)
    now = timezone.now()
    found = OtpChallenge.objects.filter(phone=phone, binding=binding).order_by("-created_at").first()
    challenge = found or OtpChallenge(phone=phone)  # nobody's, which no code fits: answer and queries are the same
    alive = OtpChallenge.objects.filter(pk=challenge.pk, used_at__isnull=True, expires_at__gt=now)
    counted = alive.filter(guesses__lt=MAX_GUESSES).update(guesses=F("guesses") + 1)
    if found and not counted:
        raise InvalidInput(errors={"code": [_("This code no longer works. Ask for a new one.")]})
    if not constant_time_compare(_hmac(challenge, code), challenge.code_hmac):
        raise _wrong_code()
    if not alive.update(used_at=now):
        raise _wrong_code()


def sign_in_with_code(*, phone: str, code: str, binding: str, address: str, language: str) -> User:
    """The customer with this phone, made when new, for the code that was sent to it. Raises `InvalidInput`.

    `NotAllowed` for people without an active account. Staff and managers come in as customers: a phone alone, which a
    stranger may take over at a counter of the operator, is no second factor.
    """
    verify_otp(phone=phone, code=code, binding=binding, address=address)
    customer = ensure_customer(phone=phone, language=language)
    if not customer.is_active:
        raise NotAllowed
    return customer


def forget_old_challenges() -> int:
    """Delete codes that ended a day ago: they name phones."""
    return OtpChallenge.objects.filter(expires_at__lt=timezone.now() - _DAY).delete()[0]


def warn_of_unused_codes() -> None:
    """Log for which countries, or in all, the codes of the last day were mostly never used. One query, a day's rows."""
    until = timezone.now() - LIFETIME
    # What the gateway refused ended as it began.
    rows = OtpChallenge.objects.filter(created_at__range=(until - _DAY, until), expires_at__gt=F("created_at"))
    sent, used = Counter[str](), Counter[str]()
    for phone, used_at in rows.values_list("phone", "used_at").iterator():
        for country in (region_of(phone), "all"):
            sent[country] += 1
            used[country] += used_at is not None
    for country, count in sent.items():
        if count >= _MANY and used[country] < _USED_BY_PEOPLE * count:
            told = {"country": country, "sent": count, "used": used[country]}
            logger.warning("most codes by SMS were never used", extra=told)


def resend_wait(*, phone: str, binding: str) -> int:
    """Seconds until the next code may be asked for."""
    last = OtpChallenge.objects.filter(phone=phone, binding=binding).order_by("-created_at").first()
    if last is None:
        return 0
    return max(0, int((last.created_at + RESEND_AFTER - timezone.now()).total_seconds()) + 1)


def _send_limits(phone: str, address: str) -> list[Limit]:
    return [
        Limit(f"otp-send:number:{phone}", 1, RESEND_AFTER),
        Limit(f"otp-send:number-hour:{phone}", 5, _HOUR),
        Limit(f"otp-send:range:{phone[:-3]}", 20, _HOUR),
        Limit(f"otp-send:address:{network_of(address)}", settings.OTP_SENDS_PER_ADDRESS_PER_HOUR, _HOUR),
        Limit(f"otp-send:network:{site_of(address)}", 10 * settings.OTP_SENDS_PER_ADDRESS_PER_HOUR, _HOUR),
        Limit(f"otp-send:country:{region_of(phone)}", max(1, settings.OTP_DAILY_BUDGET // 2), _DAY),
        Limit("otp-send:budget", settings.OTP_DAILY_BUDGET, _DAY),
    ]


def _tell_of_budget(limits: list[Limit]) -> None:
    """Log, once until it is renewed, that the day's budget of all or of a country is used up."""
    for limit in limits:
        wait = wait_of(limit) if limit.window == _DAY else 0
        if not wait:
            continue
        try:
            take([Limit(f"otp-told:{limit.key}", 1, timedelta(seconds=wait))], fail_closed=False)
        except TooMany:  # told already
            continue
        logger.error("the day's budget of codes by SMS is used up", extra={"limit": limit.key, "renewed_in_s": wait})


def _hmac(challenge: OtpChallenge, code: str) -> str:
    return salted_hmac("tenants.otp", f"{challenge.pk}:{challenge.phone}:{code}", algorithm="sha256").hexdigest()


def _wrong_code() -> InvalidInput:
    return InvalidInput(errors={"code": [_("This is not the code we sent.")]})
