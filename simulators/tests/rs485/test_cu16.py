"""Golden frames of the KERONG CU16, over the running pty."""

import os
import termios

from simulators.tests.simulator import Bench, wait_for

GET_STATE_0 = "02 00 30 03 35"
ALL_CLOSED_0 = "02 00 35 FF FF FF FF 03 36"


def test_get_state_of_a_full_board_has_every_hook_and_item_bit(bench: Bench) -> None:
    assert bench.host.ask(GET_STATE_0, 9) == ALL_CLOSED_0


def test_unlock_opens_that_hook_and_says_nothing(bench: Bench) -> None:
    assert bench.hear("02 00 31 03 36") == ""
    assert bench.host.ask(GET_STATE_0, 9) == "02 00 35 FE FF FF FF 03 35"

    bench.host.send("02 05 31 03 3B")
    assert bench.host.ask(GET_STATE_0, 9) == "02 00 35 DE FF FF FF 03 15"


def test_unlock_on_another_board_leaves_the_first_alone(bench: Bench) -> None:
    bench.host.send("02 3A 31 03 70")
    assert bench.host.ask("02 30 30 03 65", 9) == "02 30 35 FF FB FF FF 03 62"
    assert bench.host.ask(GET_STATE_0, 9) == ALL_CLOSED_0


def test_unlock_on_a_board_with_ack_is_answered_with_the_new_state(bench: Bench) -> None:
    assert bench.host.ask("02 51 31 03 87", 9) == "02 50 35 FD FF FF FF 03 84"


def test_state_of_all_boards_comes_board_after_board(bench: Bench) -> None:
    assert bench.host.ask("02 F0 32 03 27", 27) == (
        "02 00 36 FF FF FF FF 03 37 02 30 36 FF FF FF FF 03 67 02 50 36 FF FF FF FF 03 87"
    )


def test_unlock_all_fires_every_lock_once(bench: Bench) -> None:
    since = bench.last_event()
    bench.host.send("02 00 33 03 38")
    assert bench.host.ask(GET_STATE_0, 9) == "02 00 35 00 00 FF FF 03 38"
    assert [event["lock"] for event in bench.events("unlock_fired", since)] == list(range(16))


def test_all_hooks_set_and_nothing_present_is_the_published_frame(bench: Bench) -> None:
    bench.host.send("02 00 33 03 38")
    bench.host.ask(GET_STATE_0, 9)
    for number in range(16):
        assert bench.move(0, number, "pull").status_code == 200
    bench.fault("flipped", board=0)
    assert bench.host.ask(GET_STATE_0, 9) == "02 00 35 FF FF 00 00 03 38"


def test_pulse_is_set_told_and_kept(bench: Bench) -> None:
    assert bench.host.ask("02 00 37 00 20 03 5C", 7) == "02 00 38 00 20 03 5D"
    assert bench.host.ask("02 00 37 03 3C", 7) == "02 00 38 00 20 03 5D"
    assert bench.host.ask("02 00 37 00 37 03 73", 7) == "02 00 38 00 37 03 74"


def test_delayed_unlock_fires_when_its_seconds_are_over(bench: Bench) -> None:
    since = bench.last_event()
    bench.host.send("02 04 39 01 03 43")
    assert bench.host.ask(GET_STATE_0, 9) == ALL_CLOSED_0
    asked_at = bench.http.get("/state").json()["frames"][-2]["monotonic"]

    [fired] = wait_for(lambda: bench.events("unlock_fired", since), "the firing")

    assert fired["lock"] == 4
    assert 0.9 <= fired["monotonic"] - asked_at < 2


def test_delayed_unlock_beyond_250_seconds_is_refused(bench: Bench) -> None:
    bench.host.send("02 04 39 FB 03 3D")
    assert bench.host.ask(GET_STATE_0, 9) == ALL_CLOSED_0
    assert bench.http.get("/state").json()["boards"][0]["counters"]["refused"] == 1


def test_a_board_set_to_another_baud_is_deaf_until_the_host_follows(bench: Bench) -> None:
    bench.host.send("02 00 40 00 03 45")
    assert bench.hear(GET_STATE_0) == ""
    try:
        set_baud(bench, termios.B9600)
        assert bench.host.ask(GET_STATE_0, 9) == ALL_CLOSED_0
    finally:
        set_baud(bench, termios.B19200)


def set_baud(bench: Bench, code: int) -> None:
    settings = termios.tcgetattr(bench.host.descriptor)
    settings[4] = settings[5] = code
    termios.tcsetattr(bench.host.descriptor, termios.TCSANOW, settings)


def test_a_bad_checksum_and_a_missing_board_are_met_with_silence(bench: Bench) -> None:
    bench.host.send("02 00 31 03 37")
    assert bench.hear("02 70 30 03 A5") == ""
    assert bench.lock(0, 0)["hook"] == "closed"


def test_a_frame_after_noise_is_understood(bench: Bench) -> None:
    assert bench.host.ask("FF 00 02 02 00 02 37 " + GET_STATE_0, 9) == ALL_CLOSED_0


def test_a_frame_in_single_bytes_is_understood(bench: Bench) -> None:
    for byte in GET_STATE_0.split():
        bench.host.send(byte)
    assert bench.host.read(9) == ALL_CLOSED_0


def test_a_flood_of_noise_leaves_the_bus_answering(bench: Bench) -> None:
    noise = bytes(value for value in os.urandom(200_000) if value not in (0x02, 0x8A, 0x9A))
    for start in range(0, len(noise), 2048):
        os.write(bench.host.descriptor, noise[start : start + 2048])
    assert bench.host.read_until_silence().replace(" ", "").count("0235") == 0
    assert bench.host.ask(GET_STATE_0, 9) == ALL_CLOSED_0
