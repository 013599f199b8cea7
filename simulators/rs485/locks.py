"""One lock: a hook that a coil opens and a pushed-in cart closes, its switch, and the sensor that sees a cart."""

from dataclasses import dataclass


class CartLockedError(Exception):
    """The hook is closed: the cart cannot be taken."""


@dataclass
class Lock:
    number: int  # as on the wire
    hook_closed: bool = True
    present: bool = True
    jammed: bool = False  # the hook stays where it is
    held: bool = False  # the coil is under power: the hook cannot close
    stuck_reading: bool | None = None  # what the hook's switch says whatever the hook does
    firings: int = 0

    @property
    def reads_closed(self) -> bool:
        return self.hook_closed if self.stuck_reading is None else self.stuck_reading

    def release(self) -> bool:
        """The coil pulls. True when the hook moved from closed to open."""
        if self.jammed or not self.hook_closed:
            return False
        self.hook_closed = False
        return True

    def pull(self) -> None:
        """The cart is taken; the hook stays open. Raises CartLockedError."""
        if self.hook_closed:
            raise CartLockedError(f"lock {self.number} is closed")
        self.present = False

    def push(self) -> None:
        """The cart is back. A jammed or powered hook does not latch: inserted, not locked."""
        self.present = True
        if not (self.jammed or self.held):
            self.hook_closed = True

    def free(self) -> None:
        self.jammed = False
        self.stuck_reading = None
