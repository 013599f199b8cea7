"""What was sent, newest last; the oldest fall out."""

import threading
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime

MAX_MESSAGES = 10_000


@dataclass(frozen=True)
class Message:
    to: str  # E.164
    text: str
    at: datetime
    gateway: str
    sender: str


class Inbox:
    """Safe from any thread."""

    def __init__(self) -> None:
        self._messages: deque[Message] = deque(maxlen=MAX_MESSAGES)
        self._guard = threading.Lock()

    def add(self, *, to: str, text: str, gateway: str, sender: str) -> None:
        with self._guard:
            self._messages.append(Message(to, text, datetime.now(UTC), gateway, sender))

    def newest_first(self, to: str | None = None) -> list[Message]:
        with self._guard:
            return [message for message in reversed(self._messages) if to is None or message.to == to]

    def clear(self) -> None:
        with self._guard:
            self._messages.clear()
