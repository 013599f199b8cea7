"""What was sent, newest last; the oldest fall out."""

import email.policy
import threading
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes

MAX_MESSAGES = 10_000


@dataclass(frozen=True)
class Message:
    to: str  # an envelope recipient, in lower case
    sender: str  # of the envelope
    subject: str
    text: str
    html: str
    at: datetime


def parse_message(to: str, sender: str, content: bytes) -> Message:
    """The readable parts of a message as it came over the wire (RFC 5322); what it does not have is empty."""
    parsed = message_from_bytes(content, policy=email.policy.default)
    parts = {kind: parsed.get_body((kind,)) for kind in ("plain", "html")}
    text, html = (str(part.get_content()) if part is not None else "" for part in parts.values())
    return Message(to.lower(), sender, str(parsed.get("Subject", "")), text, html, datetime.now(UTC))


class Inbox:
    """Safe from any thread."""

    def __init__(self) -> None:
        self._messages: deque[Message] = deque(maxlen=MAX_MESSAGES)
        self._guard = threading.Lock()

    def add(self, message: Message) -> None:
        with self._guard:
            self._messages.append(message)

    def newest_first(self, to: str | None = None) -> list[Message]:
        with self._guard:
            return [message for message in reversed(self._messages) if to is None or message.to == to.lower()]

    def clear(self) -> None:
        with self._guard:
            self._messages.clear()
