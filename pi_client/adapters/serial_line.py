"""The serial port, through pyserial for opening and straight from the descriptor for reading."""

import logging
import os
import select
import termios

import serial
from serial.rs485 import RS485Settings

from ..ports import LineError

log = logging.getLogger(__name__)

CHUNK = 256
WRITE_TIMEOUT_S = 1.0


class PortLine:
    """Implements ports.SerialLine; the port is taken exclusively. Raises LineError when it can't be."""

    def __init__(self, port: str, baudrate: int, *, rs485_mode: bool = False) -> None:
        try:
            self._serial = serial.Serial(
                port, baudrate, timeout=0, write_timeout=WRITE_TIMEOUT_S, exclusive=True, rtscts=False, xonxoff=False
            )
        except (OSError, ValueError, termios.error) as error:
            raise LineError(f"{port}: {error}") from error
        if rs485_mode:
            self._switch_direction(port)
        self._descriptor = self._serial.fileno()

    def _switch_direction(self, port: str) -> None:
        try:
            self._serial.rs485_mode = RS485Settings()
        except (OSError, ValueError, termios.error) as error:
            # USB adapters and ptys have no such mode: they switch direction themselves, or need not.
            log.info("%s has no RS485 mode (%s)", port, error)

    def write(self, data: bytes) -> None:
        try:
            self._serial.write(data)
        except (OSError, termios.error) as error:
            raise LineError(str(error)) from error

    def read(self, timeout_s: float) -> bytes:
        try:
            ready, _, _ = select.select((self._descriptor,), (), (), max(timeout_s, 0))
            if not ready:
                return b""
            data = os.read(self._descriptor, CHUNK)
        except (OSError, ValueError) as error:
            raise LineError(str(error)) from error
        if not data:
            raise LineError("the port was unplugged")
        return data

    def discard(self) -> None:
        try:
            self._serial.reset_input_buffer()
        except (OSError, termios.error) as error:
            raise LineError(str(error)) from error

    def close(self) -> None:
        self._serial.close()
