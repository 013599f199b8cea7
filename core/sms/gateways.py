"""The four gateways' wires. Each converts the number to the form its vendor expects, here at the edge and nowhere else.

Sources: Twilio Messages API 2010-04-01, Kavenegar REST v1 (verify/lookup), InforU API v2 (SendSms), 019 SMS JSON API.
"""

import base64
from typing import Any

import httpx
import phonenumbers
from django.conf import settings

from core.sms.port import OtpText, SmsError, SmsGateway

TIMEOUT = httpx.Timeout(6.0, connect=3.0)


def gateway() -> SmsGateway:
    """The gateway the settings name. Raises `KeyError` for a name nobody wrote an adapter for."""
    adapters: dict[str, type[SmsGateway]] = {
        "kavenegar": Kavenegar,
        "inforu": InforU,
        "019": Sms019,
        "twilio": Twilio,
    }
    return adapters[settings.SMS_GATEWAY]()


def _post(path: str, **arguments: Any) -> tuple[int, dict[str, Any]]:
    """POST and read a JSON object. The URL is never part of an error: Kavenegar's holds the key."""
    try:
        response = httpx.post(f"{settings.SMS_BASE_URL}{path}", timeout=TIMEOUT, follow_redirects=False, **arguments)
        body = response.json()
    except httpx.HTTPError as error:
        raise SmsError(f"no answer: {type(error).__name__}") from None
    except ValueError:
        raise SmsError(f"HTTP {response.status_code} without JSON") from None
    if not isinstance(body, dict):
        raise SmsError(f"HTTP {response.status_code} with an unexpected shape")
    return response.status_code, body


def _local(phone: str) -> str:
    """`+972501234567` → `0501234567`: national digits with the trunk prefix, as local gateways want them."""
    number = phonenumbers.parse(phone)
    return f"0{phonenumbers.national_significant_number(number)}"


def _basic(user: str, secret: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{secret}".encode()).decode()


class Kavenegar:
    """Iran. The approved template owns the text; the API key is a part of the path."""

    def send_otp(self, message: OtpText) -> str:
        data = {"receptor": _receptor(message.phone), "token": message.code, "template": settings.SMS_TEMPLATE}
        _, body = _post(f"/v1/{settings.SMS_API_KEY}/verify/lookup.json", data=data)
        result = body.get("return")
        # Success is said in the body; the HTTP status says nothing.
        if not isinstance(result, dict) or result.get("status") != 200:
            raise SmsError(f"Kavenegar: {result.get('status') if isinstance(result, dict) else 'no return'}")
        entries = body.get("entries") or [{}]
        return str(entries[0].get("messageid", ""))


def _receptor(phone: str) -> str:
    return _local(phone) if phone.startswith("+98") else f"00{phone[1:]}"


class InforU:
    """Israel. HTTP 200 always; `StatusId` 1 is success."""

    def send_otp(self, message: OtpText) -> str:
        payload = {
            "Data": {
                "Message": message.text,
                "Recipients": [{"Phone": _local(message.phone) if message.phone.startswith("+972") else message.phone}],
                "Settings": {"Sender": settings.SMS_SENDER},
            }
        }
        headers = {"Authorization": _basic(settings.SMS_USER, settings.SMS_API_KEY)}
        _, body = _post("/api/v2/SMS/SendSms", json=payload, headers=headers)
        if body.get("StatusId") != 1:
            raise SmsError(f"InforU: {body.get('StatusId')}")
        return str(body.get("RequestId", ""))


class Sms019:
    """Israel only. Status 0 is success, as a number or a string, sometimes one level down."""

    def send_otp(self, message: OtpText) -> str:
        # Without its country code a foreign number would be some stranger's Israeli one.
        if not message.phone.startswith("+972"):
            raise SmsError("019: not an Israeli number")
        payload = {
            "sms": {
                "user": {"username": settings.SMS_USER},
                "source": settings.SMS_SENDER,
                "destinations": {"phone": _local(message.phone)},
                "message": message.text,
            }
        }
        _, body = _post("/api", json=payload, headers={"Authorization": f"Bearer {settings.SMS_API_KEY}"})
        answer = body["sms"] if isinstance(body.get("sms"), dict) else body
        if str(answer.get("status")) != "0":
            raise SmsError(f"019: {answer.get('status')}")
        return str(answer.get("shipment_id", ""))


class Twilio:
    """Everywhere. Form-encoded, E.164, 201 with a sid."""

    def send_otp(self, message: OtpText) -> str:
        status, body = _post(
            f"/2010-04-01/Accounts/{settings.SMS_USER}/Messages.json",
            data={"To": message.phone, "From": settings.SMS_SENDER, "Body": message.text},
            headers={"Authorization": _basic(settings.SMS_USER, settings.SMS_API_KEY)},
        )
        if status != 201 or not body.get("sid"):
            raise SmsError(f"Twilio: HTTP {status}, code {body.get('code')}")
        return str(body["sid"])
