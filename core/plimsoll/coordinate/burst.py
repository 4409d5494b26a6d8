"""Which container reaches its limit within seconds, and how much room it needs: the agent's side of a lease.

In: usage and memory.max of containers, a few times a second. Out: asks. Growth is the steepest of the last
two seconds and of their second half, so that a burst is seen while it starts; the lead covers the way of a
resize (0.7 to 1.5 s were measured, plus the stream). A container is asked for again only after an answer's
time, for each ask is a write to the API server.
"""

from collections import deque
from dataclasses import dataclass, field

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class BurstSettings:
    """When to ask, and for how much."""

    horizon_seconds: float = 6.0  # ask when the limit is this near; less than a resize takes is too late
    window_seconds: float = 2.0
    room_seconds: float = 15.0  # growth that the lease shall hold
    least_growth_bytes: float = 2.0 * MIB  # a second; slower growth is for the forecast
    least_fraction: float = 0.1  # of memory.max
    most_fraction: float = 1.0
    again_seconds: float = 3.0


@dataclass(frozen=True, slots=True)
class BurstAsk:
    """Room for one container."""

    wanted_bytes: int
    memory_max_bytes: int
    growth_bytes_per_second: int
    limit_reached_seconds: float


@dataclass(slots=True)
class _Seen:
    memory_max_bytes: int
    points: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=64))
    asked_seconds: float = float("-inf")


class BurstWatch:
    """Follows containers by any key that stays theirs."""

    def __init__(self, settings: BurstSettings | None = None) -> None:
        self._settings = settings or BurstSettings()
        self._seen: dict[object, _Seen] = {}

    def see(
        self, key: object, now_seconds: float, usage_bytes: int, memory_max_bytes: int
    ) -> BurstAsk | None:
        """Take a reading in; an ask where the limit is near and none was made just now."""
        settings = self._settings
        seen = self._seen.setdefault(key, _Seen(memory_max_bytes))
        if seen.points and now_seconds <= seen.points[-1][0]:
            seen.points.clear()  # a clock that leapt back
        seen.points.append((now_seconds, usage_bytes))
        if memory_max_bytes > seen.memory_max_bytes:
            seen.asked_seconds = float("-inf")  # the room is there: the next may be asked for at once
        seen.memory_max_bytes = memory_max_bytes
        growth = self._growth(seen.points, now_seconds)
        if growth < settings.least_growth_bytes or now_seconds - seen.asked_seconds < settings.again_seconds:
            return None
        left_seconds = max(0, memory_max_bytes - usage_bytes) / growth
        if left_seconds > settings.horizon_seconds:
            return None
        seen.asked_seconds = now_seconds
        least, most = (memory_max_bytes * each for each in (settings.least_fraction, settings.most_fraction))
        wanted = int(min(max(growth * settings.room_seconds, least), most))
        return BurstAsk(wanted, memory_max_bytes, int(growth), left_seconds)

    def limit_reached_seconds(self, key: object) -> float | None:
        """When a container's limit is reached at its present growth; None: not within reach."""
        seen = self._seen.get(key)
        if seen is None or len(seen.points) < 2:
            return None
        growth = self._growth(seen.points, seen.points[-1][0])
        left = max(0, seen.memory_max_bytes - seen.points[-1][1])
        return left / growth if growth >= self._settings.least_growth_bytes else None

    def keep_only(self, keys: frozenset[object]) -> None:
        """Forget containers that are gone."""
        self._seen = {key: each for key, each in self._seen.items() if key in keys}

    def _growth(self, points: deque[tuple[float, int]], now_seconds: float) -> float:
        """Bytes a second, the steepest of the window and of its second half; 0 without two points."""
        window = self._settings.window_seconds
        found = 0.0
        for span in (window, window / 2.0):
            inside = [each for each in points if now_seconds - each[0] <= span]
            if len(inside) >= 2 and (taken := inside[-1][0] - inside[0][0]) > 0.0:
                found = max(found, (inside[-1][1] - inside[0][1]) / taken)
        return found
