"""What of a container is cold where nobody can tell idle memory: found by probing, told by refaults.

In: reading after reading its usage and its refaults in all, what was really taken. Out: bytes that are held
to be cold. As long as what comes back stays within the refault budget, the memory is larger than the working
set, and a little more of it is held to be cold each minute (it is taken in the kernel's own order); once more
comes back, the working set is reached: nothing is cold, and the next probe waits, twice as long each time.
Additive steps down and a full stop, as TCP probes a path and Meta's TMO a container (there the signal is PSI,
which the law of reclaim obeys besides). What was written of late is hot besides, whatever refaults say.
"""

import math
from dataclasses import dataclass

LONGEST_GAP_SECONDS = 120.0  # between two readings: beyond it nothing is known of what happened
PROBE_RATIO_PER_MINUTE = 0.01  # of usage: a working set half as large as usage is reached within an hour
MOST_PROBED_RATIO = 0.05  # of usage: that nothing comes back now says nothing of much deeper cuts
FIRST_REST_SECONDS, LONGEST_REST_SECONDS = 60.0, 960.0
SETTLED_SECONDS = 1800.0  # so long without a refault too many, and the next rest is a short one again
# Of memory in use it is believed that it is touched once in so many seconds, as the law of reclaim does.
TOUCHED_ONCE_SECONDS = 120.0
SLACK_BYTES = 256 << 10  # a read-ahead window or two that came back are nobody's working set


@dataclass(slots=True)
class RefaultSet:
    """One container's. `see` at each reading; `took` after each reclaim."""

    _cold_bytes: float = 0.0
    _seen_seconds: float = math.nan
    _refault_bytes: int = 0
    _back_bytes: float = 0.0
    _rests_until: float = -math.inf
    _rest_seconds: float = FIRST_REST_SECONDS
    _missed_seconds: float = -math.inf

    def see(
        self,
        now_seconds: float,
        usage_bytes: int,
        refault_bytes_total: int | None,
        budget_ratio: float,
        written_bytes: int = 0,
    ) -> int | None:
        """Cold bytes by now; None where it cannot be told yet, or no more (no refaults, a leap of time).

        `written_bytes`: what was surely written to within two minutes. It only ever lowers the answer.
        """
        elapsed = now_seconds - self._seen_seconds
        back = None if refault_bytes_total is None else refault_bytes_total - self._refault_bytes
        known = back is not None and back >= 0 and 0.0 < elapsed <= LONGEST_GAP_SECONDS
        if refault_bytes_total is None or not known or back is None:
            self._begin(now_seconds, refault_bytes_total)
            return None
        self._seen_seconds, self._refault_bytes = now_seconds, refault_bytes_total
        self._judge(now_seconds, elapsed, usage_bytes, back, budget_ratio)
        most = min(MOST_PROBED_RATIO * usage_bytes, float(usage_bytes - written_bytes))
        self._cold_bytes = max(0.0, min(self._cold_bytes, most))
        return int(self._cold_bytes)

    def took(self, taken_bytes: int) -> None:
        """So much of it is gone."""
        self._cold_bytes = max(0.0, self._cold_bytes - max(0, taken_bytes))

    def _begin(self, now_seconds: float, refault_bytes_total: int | None) -> None:
        self._cold_bytes = self._back_bytes = 0.0
        self._seen_seconds = math.nan if refault_bytes_total is None else now_seconds
        self._refault_bytes = refault_bytes_total or 0

    def _judge(
        self, now_seconds: float, elapsed_seconds: float, usage_bytes: int, back_bytes: int, ratio: float
    ) -> None:
        """A minute's refaults, faded, against what the budget has for a minute."""
        kept = math.exp(-elapsed_seconds / 60.0)
        self._back_bytes = self._back_bytes * kept + back_bytes
        allowed = ratio * usage_bytes * 60.0 / TOUCHED_ONCE_SECONDS + SLACK_BYTES
        if self._back_bytes > allowed:
            self._miss(now_seconds)
        elif now_seconds >= self._rests_until:
            self._cold_bytes += PROBE_RATIO_PER_MINUTE * usage_bytes * elapsed_seconds / 60.0

    def _miss(self, now_seconds: float) -> None:
        """The working set is reached: one rest for what comes back in a row."""
        self._cold_bytes = 0.0
        if now_seconds < self._rests_until:
            return
        settled = now_seconds - self._missed_seconds > SETTLED_SECONDS
        longer = min(2.0 * self._rest_seconds, LONGEST_REST_SECONDS)
        self._rest_seconds = FIRST_REST_SECONDS if settled else longer
        self._missed_seconds = now_seconds
        self._rests_until = now_seconds + self._rest_seconds
