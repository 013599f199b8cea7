"""What a gateway may be told to do wrong."""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    TIMEOUT = "timeout"  # the message goes out, the answer never comes
    HTTP_500 = "http_500"
    HTML = "html"  # 200 with somebody's error page
    REJECTED = "rejected"  # the vendor's own refusal of the recipient
    NO_CREDIT = "no_credit"
    SLOW = "slow"


DEFAULT_SECONDS = {Kind.TIMEOUT: 30.0, Kind.SLOW: 2.0}


@dataclass
class Fault:
    """`gateway` None: any. `times` None: until cleared. `delivers`: whether a timeout's message reaches the inbox."""

    kind: Kind
    gateway: str | None
    times: int | None
    seconds: float
    delivers: bool
