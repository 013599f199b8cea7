"""Frames against the golden ones of the public drivers, and the parsers against bad lines."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pi_client.codec import CU16, BadLocker, Board8A, Board8AReversed, LockBoard
from pi_client.codec.cu16 import frame
from pi_client.contract import LockState


def _hex(text: str) -> bytes:
    return bytes.fromhex(text)


@pytest.mark.parametrize(
    ("made", "golden"),
    [
        (CU16(0).state_request(), "02 00 30 03 35"),
        (CU16(0).unlock_request(0), "02 00 31 03 36"),
        (CU16(0).unlock_request(5), "02 05 31 03 3B"),
        (CU16(3).unlock_request(10), "02 3A 31 03 70"),
        (frame(0xF0, 0x32), "02 F0 32 03 27"),
        (frame(0, 0x33), "02 00 33 03 38"),
        (frame(0, 0x37, b"\x00\x37"), "02 00 37 00 37 03 73"),
        (frame(0, 0x35, b"\xff\xff\x00\x00"), "02 00 35 FF FF 00 00 03 38"),
        (Board8A(1).unlock_request(1), "8A 01 01 11 9B"),
        (Board8A(1).state_request(), "80 01 00 33 B2"),
    ],
)
def test_frame_is_the_golden_one(made: bytes, golden: str) -> None:
    assert made == _hex(golden)


def test_cu16_reads_the_golden_state() -> None:
    reading = CU16(0).feed(_hex("02 00 35 FF FF 00 00 03 38"))

    assert reading is not None
    assert [reading.lock(number) for number in (0, 7, 8, 15)] == [LockState.LOCKED] * 4
    assert reading.present(0) is False


def test_cu16_maps_low_bits_to_low_lockers() -> None:
    reading = CU16(2).feed(frame(0x20, 0x35, b"\x01\x80\x02\x40"))

    assert reading is not None
    assert [number for number in range(16) if reading.lock(number) is LockState.LOCKED] == [0, 15]
    assert [number for number in range(16) if reading.present(number)] == [1, 14]


def test_8a_reads_the_captured_states() -> None:
    closed_none = Board8A(1).feed(_hex("80 01 00 00 00 33 B2"))
    second = Board8AReversed(1).feed(_hex("80 01 00 00 02 33 B0"))

    assert closed_none is not None
    assert second is not None
    assert all(closed_none.lock(number) is LockState.UNLOCKED for number in range(1, 25))
    assert [number for number in range(1, 25) if second.lock(number) is LockState.LOCKED] == [2]
    assert second.present(2) is None


@pytest.mark.parametrize("kind", [CU16, Board8A])
def test_reading_with_the_other_polarity_is_the_other_way_round(kind: type[LockBoard]) -> None:
    golden = _hex("02 10 35 01 00 00 00 03 4B") if kind is CU16 else _hex("80 01 01 00 00 33 B3")
    first = kind.first_locker

    readings = [kind(1, bit).feed(golden) for bit in (1, 0)]

    assert [reading and reading.lock(first) for reading in readings] == [LockState.LOCKED, LockState.UNLOCKED]
    assert [reading and reading.lock(first + 1) for reading in readings] == [LockState.UNLOCKED, LockState.LOCKED]


@pytest.mark.parametrize(
    "noise",
    [
        b"\x00\xff",  # turnaround glitch
        b"\x02",  # a start byte that starts nothing
        b"\x02\x00\x35",  # a truncated reply
        b"\x02\x00\x35\x00\x00\x00\x00\x03\x00",  # a wrong sum
        b"\x02\x00\x30\x03\x35",  # the echo of the request
        frame(0x10, 0x35, b"\x00\x00\x00\x00"),  # another board
        frame(0x00, 0x31),  # an unlock's echo
    ],
)
def test_cu16_finds_the_reply_behind_noise(noise: bytes) -> None:
    board = CU16(0)

    reading = board.feed(noise + _hex("02 00 35 FF FF 00 00 03 38"))

    assert reading is not None
    assert reading.closed == 0xFFFF


@pytest.mark.parametrize(
    "noise", [b"\x00\xff", b"\x80", b"\x80\x01", b"\x8a\x01", b"\x80\x01\x00\x33\xb2", b"\x82\x01\x03\x11\x91"]
)
def test_8a_finds_the_reply_behind_noise(noise: bytes) -> None:
    reading = Board8A(1).feed(noise + _hex("80 01 FF FF FF 33 4D"))

    assert reading is not None
    assert reading.closed == 0xFFFFFF


@pytest.mark.parametrize("board", [CU16(0), Board8A(1)], ids=["cu16", "8a"])
def test_parser_keeps_little_of_an_endless_babble(board: LockBoard) -> None:
    rng = random.Random(7)

    for _ in range(2000):
        board.feed(bytes((rng.choice((0x02, 0x80, 0x8A, 0x35, rng.randrange(256))),)))

    assert len(board._buffer) < 16
    assert board.rejected > 1000


@given(st.binary(max_size=300), st.integers(0, 0xFFFF), st.integers(0, 0xFFFF))
def test_cu16_never_raises_and_reads_a_whole_reply_after_a_reset(noise: bytes, hooks: int, items: int) -> None:
    board = CU16(4)
    board.feed(noise)

    board.reset()
    reading = board.feed(frame(0x40, 0x35, hooks.to_bytes(2, "little") + items.to_bytes(2, "little")))

    assert reading is not None
    assert (reading.closed, reading.items) == (hooks, items)


@given(st.binary(max_size=300))
def test_8a_never_raises(noise: bytes) -> None:
    Board8A(1).feed(noise)


@pytest.mark.parametrize(("kind", "address"), [(CU16, -1), (CU16, 16), (Board8A, 0), (Board8A, 33)])
def test_board_refuses_an_address_its_frames_cannot_carry(kind: type[LockBoard], address: int) -> None:
    with pytest.raises(BadLocker):
        kind(address)


@pytest.mark.parametrize(("board", "locker"), [(CU16(0), 16), (CU16(0), -1), (Board8A(1), 0), (Board8A(1), 25)])
def test_board_refuses_a_locker_it_does_not_have(board: LockBoard, locker: int) -> None:
    with pytest.raises(BadLocker):
        board.unlock_request(locker)
