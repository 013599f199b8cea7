"""Just enough of MQTT 3.1.1 (OASIS standard, section 3) to talk to one client, and to misbehave when told."""

import socket
import socketserver
import struct
import threading
from dataclasses import dataclass, field

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK = 1, 2, 3, 4, 8, 9, 10, 11
PINGREQ, PINGRESP, DISCONNECT = 12, 13, 14


@dataclass
class Seen:
    """What the broker was told, in order."""

    connects: list[dict[str, object]] = field(default_factory=list)
    published: list[tuple[str, bytes]] = field(default_factory=list)
    subscribes: list[list[str]] = field(default_factory=list)
    no_delay: list[int] = field(default_factory=list)
    wills: list[tuple[str, bytes]] = field(default_factory=list)


class MiniBroker:
    """Listens on a free loopback port. `passwords` are accepted; `denied` filters get 0x80 in the SUBACK."""

    def __init__(self, *passwords: str) -> None:
        self.passwords = set(passwords)
        self.denied: set[str] = set()
        self.acknowledge = True
        self.seen = Seen()
        self.changed = threading.Condition()
        self._clients: list[socket.socket] = []
        broker = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                broker._serve(self.request)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self.drop()
        self._thread.join(5)

    def drop(self) -> None:
        """Cut every connection, as a lost network would."""
        for client in self._clients:
            try:
                client.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def send(self, topic: str, payload: bytes, *, retained: bool = False) -> None:
        """Deliver to the newest client at QoS 1."""
        name = topic.encode()
        body = struct.pack("!H", len(name)) + name + struct.pack("!H", 7) + payload
        self._clients[-1].sendall(bytes((PUBLISH << 4 | 2 | retained,)) + _length(len(body)) + body)

    def wait(self, condition: object, deadline_s: float = 5.0) -> None:
        """Until `condition(seen)` holds."""
        with self.changed:
            assert self.changed.wait_for(lambda: condition(self.seen), deadline_s), self.seen  # type: ignore[operator]

    def _serve(self, client: socket.socket) -> None:
        with client:
            stream = client.makefile("rb")
            will = None
            try:
                while head := stream.read(1):
                    body = stream.read(_read_length(stream))
                    kind = head[0] >> 4
                    if kind == CONNECT:
                        will = self._connect(client, body)
                    elif kind == DISCONNECT:
                        will = None
                        return
                    else:
                        self._answer(client, kind, body)
            except (OSError, struct.error, IndexError):
                pass
            finally:
                stream.close()
                with self.changed:
                    if will is not None:
                        self.seen.wills.append(will)
                    self.changed.notify_all()

    def _connect(self, client: socket.socket, body: bytes) -> tuple[str, bytes] | None:
        flags, fields, at = body[7], [], 10
        while at < len(body):
            (size,) = struct.unpack_from("!H", body, at)
            fields.append(body[at + 2 : at + 2 + size])
            at += 2 + size
        client_id, will_topic, will, username, password = fields
        good = password.decode() in self.passwords
        with self.changed:
            self._clients.append(client)
            self.seen.connects.append({"client_id": client_id.decode(), "username": username.decode(), "flags": flags})
            self.changed.notify_all()
        client.sendall(bytes((CONNACK << 4, 2, 0, 0 if good else 4)))
        return (will_topic.decode(), will) if good else None

    def _answer(self, client: socket.socket, kind: int, body: bytes) -> None:
        if kind == PUBLISH:
            (size,) = struct.unpack_from("!H", body)
            with self.changed:
                self.seen.published.append((body[2 : 2 + size].decode(), body[4 + size :]))
                self.changed.notify_all()
            if self.acknowledge:
                client.sendall(bytes((PUBACK << 4, 2)) + body[2 + size : 4 + size])
        elif kind in (SUBSCRIBE, UNSUBSCRIBE):
            names, at = [], 2
            while at < len(body):
                (size,) = struct.unpack_from("!H", body, at)
                names.append(body[at + 2 : at + 2 + size].decode())
                at += 2 + size + (kind == SUBSCRIBE)
            codes = bytes(0x80 if name in self.denied else 1 for name in names) if kind == SUBSCRIBE else b""
            with self.changed:
                if kind == SUBSCRIBE:
                    self.seen.subscribes.append(names)
                self.changed.notify_all()
            answer = SUBACK if kind == SUBSCRIBE else UNSUBACK
            client.sendall(bytes((answer << 4,)) + _length(2 + len(codes)) + body[:2] + codes)
        elif kind == PINGREQ:
            client.sendall(bytes((PINGRESP << 4, 0)))


def _length(number: int) -> bytes:
    out = b""
    while True:
        number, low = divmod(number, 128)
        out += bytes((low | (0x80 if number else 0),))
        if not number:
            return out


def _read_length(stream: object) -> int:
    number = shift = 0
    while True:
        byte = stream.read(1)[0]  # type: ignore[attr-defined]
        number |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return number
