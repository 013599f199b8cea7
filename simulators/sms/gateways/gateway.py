"""What every vendor's shape has in common."""

import base64
import binascii
import hmac
import re
from abc import ABC, abstractmethod
from typing import ClassVar

from simulators.sms.faults import Kind
from simulators.sms.inbox import Inbox
from simulators.web import Request, Response

# What InforU and 019 take: local Israeli mobile and landline numbers, never E.164.
_LOCAL_IL = re.compile(r"0?([2-9]\d{7,8})", re.ASCII)
SENDER = re.compile(r"[A-Za-z0-9 ]{1,11}", re.ASCII)


class Gateway(ABC):
    """`key` None: any credential that is not empty will do."""

    name: ClassVar[str]

    def __init__(self, inbox: Inbox, key: str | None) -> None:
        self.inbox = inbox
        self._key = key

    @abstractmethod
    def claims(self, path: str) -> bool: ...

    @abstractmethod
    def answer(self, request: Request, refusal: Kind | None) -> Response:
        """Send, or refuse for `refusal` (REJECTED or NO_CREDIT), in the vendor's shape. Nothing is half sent."""

    def accepts(self, credential: str) -> bool:
        if self._key is None:
            return credential != ""
        return hmac.compare_digest(credential.encode(errors="replace"), self._key.encode())


def basic_credentials(request: Request) -> tuple[str, str]:
    """User and password; both empty when there are none to read."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        user, _, password = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return "", ""
    return user, password


def local_israeli(number: object) -> str | None:
    """E.164 of `05XXXXXXXX` or `5XXXXXXXX`; None for anything else."""
    match = _LOCAL_IL.fullmatch(number) if isinstance(number, str) else None
    return f"+972{match[1]}" if match else None
