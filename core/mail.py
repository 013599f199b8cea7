"""E-mail, sent while the person waits: over SMTP, by a few threads at a time, never inside a transaction."""

import logging
from smtplib import SMTPException
from threading import BoundedSemaphore

from django.core.mail import EmailMessage
from django.utils.translation import gettext_lazy as _

from core.errors import Unavailable

logger = logging.getLogger(__name__)
# Of the twenty threads that serve the web: a mail server that hangs must leave the others to unlocks and heartbeats.
_SENDING = BoundedSemaphore(4)


def send_message(message: EmailMessage) -> None:
    """Hand one message to the mail server. Raises `Unavailable` when it does not take it within `EMAIL_TIMEOUT`."""
    if not _SENDING.acquire(blocking=False):
        raise _not_sent()
    try:
        message.send()
    except (OSError, SMTPException) as error:
        # The server's own words may name the address.
        logger.warning("mail not sent", extra={"error": type(error).__name__})
        raise _not_sent() from error
    finally:
        _SENDING.release()


def _not_sent() -> Unavailable:
    return Unavailable(_("The e-mail could not be sent. Please try again in a minute."))
