"""Serial lines that are not perfect, each around a real or simulated one."""

import random
from collections import deque

from pi_client.ports import LineError, SerialLine


class PowerCut(BaseException):
    """The machine stops here: nothing of ours runs any more, not even error handling."""


class WrappedLine:
    """Passes everything on."""

    def __init__(self, inner: SerialLine) -> None:
        self.inner = inner

    def write(self, data: bytes) -> None:
        self.inner.write(data)

    def read(self, timeout_s: float) -> bytes:
        return self.inner.read(timeout_s)

    def discard(self) -> None:
        self.inner.discard()

    def close(self) -> None:
        self.inner.close()


class OneByteLine(WrappedLine):
    """Brings one byte at a time, as a slow adapter does."""

    def __init__(self, inner: SerialLine) -> None:
        super().__init__(inner)
        self._waiting: deque[int] = deque()

    def read(self, timeout_s: float) -> bytes:
        if not self._waiting:
            self._waiting.extend(self.inner.read(timeout_s))
        return bytes((self._waiting.popleft(),)) if self._waiting else b""

    def discard(self) -> None:
        self._waiting.clear()
        super().discard()


class LossyLine(WrappedLine):
    """Two answers of three are lost, cut short, garbled or preceded by noise."""

    def __init__(self, inner: SerialLine, rng: random.Random) -> None:
        super().__init__(inner)
        self._rng = rng

    def read(self, timeout_s: float) -> bytes:
        data = self.inner.read(timeout_s)
        fate = self._rng.randrange(6)
        if fate == 0:
            return b""
        if fate == 1:
            return data[: self._rng.randrange(len(data) + 1)]
        if fate == 2 and data:
            at = self._rng.randrange(len(data))
            return data[:at] + bytes((data[at] ^ 0x10,)) + data[at + 1 :]
        return b"\x00\xff" + data if fate == 3 else data


class DelayedLine(WrappedLine):
    """Each answer arrives one read later than it should; `discard` does not reach what is still on its way."""

    def __init__(self, inner: SerialLine) -> None:
        super().__init__(inner)
        self._on_its_way = b""

    def read(self, timeout_s: float) -> bytes:
        now, self._on_its_way = self._on_its_way, self.inner.read(timeout_s)
        return now


class EchoLine(WrappedLine):
    """An adapter that hears itself."""

    def __init__(self, inner: SerialLine) -> None:
        super().__init__(inner)
        self._echo = b""

    def write(self, data: bytes) -> None:
        self._echo += data
        super().write(data)

    def read(self, timeout_s: float) -> bytes:
        echo, self._echo = self._echo, b""
        return echo or self.inner.read(timeout_s)

    def discard(self) -> None:
        self._echo = b""
        super().discard()


class GarbageLine(WrappedLine):
    """Nothing but noise comes back."""

    def read(self, timeout_s: float) -> bytes:
        self.inner.read(0.001)
        return b"\x02\x00\x35\x55\xaa"


class CutLine(WrappedLine):
    """The power goes just before, or just after, an unlock goes out."""

    def __init__(self, inner: SerialLine, *, before: bool) -> None:
        super().__init__(inner)
        self._before = before

    def write(self, data: bytes) -> None:
        unlock = data[2] == 0x31
        if unlock and self._before:
            raise PowerCut
        super().write(data)
        if unlock:
            raise PowerCut


class BrokenLine(WrappedLine):
    """The adapter was pulled out."""

    def write(self, data: bytes) -> None:
        raise LineError("unplugged")
