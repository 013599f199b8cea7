"""sd_notify(3) without a dependency: one datagram to the socket that systemd names."""

import logging
import os
import socket

log = logging.getLogger(__name__)


class Notifier:
    """Does nothing when the service manager named no socket."""

    def __init__(self, address: str | None = None) -> None:
        name = address if address is not None else os.environ.get("NOTIFY_SOCKET", "")
        # A leading @ stands for Linux's abstract namespace.
        self._address = "\0" + name[1:] if name.startswith("@") else name

    def send(self, *lines: str) -> None:
        """For example `READY=1`, `WATCHDOG=1`, `STATUS=...`."""
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.settimeout(1)
                sender.sendto("\n".join(lines).encode(), self._address)
        except OSError as error:
            log.debug("systemd not told: %s", error)
