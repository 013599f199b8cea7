"""The words of the wire. A value that is not here is not understood by this version and rejects its message."""

import enum


class CommandType(enum.StrEnum):
    """What the cloud may ask for. `unlock` and `lock` travel on cart topics, the rest on the device topic."""

    UNLOCK = "unlock"
    LOCK = "lock"
    OPEN_DOOR = "open_door"
    CLOSE_DOOR = "close_door"
    RELEASE_EGRESS = "release_egress"
    CANCEL = "cancel"
    IDENTIFY = "identify"
    RESTART = "restart"
    APPLY_CONFIG = "apply_config"
    INSTALL_FIRMWARE = "install_firmware"


class Outcome(enum.StrEnum):
    """`acked` is an interim word; each of the others ends the command."""

    ACKED = "acked"
    DONE = "done"
    FAILED = "failed"
    REFUSED = "refused"
    UNKNOWN = "unknown"


class Reason(enum.StrEnum):
    """Why an outcome is not `done`."""

    EXPIRED = "expired"
    DUPLICATE = "duplicate"
    WRONG_CONNECTION = "wrong_connection"
    CLOCK_UNKNOWN = "clock_unknown"
    RETAINED = "retained"
    NO_REPLY = "no_reply"
    BAD_FRAME = "bad_frame"
    NOT_OBSERVED = "not_observed"
    INTERLOCK = "interlock"
    CANCELLED = "cancelled"
    BUSY = "busy"
    UNSUPPORTED = "unsupported"


class LockState(enum.StrEnum):
    """What the latch hook says; `unknown` when the board does not answer."""

    LOCKED = "locked"
    UNLOCKED = "unlocked"
    UNKNOWN = "unknown"


class PresenceState(enum.StrEnum):
    """`online` is the birth, `offline` the last will."""

    ONLINE = "online"
    OFFLINE = "offline"
