"""The stack as its people meet it: carts with their codes, the SMS inbox, and the locks on the simulated bus."""

import itertools
import re
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.running_stack import wait_until

BOARD = 0


@dataclass
class Shop:
    """One branch of the demo. Cart n hangs on lock n - 1 of the one board."""

    web: str
    branch_url: str
    cart_urls: dict[int, str]
    sms: httpx.Client
    bus: httpx.Client
    _phones: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def new_phone(self) -> str:
        """A mobile number nobody used, as people in Israel write it; limits count by its last three digits' range."""
        number = next(self._phones)
        return f"050-{200 + number}-{4100 + number}"

    def code_sent_to(self, phone: str) -> str:
        """The newest code that came to a number in its local spelling."""
        international = "+972" + phone.replace("-", "").removeprefix("0")
        inbox: list[dict[str, str]] = wait_until(
            lambda: self.sms.get("/messages", params={"to": international}).raise_for_status().json()
        )
        code = re.search(r"\b\d{6}\b", inbox[0]["text"])
        assert code, inbox[0]
        return code.group()

    def firings(self, cart: int) -> int:
        """How often the coil of this cart's lock has fired; only rises."""
        return self._lock(cart)["firings"]

    def hook(self, cart: int) -> str:
        """Where the hook of this cart's lock is, whatever anybody believes."""
        return self._lock(cart)["hook"]

    def events(self, cart: int) -> list[str]:
        """What happened at this cart's lock, oldest first."""
        log = self.bus.get("/log").raise_for_status().json()
        return [row["event"] for row in log if (row.get("board"), row.get("lock")) == (BOARD, cart - 1)]

    def pull(self, cart: int) -> None:
        """The customer takes the cart."""
        self.bus.post(f"/boards/{BOARD}/locks/{cart - 1}/pull").raise_for_status()

    def push(self, cart: int) -> None:
        """The customer pushes the cart back in; the hook closes."""
        self.bus.post(f"/boards/{BOARD}/locks/{cart - 1}/push").raise_for_status()

    def break_lock(self, cart: int, kind: str) -> None:
        """A fault of the simulator, until `mend`."""
        fault = {"kind": kind, "board": BOARD, "lock": cart - 1, "times": None}
        self.bus.post("/faults", json=fault).raise_for_status()

    def mend(self) -> None:
        """No lock misbehaves any more."""
        self.bus.delete("/faults").raise_for_status()

    def _lock(self, cart: int) -> dict[str, Any]:
        boards = self.bus.get("/state").raise_for_status().json()["boards"]
        board = next(board for board in boards if board["address"] == BOARD)
        lock: dict[str, Any] = next(lock for lock in board["locks"] if lock["number"] == cart - 1)
        return lock
