"""How often somebody may try to come in. All fail closed: without the counters nobody guesses, and no mail goes out."""

import hashlib
from datetime import timedelta

from core.addresses import network_of
from core.limits import Limit, take

MAX_GUESSES = 5
_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)


def take_password_try(*, name: str, address: str) -> None:
    """One try at a password: 10 an hour at a name, 30 an hour from an address. Raises `TooMany`, `Unavailable`."""
    take(
        [
            Limit(f"sign-in:name:{name.strip().lower()}", 10, _HOUR),
            Limit(f"sign-in:address:{network_of(address)}", 30, _HOUR),
        ],
        fail_closed=True,
    )


def take_sign_up(*, address: str) -> None:
    """One new account from an address. Raises `TooMany`, `Unavailable`."""
    take([Limit(f"sign-up:address:{network_of(address)}", 20, _HOUR)], fail_closed=True)


def take_mail(*, to: str, address: str) -> None:
    """One mail somebody asked for, to an address that may be a stranger's. Raises `TooMany`, `Unavailable`."""
    take(
        [
            Limit(f"mail:to-hour:{to.lower()}", 5, _HOUR),
            Limit(f"mail:to-day:{to.lower()}", 20, _DAY),
            Limit(f"mail:address:{network_of(address)}", 30, _HOUR),
        ],
        fail_closed=True,
    )


def take_code_guess(*, session: str, code: str, address: str) -> None:
    """One guess at a code that was sent by mail: five a code, however many come at once.

    Counted here before it is compared: the session counts too, but is read before others wrote to it.
    Raises `TooMany`, `Unavailable`.
    """
    key = hashlib.sha256(f"{session}:{code}".encode()).hexdigest()
    take(
        [
            Limit(f"code-guess:{key}", MAX_GUESSES, _HOUR),
            Limit(f"code-guess:address:{network_of(address)}", 100, _HOUR),
        ],
        fail_closed=True,
    )


def take_google_return(*, address: str) -> None:
    """One return from Google, which costs requests to it. Raises `TooMany`, `Unavailable`."""
    take([Limit(f"google:address:{network_of(address)}", 60, _HOUR)], fail_closed=True)
