"""How many streams may be opened a second, and when the others shall come back.

In: arrivals and their time. Out: admitted, or seconds to wait. It is asked before anything costs anything:
before a token is looked at. Those sent away are given different times, one after the other at the rate that
can be served, so that they do not come back together.
Method: a token bucket; waiting times from a virtual queue behind it. In front of a door for all one for each
caller can stand, so that who comes without end waits alone.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AdmissionRate:
    """Streams a second and at once. 5,000 agents are back within a minute at 100."""

    per_second: float = 100.0
    burst: float = 200.0
    longest_wait_seconds: float = 50.0


class Admission:
    """One server's door."""

    def __init__(self, rate: AdmissionRate | None = None) -> None:
        self.rate = rate or AdmissionRate()
        self._left = self.rate.burst
        self._at_seconds: float | None = None
        self._queued_until = float("-inf")
        self.admitted_total = 0
        self.refused_total = 0

    def wait_seconds(self, now_seconds: float) -> float:
        """0: come in. Else so long shall the caller wait; a clock that leaps back gives nothing away."""
        rate = self.rate
        since = 0.0 if self._at_seconds is None else max(0.0, now_seconds - self._at_seconds)
        self._at_seconds = now_seconds
        self._left = min(rate.burst, self._left + since * rate.per_second)
        if self._left >= 1.0:
            self._left -= 1.0
            self.admitted_total += 1
            return 0.0
        self.refused_total += 1
        if not now_seconds <= self._queued_until <= now_seconds + rate.longest_wait_seconds:
            self._queued_until = now_seconds  # an empty queue, or one so long that it starts over
        self._queued_until += 1.0 / rate.per_second
        return min(self._queued_until - now_seconds, rate.longest_wait_seconds)


def returns_after(count: int, rate: AdmissionRate, first_seconds: float) -> list[float]:
    """When each of so many shall come, seconds from now, so that a door of this rate lets all of them in."""
    late = (max(0.0, place - rate.burst) / rate.per_second for place in range(count))
    return [first_seconds + each for each in late]


class EachAdmission:
    """A door for each caller, of those that came last: `most` of them are remembered."""

    def __init__(self, rate: AdmissionRate, most: int = 20_000) -> None:
        self._rate, self._most = rate, most
        self._doors: dict[str, Admission] = {}

    def __len__(self) -> int:
        return len(self._doors)

    def wait_seconds(self, caller: str, now_seconds: float) -> float:
        """As `Admission.wait_seconds`, for this caller alone."""
        door = self._doors.pop(caller, None) or Admission(self._rate)
        while len(self._doors) >= self._most:
            del self._doors[next(iter(self._doors))]
        self._doors[caller] = door
        return door.wait_seconds(now_seconds)
