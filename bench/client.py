"""A customer who unlocks over one kept connection and watches a socket that is open beforehand."""

import asyncio
import json
import re
import time
from urllib.parse import urlsplit
from uuid import UUID, uuid4

from websockets.asyncio.client import ClientConnection, connect

PUSHED_WITHIN_S = 15.0
_RENTAL = re.compile(r'id="rental-([0-9a-f-]{36})" data-status="(\w+)"')


class Refused(Exception):
    """The server answered something else than 201."""


class Api:
    """HTTP/1.1 on one connection; asyncio sets TCP_NODELAY on it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str) -> None:
        self._reader, self._writer, self._host = reader, writer, host

    @classmethod
    async def connect(cls, url: str) -> "Api":
        address = urlsplit(url)
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        return cls(reader, writer, address.netloc)

    async def post(self, path: str, body: object, **headers: str) -> tuple[int, bytes]:
        """Send one request and read its answer."""
        self.send(path, body, **headers)
        return await self.receive()

    def send(self, path: str, body: object, **headers: str) -> None:
        """Write one request."""
        content = json.dumps(body).encode()
        lines = [f"POST {path} HTTP/1.1", f"Host: {self._host}", "Content-Type: application/json"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        lines += [f"Content-Length: {len(content)}", "", ""]
        self._writer.write("\r\n".join(lines).encode() + content)

    async def receive(self) -> tuple[int, bytes]:
        """Read one answer: its status and body."""
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = int(head.partition("content-length:")[2].partition("\r\n")[0])
        return int(head.split(" ", 2)[1]), await self._reader.readexactly(length)


class Watcher:
    """An open websocket of a customer."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._seen: set[tuple[UUID, str]] = set()

    @classmethod
    async def open(cls, web: str, path: str, session: str) -> "Watcher":
        headers = {"Cookie": f"sessionid={session}", "Origin": web}
        return cls(await connect(f"ws{web.removeprefix('http')}{path}", additional_headers=headers, proxy=None))

    async def close(self) -> None:
        await self._socket.close()

    async def until(self, status: str) -> tuple[UUID, float]:
        """The next rental whose fragment says `status` for the first time, and when that came (perf_counter)."""
        while True:
            html = await asyncio.wait_for(self._socket.recv(), PUSHED_WITHIN_S)
            at = time.perf_counter()
            found = _RENTAL.search(str(html))
            if found is None:
                raise Refused(f"not a rental: {str(html)[:200]}")
            rental_id = UUID(found[1])
            if found[2] == status and (rental_id, status) not in self._seen:
                self._seen.add((rental_id, status))
                return rental_id, at

    async def drain(self) -> None:
        """Read and forget, for a socket that is only there to be open."""
        async for _ in self._socket:
            pass


async def unlock(api: Api, watcher: Watcher, branch_id: UUID, cart_number: int, token: str) -> tuple[float, float]:
    """Milliseconds from writing the POST (to its answer, to the pushed fragment that says the rental runs)."""
    headers = {"Authorization": f"Bearer {token}", "Idempotency_Key": uuid4().hex}
    began = time.perf_counter()
    api.send(f"/api/branches/{branch_id}/carts/assign", {"cart_number": cart_number}, **headers)
    pushed = asyncio.create_task(watcher.until("active"))
    status, body = await api.receive()
    answered = time.perf_counter()
    if status != 201:
        pushed.cancel()
        raise Refused(f"{status}: {body.decode()}")
    rental_id, at = await pushed
    if str(rental_id) != json.loads(body)["rental_id"]:
        raise Refused(f"{rental_id} was pushed, {body.decode()} was answered")
    return (answered - began) * 1000, (at - began) * 1000
