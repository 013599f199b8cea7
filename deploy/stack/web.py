"""The web process: uvicorn on a socket that its parent holds.

Whoever calls while this process is being started again waits instead of being refused. Uvicorn's own `--fd` takes the
descriptor for a Unix socket's.
"""

import argparse
import socket

import uvicorn


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fd", type=int, required=True, help="descriptor of a listening socket")
    listener = socket.socket(fileno=parser.parse_args().fd)
    config = uvicorn.Config(
        "config.asgi:application",
        access_log=False,
        log_level="warning",
        # Whose address a request comes from is decided in one place (core/addresses.py), by our own list of proxies.
        proxy_headers=False,
        # A page holds its websocket open: a stop doesn't wait for it.
        timeout_graceful_shutdown=3,
    )
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
