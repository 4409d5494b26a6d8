"""What of a container is cold where nobody can tell idle memory: found by probing, told by refaults.

In: a container's readings one after the other, its usage and its refaults in all, what was really taken. Out:
bytes that are held to be cold. As long as what comes back stays within the refault budget, the memory is
larger than the working set, and some of it is held to be cold: little at first, after each minute without a
miss twice as much (it is taken in the kernel's own order); once more comes back, the working set is reached:
nothing is cold, and the next probe is the first again and waits, longer each time (`control_probe`, the rule
by which the law of reclaim lends). What was written of late is hot besides, whatever refaults say.
"""

import math
from dataclasses import dataclass, field

from plimsoll.api.effective import Importance
from plimsoll.pages.control_probe import MOST_RATIO, Probe

LONGEST_GAP_SECONDS = 120.0  # between two readings: beyond it nothing is known of what happened
MOST_PROBED_RATIO = MOST_RATIO[Importance.NORMAL]  # of usage: that nothing comes back says little of the rest
# Of memory in use it is believed that it is touched once in so many seconds, as the law of reclaim does.
TOUCHED_ONCE_SECONDS = 120.0


@dataclass(slots=True)
class RefaultSet:
    """One container's. `see` at each reading; `took` after each reclaim."""

    probe: Probe = field(default_factory=Probe)
    _cold_bytes: float = 0.0
    _offered_bytes: float = 0.0
    _seen_seconds: float = math.nan
    _refault_bytes: int = 0

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
        may_return = budget_ratio * usage_bytes * elapsed / TOUCHED_ONCE_SECONDS
        if self.probe.see(elapsed, back, may_return):
            self._cold_bytes = 0.0
        elif not self.probe.waits:
            self._cold_bytes = self._offered_bytes = self.probe.size_bytes(usage_bytes, MOST_PROBED_RATIO)
        self._cold_bytes = max(0.0, min(self._cold_bytes, float(usage_bytes - written_bytes)))
        return int(self._cold_bytes)

    def took(self, taken_bytes: int) -> None:
        """So much of it is gone."""
        if taken_bytes > 0:
            self._cold_bytes = max(0.0, self._cold_bytes - taken_bytes)
            self.probe.took(self._offered_bytes, taken_bytes)
            self._offered_bytes = 0.0

    def _begin(self, now_seconds: float, refault_bytes_total: int | None) -> None:
        self.probe.begin_small()
        self._cold_bytes = self._offered_bytes = 0.0
        self._seen_seconds = math.nan if refault_bytes_total is None else now_seconds
        self._refault_bytes = refault_bytes_total or 0
