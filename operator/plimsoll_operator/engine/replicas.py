"""How much the replicas of a row deviate together, learned from each hour that is over.

In: the highest that each live container was in the hour, and what was said of its row for it. Out: of a row's
variance what all its replicas have in common (`placement.together`), for whoever adds pods up. Only hours
that were seen whole count, and containers that were live throughout.
"""

import numpy as np
import numpy.typing as npt

from plimsoll.placement.lanes import LANES
from plimsoll.placement.together import ReplicaErrors
from plimsoll.usage.grown import grown
from plimsoll.usage.sample import HOUR_SECONDS
from plimsoll_operator.engine.members import MemberTable
from plimsoll_operator.engine.rows import RowArray

FIRST_ROWS = 1024
LATEST_START_SECONDS = 600.0  # an hour that is first seen later is no whole hour

FloatArray = npt.NDArray[np.float64]


class ReplicaDesk:
    """Judges rows with several replicas, hour by hour."""

    def __init__(self) -> None:
        self._said: npt.NDArray[np.float32] = np.full((FIRST_ROWS, LANES), np.nan, dtype=np.float32)
        self._errors = ReplicaErrors(FIRST_ROWS)
        self._hour = -1
        self._whole = False

    def tell(self, rows: RowArray, mean_bytes: npt.NDArray[np.float32]) -> None:
        """What is said of rows [n] from now on, [n, LANES] by hour of the day."""
        self._grow(int(rows.max(initial=-1)) + 1)
        self._said[rows] = mean_bytes

    def forget(self, rows: RowArray) -> None:
        """Rows were freed or given to another container."""
        known = rows[rows < len(self._said)]
        self._said[known] = np.nan
        self._errors.forget(known)

    def common(self, rows: RowArray, variance: FloatArray) -> FloatArray:
        """[n] of the whole variance [n] of a replica of these rows, what all of them have in common."""
        self._grow(int(rows.max(initial=-1)) + 1)
        return self._errors.variance(rows, variance)

    def look(self, members: MemberTable, now_seconds: float) -> None:
        """A tick begins; where it is the first of an hour, the hour before is judged."""
        hour = int(now_seconds // HOUR_SECONDS)
        if hour == self._hour:
            return
        if self._whole and hour == self._hour + 1:
            self._judge(members, now_seconds)
        members.peaks_from_now_on()
        self._whole = now_seconds - hour * HOUR_SECONDS <= LATEST_START_SECONDS
        self._hour = hour

    def _judge(self, members: MemberTable, now_seconds: float) -> None:
        slots = members.live()
        throughout = HOUR_SECONDS - LATEST_START_SECONDS
        slots = slots[members.lived_seconds(slots, now_seconds) >= throughout]
        rows = members.rows[slots]
        self._grow(int(rows.max(initial=-1)) + 1)
        errors = members.peak_bytes(slots) - self._said[rows, self._hour % LANES]
        self._errors.hour(rows, errors)

    def _grow(self, rows: int) -> None:
        self._said = grown(self._said, rows, np.nan)
        self._errors.grow(len(self._said))
