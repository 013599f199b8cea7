"""What goes wrong, and how often: each is the chance that it strikes when it could."""

from enum import StrEnum


class Fault(StrEnum):
    # The wire from the cloud to a Pi, per message
    DOWN_LOST = "command lost"
    DOWN_DELAYED = "command delayed up to its expiry and past it"
    DOWN_HELD = "command held for minutes, past reconnects"
    DOWN_TWICE = "command delivered twice or three times"
    DOWN_RETAINED = "command delivered with the retain flag"
    DOWN_ELSEWHERE = "command also delivered to another device"
    DOWN_NEXT_CONNECTION = "command delivered on the next connection"
    REPLAYED = "old command replayed"
    # The wire from a Pi to the cloud, per message
    UP_LOST = "answer lost with its connection"
    UP_DELAYED = "answer delayed and overtaken"
    UP_HELD = "answer held until after the sweep"
    UP_TWICE = "answer delivered twice"
    UP_FOREIGN = "answer given by somebody else"
    PUBACK_LOST = "receipt lost"
    # Connections, per second
    CUT = "connection cut"
    OFFLINE = "Pi away for longer than a command lives"
    BROKER_RESTART = "broker restarted, everything in flight lost"
    # The cloud
    WAKE_LOST = "wake-up of the bridge lost"
    SECOND_BRIDGE = "a second bridge hears the same wake-up"
    KILL_BEFORE_PUBLISH = "bridge killed between claim and publish"
    KILL_AFTER_PUBLISH = "bridge killed between publish and its receipt"
    KILL_BEFORE_COMMIT = "bridge killed between message and commit"
    KILL_AFTER_COMMIT = "bridge killed between commit and receipt"
    KILL_RECEIVER = "process killed while delivering an event"
    RECEIVER_FAILS = "delivery of an event fails"
    # The Pi
    PI_KILLED = "Pi killed between commands"
    PI_BEFORE_JOURNAL = "Pi killed before the journal"
    PI_AFTER_JOURNAL = "Pi killed after the journal"
    PI_BEFORE_RELAY = "Pi killed before the relay"
    PI_AFTER_RELAY = "Pi killed after the relay"
    PI_BEFORE_ANSWER = "Pi killed before the answer"
    PI_AFTER_ANSWER = "Pi killed after the answer"
    POWER_CUT = "and what was not flushed to its disk is gone"
    SAME_CONNECTION = "and it comes back under the same connection id"
    SLOW_DISK = "disk takes seconds to flush"
    STALLED = "Pi stands still for seconds"
    PRUNED = "journal pruned"
    # The Pi's clock
    CLOCK_WRONG = "Pi starts with a clock that is days off"
    CLOCK_JUMPS = "Pi's clock jumps"
    HEARTBEAT_LOST = "heartbeat lost: server's clock not learned"
    HEARTBEAT_SLOW = "heartbeat slow one way"
    # The lock board, per unlock
    BOARD_SILENT = "board: no reply"
    BOARD_BAD_SUM = "board: bad checksum"
    BOARD_ECHO = "board: echo"
    BOARD_WRONG_ADDRESS = "board: wrong address"
    BOARD_TRUNCATED = "board: truncated"
    BOARD_GARBAGE = "board: noise before the answer"
    BOARD_LATE = "board: answers come one late"
    BOARD_BUSY = "board: busy after the pulse"
    BOARD_FLIPPED = "board: state flipped"
    HOOK_STUCK = "hook stuck"
    HOOK_SLOW = "hook opens late"
    SENSOR_STUCK = "hook's switch stuck"
    PORT_LOST = "serial port lost at the pulse"
    # People
    TAP_AGAIN = "same tap again, same key"
    TAP_OTHER_BODY = "same key, other cart"
    TAP_RACE = "two customers for one cart at once"
    TAP_TWICE_AT_ONCE = "same tap twice at once"
    CANCELLED = "cancelled at some moment"
    STAFF_UNLOCK = "unlocked by staff, without a rental"
    BUSY_CART = "tap on a cart that is not free"


F = Fault
RATES: dict[Fault, float] = {
    F.DOWN_LOST: 0.03,
    F.DOWN_DELAYED: 0.08,
    F.DOWN_HELD: 0.03,
    F.DOWN_TWICE: 0.12,
    F.DOWN_RETAINED: 0.04,
    F.DOWN_ELSEWHERE: 0.04,
    F.DOWN_NEXT_CONNECTION: 0.02,
    F.REPLAYED: 0.4,
    F.UP_LOST: 0.002,
    F.UP_DELAYED: 0.06,
    F.UP_HELD: 0.02,
    F.UP_TWICE: 0.08,
    F.UP_FOREIGN: 0.02,
    F.PUBACK_LOST: 0.03,
    F.CUT: 0.004,
    F.OFFLINE: 0.001,
    F.BROKER_RESTART: 0.003,
    F.WAKE_LOST: 0.03,
    F.SECOND_BRIDGE: 0.1,
    F.KILL_BEFORE_PUBLISH: 0.006,
    F.KILL_AFTER_PUBLISH: 0.006,
    F.KILL_BEFORE_COMMIT: 0.0015,
    F.KILL_AFTER_COMMIT: 0.0015,
    F.KILL_RECEIVER: 0.003,
    F.RECEIVER_FAILS: 0.02,
    F.PI_KILLED: 0.002,
    F.PI_BEFORE_JOURNAL: 0.004,
    F.PI_AFTER_JOURNAL: 0.004,
    F.PI_BEFORE_RELAY: 0.004,
    F.PI_AFTER_RELAY: 0.008,
    F.PI_BEFORE_ANSWER: 0.004,
    F.PI_AFTER_ANSWER: 0.004,
    F.POWER_CUT: 0.4,
    F.SAME_CONNECTION: 0.3,
    F.SLOW_DISK: 0.02,
    F.STALLED: 0.03,
    F.PRUNED: 0.02,
    F.CLOCK_WRONG: 0.4,
    F.CLOCK_JUMPS: 0.004,
    F.HEARTBEAT_LOST: 0.1,
    F.HEARTBEAT_SLOW: 0.1,
    F.BOARD_SILENT: 0.02,
    F.BOARD_BAD_SUM: 0.02,
    F.BOARD_ECHO: 0.02,
    F.BOARD_WRONG_ADDRESS: 0.02,
    F.BOARD_TRUNCATED: 0.02,
    F.BOARD_GARBAGE: 0.02,
    F.BOARD_LATE: 0.02,
    F.BOARD_BUSY: 0.02,
    F.BOARD_FLIPPED: 0.01,
    F.HOOK_STUCK: 0.03,
    F.HOOK_SLOW: 0.03,
    F.SENSOR_STUCK: 0.02,
    F.PORT_LOST: 0.01,
    F.TAP_AGAIN: 0.12,
    F.TAP_OTHER_BODY: 0.03,
    F.TAP_RACE: 0.03,
    F.TAP_TWICE_AT_ONCE: 0.02,
    F.CANCELLED: 0.12,
    F.STAFF_UNLOCK: 0.1,
    F.BUSY_CART: 0.03,
}
BOARD_ANSWERS = tuple(fault for fault in Fault if fault.name.startswith("BOARD_"))
del F
