"""Which bin is "now", when the machine's clock cannot be trusted blindly.

In: the time each caller reads. Out: whether the history's present may move there. A small step forward is
taken at once. A jump far forward, which would wipe the history, and a jump backward are believed only after
the clock has kept to them for ten minutes; one wrong reading changes nothing.
"""

import math
from enum import StrEnum

from plimsoll.usage.sample import BIN_SECONDS, bin_of

# A step further forward is doubted: loops are a minute apart, and all bins between would be empty.
FORWARD_DOUBT_SECONDS = 3600.0
# A step further back than this is a jump; less is two callers' readings in another order.
BACKWARD_DOUBT_SECONDS = float(BIN_SECONDS)
CONFIRM_SECONDS = 600.0


class ClockStep(StrEnum):
    """What a reading of the clock did."""

    STARTED = "started"
    SAME = "same"  # the same bin
    MOVED = "moved"
    BACKWARD_IGNORED = "backward_ignored"
    FORWARD_HELD = "forward_held"
    REWOUND = "rewound"  # the clock has stayed behind: the earlier jump forward was the mistake
    INVALID = "invalid"


class Timeline:
    """The present of one history. `current_bin` is None until a clock was read or a checkpoint restored."""

    def __init__(self) -> None:
        self.now_seconds = math.nan
        self.current_bin: int | None = None
        self._doubted: tuple[float, float] | None = None  # first and latest reading of a doubtful clock

    def adopt(self, current_bin: int) -> bool:
        """Take a checkpoint's present, if no clock was ever read and it is later; says whether it did."""
        if not math.isnan(self.now_seconds) or current_bin <= (self.current_bin or -1):
            return False
        self.current_bin = current_bin
        return True

    def step(self, now_seconds: float) -> ClockStep:
        """Read a clock; moves `now_seconds` and `current_bin` where it is believed."""
        if not math.isfinite(now_seconds) or now_seconds < 0:
            return ClockStep.INVALID
        before = self.current_bin
        ahead = now_seconds - self.now_seconds
        doubtful = ahead > FORWARD_DOUBT_SECONDS or ahead < -BACKWARD_DOUBT_SECONDS
        if doubtful and not self._confirmed(now_seconds):
            return ClockStep.FORWARD_HELD if ahead > 0 else ClockStep.BACKWARD_IGNORED
        self._doubted = None
        started = math.isnan(self.now_seconds)
        self.now_seconds = now_seconds if started or doubtful else max(now_seconds, self.now_seconds)
        self.current_bin = bin_of(self.now_seconds)
        if before is None:
            return ClockStep.STARTED
        if self.current_bin == before:
            return ClockStep.SAME
        return ClockStep.MOVED if self.current_bin > before else ClockStep.REWOUND

    def _confirmed(self, now_seconds: float) -> bool:
        first, latest = self._doubted or (now_seconds, now_seconds)
        if not latest <= now_seconds <= latest + FORWARD_DOUBT_SECONDS:
            first = now_seconds  # yet another jump: doubt begins anew
        self._doubted = (first, now_seconds)
        return now_seconds - first >= CONFIRM_SECONDS
