"""Rows of which every process is new: their pods were replaced, and no older one is left.

In: a row's oldest running process, each time its pods changed. Out: a start of the row, or none. What a row
used is the most of its pods, so it begins anew when the last of the older ones is gone, once a rollout. A
further replica (an autoscaler's) restarts nothing, nor does one of several that is replaced.
"""

from collections.abc import Iterable

from plimsoll_operator.engine.messages import RestartEvent

# New pods run beside the older ones while they are rolled out. Who has run so long when the last of the
# others ends has shared in what the row used: nothing begins then.
ROLLOUT_SECONDS = 3600.0


class Successions:
    """For each row, until when its present processes were there already."""

    def __init__(self) -> None:
        self._seen_seconds: dict[int, float] = {}

    def look(
        self, row: int, container: str, oldest: tuple[float, str] | None, now_seconds: float
    ) -> RestartEvent | None:
        """`oldest`: since when the oldest process of the row runs, and its pod's uid; None: none runs.

        A row that is seen for the first time may have begun anew while nobody looked: its history knows.
        """
        if oldest is None:
            return None
        started_seconds, uid = oldest
        seen_seconds = self._seen_seconds.get(row)
        if seen_seconds is not None and started_seconds <= seen_seconds:
            return None
        self._seen_seconds[row] = max(now_seconds, started_seconds)
        if now_seconds - started_seconds > ROLLOUT_SECONDS:
            return None
        return RestartEvent(uid, container, started_seconds, first_sight=seen_seconds is None)

    def forget(self, rows: Iterable[int]) -> None:
        """Rows that stand for another container, or nothing."""
        for row in rows:
            self._seen_seconds.pop(row, None)
