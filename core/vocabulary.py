"""Words that templates and presenters agree on."""

from typing import Literal

# States told by colour, shape and word: dot, diamond, square, dot.
BadgeKind = Literal["ok", "warn", "bad", "info"]
