"""The four vendors' shapes: what they take, what they answer, how they refuse."""

from typing import Any
from xml.etree import ElementTree

import httpx
import pytest

TEXT = "קוד: 747723\n@example.com #747723"
XML = "text/xml; charset=utf-8"


def inbox(client: httpx.Client) -> list[tuple[str, str]]:
    return [(message["to"], message["text"]) for message in client.get("/messages").json()]


# Kavenegar


def lookup(client: httpx.Client, key: str = "key", **fields: str) -> httpx.Response:
    return client.post(f"/v1/{key}/verify/lookup.json", data={"template": "otp", "token": "747723", **fields})


@pytest.mark.parametrize("receptor", ["09123456789", "00989123456789"])
def test_kavenegar_lookup_renders_the_template_with_the_token(sms: httpx.Client, receptor: str) -> None:
    response = lookup(sms, receptor=receptor)
    body = response.json()
    assert (response.status_code, body["return"]["status"]) == (200, 200)
    assert sorted(body["entries"][0]) == [
        "cost",
        "date",
        "message",
        "messageid",
        "receptor",
        "sender",
        "status",
        "statustext",
    ]
    assert inbox(sms) == [("+989123456789", "otp: 747723")]


def test_kavenegar_lookup_takes_its_fields_from_the_query_as_well(sms: httpx.Client) -> None:
    query = {"receptor": "09123456789", "template": "otp", "token": "1", "token2": "2", "type": "sms"}
    assert sms.get("/v1/key/verify/lookup.json", params=query).json()["return"]["status"] == 200
    assert inbox(sms) == [("+989123456789", "otp: 1 2")]


def test_kavenegar_template_with_a_text_is_filled_in(strict: httpx.Client) -> None:
    assert lookup(strict, "right", receptor="09123456789").json()["return"]["status"] == 200
    assert inbox(strict)[0] == ("+989123456789", "Your code: 747723\n@shop.example #747723")


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"receptor": "+989123456789"}, 411),
        ({"receptor": "9123456789"}, 411),
        ({}, 411),
        ({"receptor": "09123456789,09123456780"}, 414),
        ({"receptor": "09123456789", "token": "74 77"}, 431),
        ({"receptor": "09123456789", "token": ""}, 400),
        ({"receptor": "09123456789", "template": "no such name!"}, 424),
        ({"receptor": "09123456789", "token": "abc", "type": "call"}, 428),
    ],
)
def test_kavenegar_refuses_in_the_body_of_a_200(sms: httpx.Client, fields: dict[str, str], status: int) -> None:
    response = lookup(sms, **fields)
    assert (response.status_code, response.json()["return"]["status"], response.json()["entries"]) == (
        200,
        status,
        None,
    )
    assert inbox(sms) == []


def test_kavenegar_refuses_a_wrong_key_and_an_unknown_template(strict: httpx.Client) -> None:
    assert lookup(strict, "wrong", receptor="09123456789").json()["return"]["status"] == 403
    assert lookup(strict, "right", receptor="09123456789", template="other").json()["return"]["status"] == 424


def test_kavenegar_send_takes_a_text_and_several_receptors(sms: httpx.Client) -> None:
    fields = {"receptor": "09123456789,09123456780", "message": TEXT}
    assert sms.post("/v1/key/sms/send.json", data=fields).json()["return"]["status"] == 200
    assert inbox(sms) == [("+989123456780", TEXT), ("+989123456789", TEXT)]


def test_kavenegar_unknown_method_is_404_in_the_body(sms: httpx.Client) -> None:
    response = sms.post("/v1/key/account/info.json")
    assert (response.status_code, response.json()["return"]["status"]) == (200, 404)


# InforU


def inforu(client: httpx.Client, token: str = "token", **changed: Any) -> httpx.Response:
    data = {"Message": TEXT, "Recipients": [{"Phone": "0501234567"}], "Settings": {"Sender": "CartWise"}, **changed}
    return client.post("/api/v2/SMS/SendSms", json={"Data": data}, auth=("user", token))


def test_inforu_sends_to_a_local_number(sms: httpx.Client) -> None:
    body = inforu(sms).json()
    assert (body["StatusId"], body["StatusDescription"], body["Data"]) == (1, "Success", {"Recipients": 1})
    assert inbox(sms) == [("+972501234567", TEXT)]


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"Message": ""}, -9),
        ({"Recipients": []}, -6),
        ({"Recipients": [{"Phone": "+972501234567"}]}, -18),
        ({"Recipients": ["0501234567"]}, -18),
        ({"Settings": {"Sender": "a name too long"}}, -21),
        ({"Settings": None}, -21),
    ],
)
def test_inforu_refuses_in_the_body_of_a_200(sms: httpx.Client, changed: dict[str, Any], status: int) -> None:
    response = inforu(sms, **changed)
    assert (response.status_code, response.json()["StatusId"]) == (200, status)
    assert inbox(sms) == []


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"Data": 1}', b"[" * 60_000, b'{"Data": "\xff"}'])
def test_inforu_malformed_document_gets_its_own_error(sms: httpx.Client, body: bytes) -> None:
    response = sms.post("/api/v2/SMS/SendSms", content=body, auth=("user", "token"))
    assert (response.status_code, response.json()["StatusId"]) == (200, -11)


def test_inforu_refuses_missing_and_wrong_credentials(sms: httpx.Client, strict: httpx.Client) -> None:
    assert sms.post("/api/v2/SMS/SendSms", json={}).json()["StatusId"] == -2
    assert inforu(strict, "wrong").json()["StatusId"] == -2
    assert inforu(strict, "right").json()["StatusId"] == 1


# 019


def sms019(client: httpx.Client, token: str = "token", path: str = "/api", **changed: Any) -> dict[str, Any]:
    order = {
        "user": {"username": "cartwise"},
        "source": "CartWise",
        "destinations": {"phone": "0501234567"},
        "message": TEXT,
        **changed,
    }
    response = client.post(path, json={"sms": order}, headers={"Authorization": f"Bearer {token}".strip()})
    assert response.status_code == 200
    body: dict[str, Any] = response.json()
    return body


@pytest.mark.parametrize("path", ["/api", "/api/test"])
@pytest.mark.parametrize("phone", ["0501234567", "501234567", [{"_": "0501234567", "$": {"id": "x"}}]])
def test_019_json_sends_to_a_local_number(sms: httpx.Client, path: str, phone: object) -> None:
    body = sms019(sms, path=path, destinations={"phone": phone})
    assert int(body.get("sms", body)["status"]) == 0
    assert inbox(sms) == [("+972501234567", TEXT)]


def test_019_json_answer_is_bare_or_nested_in_turn(sms: httpx.Client) -> None:
    shapes = [("sms" in body, type(body.get("sms", body)["status"])) for body in (sms019(sms), sms019(sms))]
    assert sorted(shapes, key=str) == [(False, int), (True, str)]


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"destinations": {"phone": "+972501234567"}}, 5),
        ({"destinations": {}}, 2),
        ({"message": None}, 2),
        ({"user": "cartwise"}, 2),
        ({"source": "a name too long"}, 933),
    ],
)
def test_019_refuses_in_the_body_of_a_200(sms: httpx.Client, changed: dict[str, Any], status: int) -> None:
    body = sms019(sms, **changed)
    assert int(body.get("sms", body)["status"]) == status
    assert inbox(sms) == []


def post_xml(client: httpx.Client, body: str) -> str:
    headers = {"Authorization": "Bearer token", "Content-Type": XML}
    response = client.post("/api", content=body.encode(), headers=headers)
    assert (response.status_code, response.headers["content-type"]) == (200, XML)
    return ElementTree.fromstring(response.content).findtext("status", "")


def test_019_xml_is_answered_in_xml(sms: httpx.Client) -> None:
    order = (
        '<?xml version="1.0" encoding="UTF-8"?><sms><user><username>cartwise</username></user><source>CartWise</source>'
        f'<destinations><phone id="x">0501234567</phone></destinations><message>{TEXT}</message></sms>'
    )
    assert post_xml(sms, order) == "0"
    assert inbox(sms) == [("+972501234567", TEXT)]


@pytest.mark.parametrize("body", ["<sms>", "<other/>", '<!DOCTYPE sms [<!ENTITY a "b">]><sms>&a;</sms>'])
def test_019_malformed_xml_gets_its_own_error(sms: httpx.Client, body: str) -> None:
    assert post_xml(sms, body) == "1"


def test_019_refuses_missing_and_wrong_credentials(sms: httpx.Client, strict: httpx.Client) -> None:
    for client, token in ((sms, ""), (strict, "wrong")):
        body = sms019(client, token)
        assert int(body.get("sms", body)["status"]) == 3


# Twilio


def twilio(client: httpx.Client, token: str = "token", sid: str = "AC1", **changed: str) -> httpx.Response:
    fields = {"To": "+33612345678", "From": "CartWise", "Body": TEXT, **changed}
    return client.post("/2010-04-01/Accounts/AC1/Messages.json", data=fields, auth=(sid, token))


def test_twilio_queues_a_message(sms: httpx.Client) -> None:
    response = twilio(sms)
    body = response.json()
    assert (response.status_code, body["status"], body["to"]) == (201, "queued", "+33612345678")
    assert body["sid"].startswith("SM")
    assert inbox(sms) == [("+33612345678", TEXT)]


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"To": "0501234567"}, 21211),
        ({"To": ""}, 21604),
        ({"From": ""}, 21603),
        ({"Body": ""}, 21602),
        ({"Body": "x" * 1601}, 21617),
    ],
)
def test_twilio_refuses_with_its_code(sms: httpx.Client, changed: dict[str, str], code: int) -> None:
    response = twilio(sms, **changed)
    assert (response.status_code, response.json()["code"], response.json()["status"]) == (400, code, 400)
    assert inbox(sms) == []


def test_twilio_refuses_missing_and_wrong_credentials(sms: httpx.Client, strict: httpx.Client) -> None:
    for response in (twilio(sms, ""), twilio(sms, sid="AC2"), twilio(strict, "wrong")):
        assert (response.status_code, response.json()["code"]) == (401, 20003)


def test_twilio_unknown_resource_is_404(sms: httpx.Client) -> None:
    response = sms.get("/2010-04-01/Accounts/AC1/Calls.json")
    assert (response.status_code, response.json()["code"]) == (404, 20404)
