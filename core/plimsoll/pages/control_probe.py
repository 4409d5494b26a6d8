"""Exploration on credit: a little is taken on trial, and more is lent the longer nothing of it comes back.

In: usage, what came back, what was earned meanwhile. Out: how much may be taken on trial now. One loan stands
out at a time. The first is small; after a window in which no more came back than was earned (and a little
slack), the next may be twice as large, or more where whoever asks is bolder (`control_bandit`), up to a share
of usage. As soon as more comes back, of whatever was
taken, the next is the first again, and waits: twice as long as the last time, and at least for as long as
that memory had been out, for so long it took to tell. Its window is as long as the wait; each one that
stays clean halves the following. So a program that comes back to all of its memory after any while up to
`LONGEST_REST_SECONDS` is soon asked for one first probe in such a while, and one that is idle for all of it
within a quarter of an hour.
"""

import math
from dataclasses import dataclass

from plimsoll.api.effective import Importance

FIRST_BYTES, FIRST_RATIO = 1 << 20, 0.01  # of usage: the first loan is the larger of them
MOST_DOUBLINGS = 16
# Of usage, the largest loan: the worst that one wrong guess costs beyond what had been clean for a window.
MOST_RATIO = {
    Importance.CRITICAL: 0.02,
    Importance.HIGH: 0.05,
    Importance.NORMAL: 0.10,
    Importance.LOW: 0.10,
}
FIRST_REST_SECONDS, LONGEST_REST_SECONDS = 60.0, 4 * 3600.0
SETTLED_SECONDS = 86_400.0  # so long without a return too many, and the next rest is a short one again
SLACK_BYTES = 256 << 10  # a read-ahead window or two that came back are nobody's working set
# How much must have been read back before its pace says something.
TELLING_BYTES = 1 << 20
RATE_MEMORY_SECONDS = 4 * 3600.0


@dataclass(slots=True)
class Probe:
    """One container's loans: `see` at each reading, `took` after each one that was taken."""

    lent_bytes: float = 0.0
    """Taken on trial, and not judged yet."""
    misses_total: int = 0
    _now_seconds: float = 0.0
    """Counted from reading to reading: no clock that leaps ends a rest, or makes one endless."""
    _doublings: int = 0
    _asked_bytes: float = 0.0
    _taken_seconds: float = 0.0
    _window_seconds: float = FIRST_REST_SECONDS
    _rest_seconds: float = FIRST_REST_SECONDS
    _rests_until: float = -math.inf
    _missed_seconds: float = -math.inf
    _back_bytes: float = 0.0
    _earned_bytes: float = 0.0

    def see(
        self,
        elapsed_seconds: float,
        returned_bytes: float,
        earned_bytes: float,
        age_seconds: float = 0.0,
        doublings: int = 1,
    ) -> bool:
        """Judge what came back since the last reading; returns whether it was too much.

        `earned_bytes`: what might come back in that time. `age_seconds`: how long it had been out, times the
        share of all that was out which it is: what only trickles back says nothing of the rest. `doublings`:
        of the next loan, where one stayed out now.
        """
        self._now_seconds += elapsed_seconds
        kept = math.exp(-elapsed_seconds / 60.0)
        self._back_bytes = self._back_bytes * kept + returned_bytes
        self._earned_bytes = self._earned_bytes * kept + earned_bytes
        if self._back_bytes > self._earned_bytes + SLACK_BYTES:
            self._miss(age_seconds)
            return True
        if self.lent_bytes and self._now_seconds - self._taken_seconds >= self._window_seconds:
            # Who could take only a part of it has tried no more than that.
            if 2.0 * self.lent_bytes >= self._asked_bytes:
                self._doublings = min(MOST_DOUBLINGS, self._doublings + doublings)
            self._window_seconds = max(FIRST_REST_SECONDS, 0.5 * self._window_seconds)
            self.lent_bytes = self._asked_bytes = 0.0
        return False

    def size_bytes(self, usage_bytes: float, most_ratio: float) -> float:
        """How large the next loan may be, once there may be one."""
        first = max(float(FIRST_BYTES), FIRST_RATIO * usage_bytes)
        return min(first * 2.0**self._doublings, most_ratio * usage_bytes)

    @property
    def waits(self) -> bool:
        """Whether one stands out, or the last return too many is not long enough ago."""
        return self.lent_bytes > 0.0 or self._now_seconds < self._rests_until

    def took(self, asked_bytes: float, taken_bytes: float) -> None:
        """So much was taken on trial."""
        if taken_bytes > 0:
            self._taken_seconds = self._now_seconds
            self._asked_bytes += asked_bytes
            self.lent_bytes += taken_bytes

    def begin_small(self) -> None:
        """Tasks stalled: the next loan is the first again."""
        self._doublings, self.lent_bytes, self._asked_bytes = 0, 0.0, 0.0

    def _miss(self, age_seconds: float) -> None:
        """One rest for what comes back in a row; what was judged is not judged again."""
        self.begin_small()
        self._back_bytes = self._earned_bytes = 0.0
        now_seconds = self._now_seconds
        if now_seconds >= self._rests_until:
            settled = now_seconds - self._missed_seconds > SETTLED_SECONDS
            self._rest_seconds = FIRST_REST_SECONDS if settled else 2.0 * self._rest_seconds
            self._missed_seconds = now_seconds
            self.misses_total += 1
        self._rest_seconds = min(LONGEST_REST_SECONDS, max(self._rest_seconds, age_seconds))
        self._window_seconds = self._rest_seconds
        self._rests_until = self._missed_seconds + self._rest_seconds


@dataclass(slots=True)
class ReadBackRate:
    """How fast what is missed can be read back here: bytes brought back for each second stalled meanwhile.

    Other stalls make it look slower than it is, never faster.
    """

    returned_bytes: float = 0.0
    stalled_seconds: float = 0.0

    def see(self, elapsed_seconds: float, returned_bytes: float, stalled_seconds: float) -> None:
        """Take in a reading; one in which nothing came back tells nothing."""
        if returned_bytes > 0:
            kept = math.exp(-elapsed_seconds / RATE_MEMORY_SECONDS)
            self.returned_bytes = self.returned_bytes * kept + returned_bytes
            self.stalled_seconds = self.stalled_seconds * kept + stalled_seconds

    def bytes_within(self, stall_seconds: float) -> float:
        """What can be read back in so many seconds of stall; infinite as long as nobody knows."""
        if self.returned_bytes < TELLING_BYTES or self.stalled_seconds <= 0.0:
            return math.inf
        return self.returned_bytes / self.stalled_seconds * stall_seconds
