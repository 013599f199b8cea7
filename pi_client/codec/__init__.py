"""Frames of the lock boards: pure functions from orders to bytes and from bytes to readings."""

from .board import BadLocker, LockBoard, Reading
from .board8a import Board8A, Board8AReversed
from .cu16 import CU16

PROTOCOLS: dict[str, type[LockBoard]] = {board.protocol: board for board in (CU16, Board8A, Board8AReversed)}

__all__ = ["CU16", "PROTOCOLS", "BadLocker", "Board8A", "Board8AReversed", "LockBoard", "Reading"]
