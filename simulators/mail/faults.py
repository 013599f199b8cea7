"""What a mail server may be told to do wrong."""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    REFUSE_LATER = "451"  # try again later, says the server after the message
    REFUSE = "550"  # no such recipient
    HANG = "hang"  # takes the message and never answers
    DROP = "drop"  # hangs up in the middle


@dataclass
class Fault:
    """`times` None: until cleared. `seconds`: how long a hang lasts."""

    kind: Kind
    times: int | None
    seconds: float
