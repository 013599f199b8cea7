"""The inbox, its page, and misbehaviour on order."""

import smtplib
import time
from email.message import EmailMessage

import pytest

from simulators.tests.mail.conftest import MailServer


def send(
    server: MailServer, text: str = "code 123456", *, to: str = "dora@example.com", html: str = "", timeout: float = 5
) -> dict[str, tuple[int, bytes]]:
    """The recipients that were refused."""
    message = EmailMessage()
    message["Subject"], message["From"], message["To"] = "Ihr Code · קוד", "CartWise <no-reply@shop.example>", to
    message.set_content(text)
    if html:
        message.add_alternative(html, subtype="html")
    with smtplib.SMTP(server.host, server.port, timeout=timeout) as connection:
        return connection.send_message(message)


def texts(server: MailServer, query: str = "") -> list[str]:
    return [message["text"].strip() for message in server.http.get(f"/messages{query}").json()]


def fault(server: MailServer, kind: str, **fields: object) -> None:
    server.http.post("/faults", json={"kind": kind, **fields}).raise_for_status()


def test_messages_come_newest_first_with_their_parts(server: MailServer) -> None:
    send(server, "one")
    send(server, "two: שלום", html="<p>two</p>")

    newest = server.http.get("/messages").json()[0]

    assert texts(server) == ["two: שלום", "one"]
    assert sorted(newest) == ["at", "from", "html", "subject", "text", "to"]
    assert (newest["to"], newest["from"], newest["subject"]) == (
        "dora@example.com",
        "no-reply@shop.example",
        "Ihr Code · קוד",
    )
    assert newest["html"].strip() == "<p>two</p>"
    assert newest["at"].endswith("Z")


@pytest.mark.parametrize("query", ["?to=dora@example.com", "?to=DORA%40example.com"])
def test_messages_of_one_address_whatever_its_case(server: MailServer, query: str) -> None:
    send(server, "mine", to="Dora@Example.com")
    send(server, "other", to="alice@example.com")

    assert texts(server, query) == ["mine"]


def test_message_to_two_is_two(server: MailServer) -> None:
    send(server, to="dora@example.com, alice@example.com")

    assert [len(texts(server, f"?to={name}@example.com")) for name in ("dora", "alice")] == [1, 1]


def test_deleted_messages_are_gone(server: MailServer) -> None:
    send(server)
    assert server.http.delete("/messages").status_code == 200
    assert texts(server) == []


def test_page_shows_messages_as_text(server: MailServer) -> None:
    send(server, "<script>alert(1)</script>")

    page = server.http.get("/").text

    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script" not in page


def test_refusals_strike_once_and_deliver_nothing(server: MailServer) -> None:
    fault(server, "550")
    with pytest.raises(smtplib.SMTPRecipientsRefused):
        send(server)
    fault(server, "451")
    with pytest.raises(smtplib.SMTPDataError):
        send(server)
    fault(server, "drop")
    with pytest.raises(smtplib.SMTPServerDisconnected):
        send(server)

    assert texts(server) == []
    assert send(server) == {}
    assert texts(server) == ["code 123456"]


def test_hang_ends_at_the_senders_patience(server: MailServer) -> None:
    fault(server, "hang", seconds=5)
    began = time.monotonic()

    with pytest.raises(OSError, match="timed out"):
        send(server, timeout=0.3)

    assert time.monotonic() - began < 3
    assert send(server) == {}


def test_fault_until_cleared(server: MailServer) -> None:
    fault(server, "451", times=None)
    for _ in range(3):
        with pytest.raises(smtplib.SMTPDataError):
            send(server)
    server.http.delete("/faults").raise_for_status()

    assert send(server) == {}


@pytest.mark.parametrize(
    "body", [{}, {"kind": "452"}, {"kind": "451", "times": 0}, {"kind": "hang", "seconds": 1000}, {"kind": 1}]
)
def test_wrong_faults_are_refused(server: MailServer, body: dict[str, object]) -> None:
    assert server.http.post("/faults", json=body).status_code == 400


def test_unknown_addresses_are_404(server: MailServer) -> None:
    assert server.http.get("/nothing").status_code == 404
    assert server.http.get("/healthz").json() == {"status": "ok"}
