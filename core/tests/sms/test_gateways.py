"""The four adapters against the simulator, a separate program that read the same vendors' documents."""

import traceback
from typing import Any

import httpx
import pytest
from pytest_django import Settings

from core import sms as sms_port
from core.sms import OtpText, SmsError, gateways
from core.tests.fixtures import DEAD_ADDRESS

KEY = "k3y-of-the-vendor"
LOCAL, ABROAD = "+972501234567", "+33612345678"
ALL = ("kavenegar", "inforu", "019", "twilio")


@pytest.fixture(params=ALL)
def vendor(request: pytest.FixtureRequest, settings: Settings) -> str:
    name: str = request.param
    settings.SMS_GATEWAY, settings.SMS_API_KEY, settings.SMS_USER = name, KEY, "AC123"
    return name


def send(phone: str = LOCAL) -> str:
    return sms_port.gateway().send_otp(OtpText(phone, "123456", "Your code is 123456.\n\n@shop.example #123456"))


def inbox(sms: httpx.Client) -> list[tuple[str, str]]:
    return [(message["to"], message["text"]) for message in sms.get("/messages").json()]


def fault(sms: httpx.Client, kind: str, **fields: Any) -> None:
    sms.post("/faults", json={"kind": kind, **fields}).raise_for_status()


def refusal() -> str:
    """What is known of a message that could not be sent, with everything a log would show of it."""
    with pytest.raises(SmsError) as caught:
        send()
    return "".join(traceback.format_exception(caught.value))


def test_message_arrives_and_has_a_reference(sms: httpx.Client, vendor: str) -> None:
    reference = send()

    text = "cartwise-otp: 123456" if vendor == "kavenegar" else "Your code is 123456.\n\n@shop.example #123456"
    assert inbox(sms) == [(LOCAL, text)]
    assert reference not in ("", "None")


def test_both_shapes_of_a_vendors_answer_are_understood(sms: httpx.Client, vendor: str) -> None:
    send()
    send()

    assert len(inbox(sms)) == 2


def test_message_in_hebrew_arrives_whole(sms: httpx.Client, vendor: str) -> None:
    text = "הקוד שלך הוא 123456.\n\n@shop.example #123456"

    sms_port.gateway().send_otp(OtpText(LOCAL, "123456", text))

    assert inbox(sms)[0][1] == ("cartwise-otp: 123456" if vendor == "kavenegar" else text)


def test_number_abroad_is_reached_or_refused_and_never_a_stranger(sms: httpx.Client, vendor: str) -> None:
    try:
        send(ABROAD)
    except SmsError:
        assert inbox(sms) == []
    else:
        assert [to for to, _ in inbox(sms)] == [ABROAD]


def test_iranian_number_is_sent_in_its_local_form(sms: httpx.Client, settings: Settings) -> None:
    settings.SMS_GATEWAY, settings.SMS_API_KEY = "kavenegar", KEY

    send("+989121234567")

    assert inbox(sms) == [("+989121234567", "cartwise-otp: 123456")]


@pytest.mark.parametrize("kind", ["rejected", "no_credit", "html", "http_500"])
def test_failure_is_told_without_the_key(
    sms: httpx.Client, vendor: str, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    fault(sms, kind)

    told = refusal()

    assert inbox(sms) == []
    assert KEY not in told + caplog.text


def test_answer_that_never_comes_is_a_failure_without_the_key(
    sms: httpx.Client, vendor: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(gateways, "TIMEOUT", httpx.Timeout(0.2))
    fault(sms, "timeout", seconds=0.4)

    told = refusal()

    assert "no answer: ReadTimeout" in told
    assert KEY not in told + caplog.text
    assert len(inbox(sms)) == 1


def test_nobody_there_is_a_failure_without_the_key(vendor: str, settings: Settings) -> None:
    settings.SMS_BASE_URL = f"http://{DEAD_ADDRESS}"

    told = refusal()

    assert "no answer: ConnectError" in told
    assert KEY not in told


def test_missing_key_is_refused_by_every_vendor(sms: httpx.Client, vendor: str, settings: Settings) -> None:
    settings.SMS_API_KEY = ""

    refusal()

    assert inbox(sms) == []


def test_gateway_nobody_wrote_is_no_gateway(settings: Settings) -> None:
    settings.SMS_GATEWAY = "pigeon"

    with pytest.raises(KeyError):
        sms_port.gateway()
