"""The inbox, its page, and misbehaviour on order."""

import httpx
import pytest

NUMBER = "+972501234567"


def send(client: httpx.Client, text: str = "code 1", to: str = NUMBER, **options: float) -> httpx.Response:
    fields = {"To": to, "From": "CartWise", "Body": text}
    return client.post("/2010-04-01/Accounts/AC1/Messages.json", data=fields, auth=("AC1", "token"), **options)


def texts(client: httpx.Client, query: str = "") -> list[str]:
    return [message["text"] for message in client.get(f"/messages{query}").json()]


def fault(client: httpx.Client, kind: str, **fields: object) -> None:
    client.post("/faults", json={"kind": kind, **fields}).raise_for_status()


def test_messages_come_newest_first_with_three_fields(sms: httpx.Client) -> None:
    for text in ("one", "two"):
        send(sms, text)
    found = sms.get("/messages").json()
    assert [sorted(message) for message in found] == [["at", "text", "to"]] * 2
    assert [message["text"] for message in found] == ["two", "one"]
    assert found[0]["at"].endswith("Z")


@pytest.mark.parametrize("query", ["?to=%2B972501234567", "?to=+972501234567", "?to=972501234567"])
def test_messages_of_one_number_however_its_plus_is_spelt(sms: httpx.Client, query: str) -> None:
    send(sms, "mine")
    send(sms, "other", to="+972501234568")
    assert texts(sms, query) == ["mine"]


def test_deleted_messages_are_gone(sms: httpx.Client) -> None:
    send(sms)
    assert sms.delete("/messages").status_code == 200
    assert texts(sms) == []


def test_inbox_keeps_the_last_ten_thousand(sms: httpx.Client) -> None:
    receptors = ",".join(["09123456789"] * 200)
    for batch in range(51):
        fields = {"receptor": receptors, "message": f"batch {batch}"}
        assert sms.post("/v1/key/sms/send.json", data=fields).json()["return"]["status"] == 200
    found = texts(sms)
    assert (len(found), found[0], found[-1]) == (10_000, "batch 50", "batch 1")


def test_page_shows_messages_as_text(sms: httpx.Client) -> None:
    send(sms, "<script>alert(1)</script>")
    page = sms.get("/")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page.text
    assert "<script" not in page.text
    assert '<meta http-equiv="refresh"' in page.text


def test_healthz_says_ok(sms: httpx.Client) -> None:
    assert sms.get("/healthz").json() == {"status": "ok"}


def test_http_500_and_html_strike_once_and_send_nothing(sms: httpx.Client) -> None:
    fault(sms, "http_500")
    fault(sms, "html")
    assert send(sms).status_code == 500
    html = send(sms)
    assert (html.status_code, html.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert texts(sms) == []
    assert send(sms).status_code == 201


def test_timeout_delivers_the_message_and_never_answers(sms: httpx.Client) -> None:
    fault(sms, "timeout", seconds=5)
    with pytest.raises(httpx.ReadTimeout):
        send(sms, timeout=0.2)
    assert texts(sms) == ["code 1"]


def test_timeout_may_lose_the_message_and_hangs_up_in_the_end(sms: httpx.Client) -> None:
    fault(sms, "timeout", seconds=0, delivers=False)
    with pytest.raises(httpx.RemoteProtocolError):
        send(sms)
    assert texts(sms) == []


def test_slow_answers_after_its_seconds(sms: httpx.Client) -> None:
    fault(sms, "slow", seconds=0.1)
    response = send(sms)
    assert response.status_code == 201
    assert response.elapsed.total_seconds() >= 0.1


@pytest.mark.parametrize(
    ("kind", "kavenegar", "inforu", "status_019", "twilio"),
    [
        ("rejected", 411, -18, 5, 21610),
        ("no_credit", 418, -13, 4, 20005),
    ],
)
def test_refusals_are_in_each_vendors_words(
    sms: httpx.Client, kind: str, kavenegar: int, inforu: int, status_019: int, twilio: int
) -> None:
    fault(sms, kind, times=4)
    message = {"Message": "x", "Recipients": [{"Phone": "0501234567"}], "Settings": {"Sender": "CartWise"}}
    order = {
        "user": {"username": "u"},
        "source": "CartWise",
        "destinations": {"phone": "0501234567"},
        "message": "x",
    }
    fields = {"receptor": "09123456789", "token": "1", "template": "otp"}

    lookup = sms.post("/v1/key/verify/lookup.json", data=fields).json()
    sent = sms.post("/api/v2/SMS/SendSms", json={"Data": message}, auth=("u", "t")).json()
    reply = sms.post("/api", json={"sms": order}, headers={"Authorization": "Bearer t"}).json()

    assert lookup["return"]["status"] == kavenegar
    assert sent["StatusId"] == inforu
    assert int(reply.get("sms", reply)["status"]) == status_019
    assert send(sms).json()["code"] == twilio
    assert texts(sms) == []


def test_fault_of_one_gateway_spares_the_others(sms: httpx.Client) -> None:
    fault(sms, "http_500", gateway="kavenegar", times=None)
    assert send(sms).status_code == 201


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'{"kind": "gremlin"}',
        b'{"kind": "slow", "seconds": 1000}',
        b'{"kind": "slow", "seconds": NaN}',
        b'{"kind": "slow", "times": 0}',
        b'{"kind": "slow", "gateway": "vonage"}',
    ],
)
def test_bad_fault_is_refused_with_a_reason(sms: httpx.Client, body: bytes) -> None:
    response = sms.post("/faults", content=body)
    assert (response.status_code, list(response.json())) == (400, ["error"])


def test_oversized_body_is_413_on_every_path(sms: httpx.Client) -> None:
    for path in ("/faults", "/api", "/v1/key/sms/send.json"):
        assert sms.post(path, content=b"x" * 70_000).status_code == 413


def test_text_that_is_no_unicode_does_not_stop_the_inbox(sms: httpx.Client) -> None:
    body = (
        b'{"Data": {"Message": "\\ud800", "Recipients": [{"Phone": "0501234567"}], "Settings": {"Sender": "CartWise"}}}'
    )
    assert sms.post("/api/v2/SMS/SendSms", content=body, auth=("u", "t")).json()["StatusId"] == 1
    assert sms.get("/").status_code == 200
    assert sms.get("/messages").status_code == 200
