"""E-mail, sent while the person waits: over SMTP, by a few threads at a time, never inside a transaction."""

import logging
from threading import BoundedSemaphore

from django.core.mail import EmailMessage
from django.utils.translation import gettext_lazy as _

from core.errors import Unavailable
from core.turns import turn

logger = logging.getLogger(__name__)
# Of the twenty threads that serve the web: a mail server that hangs must leave the others to unlocks and heartbeats.
_SENDING = BoundedSemaphore(4)
_NOT_SENT = _("The e-mail could not be sent. Please try again in a minute.")


def send_message(message: EmailMessage) -> None:
    """Hand one message to the mail server, which has `EMAIL_TIMEOUT` for each of its answers. Raises `Unavailable`."""
    with turn(_SENDING, refusal=_NOT_SENT, patience_s=0.5):
        try:
            message.send()
        except OSError as error:  # which `SMTPException` is too
            # The server's own words may name the address.
            logger.warning("mail not sent", extra={"error": type(error).__name__})
            raise Unavailable(_NOT_SENT) from error
