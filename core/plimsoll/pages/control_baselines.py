"""The controllers that others run, by their published formulas: what ours is compared with.

In: the same readings. Out: the same decisions, except for `SenpaiHigh`, which moves memory.high and lets the
kernel reclaim down to it. None of them knows of cold pages or of a refault budget. Sources: Meta's senpai.py
(memory.high), oomd's senpai plugin with `immediate_backoff` (memory.reclaim), and the formula of "TMO:
Transparent Memory Offloading in Datacenters" (ASPLOS 2022).
"""

from dataclasses import dataclass

from plimsoll.pages.control_types import ContainerReading, Reason, ReclaimDecision, hold

TMO_INTERVAL_SECONDS = 6.0
TMO_RECLAIM_RATIO = 0.0005
TMO_PRESSURE_RATIO = 0.001
OOMD_PRESSURE_RATIO = 0.001  # 0.1 % of the last ten seconds
OOMD_RECLAIM_RATIO = 0.01
OOMD_INTERVAL_SECONDS = 6.0
SENPAI_PRESSURE_SECONDS = 0.010  # P: ten milliseconds of stall
SENPAI_PROBE_SECONDS = 6.0
SENPAI_BACKOFF = 20.0
SENPAI_PROBE = 10.0
SENPAI_MOST_PROBE = 0.01


@dataclass(slots=True)
class Tmo:
    """reclaim = current x 0.0005 x max(0, 1 - PSI / 0.1 %), every six seconds; PSI some over those six."""

    _seconds: float | None = None
    _stall_seconds: float = 0.0

    def step(self, reading: ContainerReading) -> ReclaimDecision:
        """Say what to take; nothing between two of its intervals."""
        if reading.stall_seconds_total is None:
            return hold(Reason.UNKNOWN, "no PSI")
        if self._seconds is None:
            self._seconds, self._stall_seconds = reading.now_seconds, reading.stall_seconds_total
            return hold(Reason.LEARNING, "first reading")
        elapsed = reading.now_seconds - self._seconds
        if elapsed < TMO_INTERVAL_SECONDS:
            return hold(Reason.BACKING_OFF, "between two intervals")
        pressure = (reading.stall_seconds_total - self._stall_seconds) / elapsed
        self._seconds, self._stall_seconds = reading.now_seconds, reading.stall_seconds_total
        room = max(0.0, 1.0 - pressure / TMO_PRESSURE_RATIO)
        return _taking(reading.usage_bytes * TMO_RECLAIM_RATIO * room, reading)

    def settle(self, asked_bytes: int, taken_bytes: int) -> None:
        """It does not look at what came of it."""


@dataclass(slots=True)
class OomdSenpai:
    """oomd's immediate_backoff: 1 % of what is above the floor, but only where avg10 is below 0.1 %."""

    floor_bytes: int = 0
    _due_seconds: float = 0.0

    def step(self, reading: ContainerReading) -> ReclaimDecision:
        """Say what to take."""
        if reading.pressure_avg10_ratio is None:
            return hold(Reason.UNKNOWN, "no PSI")
        if reading.now_seconds < self._due_seconds:
            return hold(Reason.BACKING_OFF, "between two intervals")
        self._due_seconds = reading.now_seconds + OOMD_INTERVAL_SECONDS
        if reading.pressure_avg10_ratio >= OOMD_PRESSURE_RATIO:
            return hold(Reason.PRESSURE, "avg10 is at 0.1 % or above")
        return _taking((reading.usage_bytes - self.floor_bytes) * OOMD_RECLAIM_RATIO, reading)

    def settle(self, asked_bytes: int, taken_bytes: int) -> None:
        """It does not look at what came of it."""


@dataclass(slots=True)
class SenpaiHigh:
    """senpai.py: memory.high shrinks every six seconds, and grows at once where stalls add up to over 10 ms.

    One call a second. `I` is the sum of stalls since the last change. I > P: high x (1 + min((I/P/20)^2, 1));
    else every six seconds: high x (1 - min((P/max(I, 1 us)/10)^2 x 0.01, 0.01)).
    """

    high_bytes: float | None = None
    _stall_seconds: float | None = None
    _integral_seconds: float = 0.0
    _grace_seconds: float = 0.0
    _last_seconds: float = 0.0

    def step(self, reading: ContainerReading) -> float | None:
        """Return memory.high as it is to be now; None where it cannot be told."""
        if reading.stall_seconds_total is None:
            return self.high_bytes
        if self.high_bytes is None or self._stall_seconds is None:
            self.high_bytes = float(reading.usage_bytes)
            self._stall_seconds, self._last_seconds = reading.stall_seconds_total, reading.now_seconds
            self._grace_seconds = SENPAI_PROBE_SECONDS
            return self.high_bytes
        self._integral_seconds += reading.stall_seconds_total - self._stall_seconds
        self._grace_seconds -= reading.now_seconds - self._last_seconds
        self._stall_seconds, self._last_seconds = reading.stall_seconds_total, reading.now_seconds
        if self._integral_seconds > SENPAI_PRESSURE_SECONDS:
            ratio = self._integral_seconds / SENPAI_PRESSURE_SECONDS / SENPAI_BACKOFF
            self._adjust(1.0 + min(ratio * ratio, 1.0))
        elif self._grace_seconds <= 0.0:
            ratio = SENPAI_PRESSURE_SECONDS / max(self._integral_seconds, 1e-6) / SENPAI_PROBE
            self._adjust(1.0 - min(ratio * ratio * SENPAI_MOST_PROBE, SENPAI_MOST_PROBE))
        return self.high_bytes

    def _adjust(self, factor: float) -> None:
        assert self.high_bytes is not None
        self.high_bytes *= factor
        self._integral_seconds, self._grace_seconds = 0.0, SENPAI_PROBE_SECONDS


def _taking(amount: float, reading: ContainerReading) -> ReclaimDecision:
    if amount < 1.0:
        return hold(Reason.PRESSURE, "no room below the bound")
    return ReclaimDecision(int(amount), Reason.RECLAIM, "by formula", file_only=reading.swap_room_bytes == 0)
