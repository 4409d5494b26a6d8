"""What each row will use in the coming day, hour by hour, for whoever places pods by it.

In: rows that were just decided about, and their hourly maxima. Out: `RowLoads`, aligned by the hour of the
day, so that rows made in different hours can be added up, and with it at which hours a row is known to begin.
Only while a policy asks for placement; then each row once an hour, as often as its recommendation, and rows
that have none yet a chunk a tick. With a row's first loads comes what would have been said of it a day ago,
held against what came: placement begins with an opinion of its own worth.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from plimsoll.forecast.window import CHUNK_ROWS
from plimsoll.placement.guard import LoadJudge
from plimsoll.placement.lanes import LANES, PAST_HOURS, loads_of
from plimsoll.placement.rhythm import PAST_HOURS as RHYTHM_HOURS
from plimsoll.placement.rhythm import bits_of, rhythms_of
from plimsoll.usage.grown import grown
from plimsoll.usage.sample import HOUR_SECONDS
from plimsoll_operator.engine.messages import RowLoads, no_loads
from plimsoll_operator.engine.replicas import ReplicaDesk
from plimsoll_operator.engine.rows import RowArray, Store

FIRST_ROWS = 1024
# Beside it a day to judge by, and the hour that is not over; or as far back as a rhythm is looked for.
WINDOW_HOURS = max(PAST_HOURS + LANES, RHYTHM_HOURS) + 1

HourlyArray = npt.NDArray[np.float64]


class LoadDesk:
    """Makes loads, and knows which rows have had any."""

    def __init__(self) -> None:
        self.replicas = ReplicaDesk()
        self._made: npt.NDArray[np.bool_] = np.zeros(FIRST_ROWS, dtype=np.bool_)
        self._parts: list[RowLoads] = []

    def forget(self, rows: RowArray) -> None:
        """Rows were freed or given to another container."""
        self._made[rows[rows < len(self._made)]] = False
        self.replicas.forget(rows)

    def look(self, rows: RowArray, hourly: HourlyArray, requested: HourlyArray, now_seconds: float) -> None:
        """Make loads of rows [n] from their hourly maxima [n, hours], the last column the present hour's.

        `requested` [n] bytes (NaN: none) is what a day's hindcast is compared with.
        """
        if not len(rows):
            return
        self._made = grown(self._made, int(rows.max()) + 1, False)
        hour = int(now_seconds // HOUR_SECONDS)
        loads = loads_of(hourly[:, -1 - PAST_HOURS : -1])
        # Lane k is the hour k hours from now: lane 0, the present one, goes to its hour of the day.
        mean = np.roll(loads.mean_bytes, hour % LANES, axis=1).astype(np.float32)
        judge = _hindcast(hourly, requested, ~self._made[rows])
        self._made[rows] = True
        self.replicas.tell(rows, mean)
        beats = rhythms_of(hourly, hour)
        self._parts.append(
            RowLoads(
                rows,
                mean,
                loads.variance[:, 0],
                loads.third[:, 0],
                self.replicas.common(rows, loads.variance[:, 0]),
                bits_of(beats.begins),
                beats.stays_hours,
                beats.ends,
                judge.error,
                judge.reference,
            )
        )

    def late(self, rows: RowArray) -> RowArray:
        """Those of `rows` that have had no loads at all, a chunk at the most."""
        self._made = grown(self._made, int(rows.max(initial=0)) + 1, False)
        return rows[~self._made[rows]][:CHUNK_ROWS]

    def catch_up(
        self,
        by_store: Iterator[tuple[RowArray, Store]],
        places: Callable[[RowArray], RowArray],
        requested: HourlyArray,
        now_seconds: float,
    ) -> None:
        """Loads of rows that were decided about before anybody asked for them."""
        for rows, store in by_store:
            hourly = store.history.hourly(places(rows), WINDOW_HOURS).astype(np.float64)
            self.look(rows, hourly, requested[rows], now_seconds)

    def take(self) -> RowLoads:
        """All that was made since the last call."""
        parts, self._parts = self._parts, []
        return joined_loads(parts)


def joined_loads(parts: Sequence[RowLoads]) -> RowLoads:
    """The loads of all parts, one after the other."""
    if not parts:
        return no_loads()
    return RowLoads(
        rows=np.concatenate([each.rows for each in parts]),
        mean_bytes=np.concatenate([each.mean_bytes for each in parts]),
        variance=np.concatenate([each.variance for each in parts]),
        third=np.concatenate([each.third for each in parts]),
        common=np.concatenate([each.common for each in parts]),
        begins=np.concatenate([each.begins for each in parts]),
        stays_hours=np.concatenate([each.stays_hours for each in parts]),
        ends=np.concatenate([each.ends for each in parts]),
        error=sum(each.error for each in parts),
        reference=sum(each.reference for each in parts),
    )


def _hindcast(hourly: HourlyArray, requested: HourlyArray, first: npt.NDArray[np.bool_]) -> LoadJudge:
    """What a judge makes of yesterday's word, for rows that have a day before yesterday."""
    judge = LoadJudge()
    before = hourly[first, -1 - LANES - PAST_HOURS : -1 - LANES]
    if before.shape[0] and before.shape[1] >= LANES:
        said = loads_of(before).mean_bytes
        judge.hindcast(said, requested[first], hourly[first, -1 - LANES : -1], before)
    return judge
