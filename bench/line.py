"""`python -m bench.line`: the simulated RS485 line with a third wire time.

`wire` paces every byte as 19,200 baud would, while boards and latches take no time of their own: what remains is ours.
"""

from simulators.rs485.__main__ import main
from simulators.rs485.timing import MODES, Timing

MODES["wire"] = Timing(paced=True, board_delay_s=0.0, latch_s=0.0, stagger_s=0.1)

if __name__ == "__main__":
    main()
