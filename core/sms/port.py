"""What the product needs of an SMS gateway."""

from dataclasses import dataclass
from typing import Protocol


class SmsError(Exception):
    """The gateway did not take the message, or it is unknown whether it did."""


@dataclass(frozen=True, slots=True)
class OtpText:
    """A one-time code on its way out. `phone` is E.164; `text` ends with the WebOTP line `@host #code`.

    Gateways that own the wording (Kavenegar's approved templates) use `code` alone.
    """

    phone: str
    code: str
    text: str


class SmsGateway(Protocol):
    """One vendor's wire."""

    def send_otp(self, message: OtpText) -> str:
        """Hand the message over; answer the vendor's reference. Raises `SmsError`. One HTTP call, never repeated."""
        ...
