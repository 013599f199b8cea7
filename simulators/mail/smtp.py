"""The SMTP side (RFC 5321): takes what it is given, unless a fault was ordered."""

import asyncio
import logging
import threading

from aiosmtpd.smtp import SMTP, Envelope, Session

from simulators.faults import Faults
from simulators.mail.faults import Fault, Kind
from simulators.mail.inbox import Inbox, parse_message

log = logging.getLogger("simulators.mail")


class Receiver:
    """Handler of aiosmtpd."""

    def __init__(self, inbox: Inbox, faults: Faults[Fault]) -> None:
        self.inbox = inbox
        self.faults = faults

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.faults.take(lambda fault: fault.kind == Kind.REFUSE):
            log.info("refuses %s", address)
            return "550 5.1.1 no such mailbox here"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        fault = self.faults.take(lambda fault: fault.kind != Kind.REFUSE)
        if fault:
            log.info("misbehaves: %s", fault.kind.value)
        if fault and fault.kind == Kind.REFUSE_LATER:
            return "451 4.3.0 try again later"
        if fault and fault.kind == Kind.DROP:
            assert isinstance(server.transport, asyncio.WriteTransport)
            server.transport.abort()
            return "421 gone"
        if fault:
            await asyncio.sleep(fault.seconds)
            return "421 too late"
        content = envelope.content if isinstance(envelope.content, bytes) else b""
        for address in envelope.rcpt_tos:
            self.inbox.add(parse_message(address, envelope.mail_from or "", content))
        return "250 OK"


class MailServer:
    """Listens at once, in a thread of its own, until `stop`. Port 0 is a free one. Raises OSError when it is taken."""

    def __init__(self, address: tuple[str, int], inbox: Inbox, faults: Faults[Fault]) -> None:
        receiver = Receiver(inbox, faults)
        self._loop = asyncio.new_event_loop()
        # Refused ports are told here, not in the thread.
        listening = self._loop.create_server(
            lambda: SMTP(receiver, loop=self._loop, enable_SMTPUTF8=True, timeout=60), *address
        )
        server = self._loop.run_until_complete(listening)
        host, port = server.sockets[0].getsockname()[:2]
        self.address = f"{host}:{port}"
        self._thread = threading.Thread(target=self._loop.run_forever, name="smtp", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
