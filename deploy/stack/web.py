"""The web process: uvicorn on a socket that its parent holds.

Whoever calls while this process is being started again waits instead of being refused. Uvicorn's own `--fd` takes the
descriptor for a Unix socket's.
"""

import argparse
import socket

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

LARGEST_HEAD = 64 * 1024


class BoundedHttp(HttpToolsProtocol):
    """HTTP whose heads end: the parser itself would read a header line of any length into memory."""

    _unended = 0  # bytes since a head, or a piece of a body, was whole

    def data_received(self, data: bytes) -> None:
        self._unended += len(data)
        super().data_received(data)
        if self._unended > LARGEST_HEAD and not self.transport.is_closing():
            self.send_400_response("The head of this request is too long.")

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self._unended = 0

    def on_body(self, body: bytes) -> None:
        super().on_body(body)
        self._unended = 0

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._unended = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fd", type=int, required=True, help="descriptor of a listening socket")
    listener = socket.socket(fileno=parser.parse_args().fd)
    config = uvicorn.Config(
        "config.asgi:application",
        access_log=False,
        log_config=None,  # ours: JSON, masked
        log_level="warning",
        # Whose address a request comes from is decided in one place (core/addresses.py), by our own list of proxies.
        proxy_headers=False,
        http=BoundedHttp,
        # A page holds its websocket open: a stop doesn't wait for it.
        timeout_graceful_shutdown=3,
    )
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
