"""Which rows come and go by the clock: at which hours of the day they begin, and how long they stay.

In: hourly maxima [n, hours], NaN where nothing ran. Out: `Rhythms`. A start is an hour that was seen after
one that was not; hours at which a row began on three of the last seven days are its known starts. A row that
never went says nothing of either. All of it is read off the history that checkpoints keep, so it survives a
restart.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from plimsoll.placement.lanes import LANES, FloatArray

BoolArray = npt.NDArray[np.bool_]

PAST_HOURS = 7 * LANES
LEAST_DAYS = 3  # on which a row began at an hour for that to be a known start: a week has five working days
# Stretches that ended, for the end of the present one to be known: fewer may be outages of the source.
LEAST_ENDED = 3


@dataclass(frozen=True, slots=True)
class Rhythms:
    """Of n rows."""

    begins: BoolArray  # [n, LANES] known starts by hour of the day (UTC)
    stays_hours: npt.NDArray[np.int8]  # [n] the longest stretch that ended, at most LANES; 0: none did
    ends: BoolArray  # [n] so many ended that the end of the next one is known


def rhythms_of(hourly_bytes: FloatArray, hour: int) -> Rhythms:
    """Rhythms of rows [n, hours], oldest first; the last column is hour `hour` since 1970, not over."""
    seen = _without_gaps(np.isfinite(hourly_bytes[:, -PAST_HOURS:]))
    n, width = seen.shape
    begun = np.zeros_like(seen)
    begun[:, 1:] = seen[:, 1:] & ~seen[:, :-1]
    lanes = (hour - width + 1 + np.arange(width)) % LANES
    counts = np.zeros((n, LANES), dtype=np.int8)
    stays, ended, under_way = (np.zeros(n, dtype=np.int64) for _ in range(3))
    for column in range(width):
        counts[:, lanes[column]] += begun[:, column]
        over = (under_way > 0) & ~seen[:, column]
        stays = np.where(over, np.maximum(stays, under_way), stays)
        ended += over
        under_way = np.where(seen[:, column], under_way + 1, 0)
    small = np.minimum(stays, LANES).astype(np.int8)
    return Rhythms(counts >= LEAST_DAYS, small, ended >= LEAST_ENDED)


def bits_of(begins: BoolArray) -> npt.NDArray[np.int32]:
    """[n] the hours [n, LANES] as bits, the lowest for hour 0."""
    return np.asarray(begins @ (1 << np.arange(LANES, dtype=np.int32)), dtype=np.int32)


def hours_of(bits: int) -> list[int]:
    """The hours of the day of such bits, ascending."""
    return [hour for hour in range(LANES) if bits >> hour & 1]


def _without_gaps(seen: BoolArray) -> BoolArray:
    """With gaps of one hour taken as seen: a sample that was missed as well as an end."""
    filled = seen.copy()
    filled[:, 1:-1] |= seen[:, :-2] & seen[:, 2:]
    return filled
