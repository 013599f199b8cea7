"""Text messages out: one port, four gateways, chosen by `SMS_GATEWAY`."""

from core.sms.gateways import gateway
from core.sms.port import OtpText, SmsError, SmsGateway

__all__ = ["OtpText", "SmsError", "SmsGateway", "gateway"]
