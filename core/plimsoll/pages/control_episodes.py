"""Episodes of the bandit: a container is held at one boldness for some minutes, and what came of it is told.

In: a container's totals, again and again. Out: when an episode is over, and episodes that may be learnt from.
An episode is judged some minutes after its end, for what was taken comes back later, and stalls then. One in
which hardly anything was taken teaches nothing: that its boldness did no harm is not known. One that a leap
of the clock cut in two teaches nothing either.
"""

from dataclasses import dataclass, field

from plimsoll.pages.control_bandit import ARMS, EPISODE_SECONDS, Episode

AFTERMATH_SECONDS = 300.0
TAKEN_RATIO = 0.5  # of what the arm's pace allows: who took less has not shown it


@dataclass(frozen=True, slots=True)
class Totals:
    """What has been counted of a container since it was first seen."""

    now_seconds: float
    usage_bytes: int
    taken_bytes: int
    returned_bytes: int
    violations: int


@dataclass(frozen=True, slots=True)
class _Ended:
    arm: int
    began: Totals
    ended: Totals


@dataclass(slots=True)
class Episodes:
    """One container's."""

    _began: Totals | None = None
    _ended: list[_Ended] = field(default_factory=list)

    def is_over(self, now_seconds: float) -> bool:
        """Whether another one is to begin: after its time, at first, and after a clock that went back."""
        return self._began is None or not 0.0 <= now_seconds - self._began.now_seconds < EPISODE_SECONDS

    def turn(self, arm: int, now: Totals) -> None:
        """End the present one, which was lived at this arm, and begin the next."""
        began, self._began = self._began, now
        if began is not None and 0.0 < now.now_seconds - began.now_seconds <= 2.0 * EPISODE_SECONDS:
            self._ended.append(_Ended(arm, began, now))

    def judged(self, now: Totals) -> list[Episode]:
        """Those whose aftermath is over; each is told once."""
        waits, found = [], []
        for each in self._ended:
            after = now.now_seconds - each.ended.now_seconds
            if 0.0 <= after < AFTERMATH_SECONDS:
                waits.append(each)
            elif 0.0 <= after <= AFTERMATH_SECONDS + 2.0 * EPISODE_SECONDS:
                found += _judged(each, now)
        self._ended = waits
        return found


def _judged(each: _Ended, now: Totals) -> list[Episode]:
    """One episode, or none: what does harm is believed of any that took something."""
    taken = each.ended.taken_bytes - each.began.taken_bytes
    minutes = (each.ended.now_seconds - each.began.now_seconds) / 60.0
    usage = max(1, each.began.usage_bytes)
    violated = now.violations > each.began.violations
    enough = TAKEN_RATIO * ARMS[each.arm].usage_ratio_per_minute * minutes * usage
    if taken <= 0 or (taken < enough and not violated):
        return []
    # What came back is all held against it, whoever took that.
    kept = taken - (now.returned_bytes - each.began.returned_bytes)
    return [Episode(each.arm, kept / usage, violated=violated)]
