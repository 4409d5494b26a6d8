"""What became of decisions, kept as lessons: a sample of the last weeks, for the forecast to be refitted to.

In: rows that are decided about and the window each was looked at with, then the hour that followed. Out:
`Lessons`. So many decisions an hour are picked by a hash of row and hour, however large the fleet is; a
lesson whose hour was not seen is dropped. Oldest go first. Nothing here is kept over a restart: a book of
weeks is worth less than the weights that were made from it, and those are (`forecast.own`).
"""

import math

import numpy as np
import numpy.typing as npt

from plimsoll.forecast.features import LOG_LEVELS, features
from plimsoll.forecast.own import Lessons
from plimsoll.forecast.window import BINS_PER_HOUR, FloatArray, IntArray, UsageWindow, part_of
from plimsoll.guard.limits import GuardSettings, exceeded
from plimsoll.recommend.buffer import LEAST_SEEN_BINS
from plimsoll.recommend.in_an_hour import InAnHour
from plimsoll.usage.grown import grown, rows_up_to

MOST_LESSONS = 16_384  # 15 MB: two weeks and more at the pace below
AN_HOUR = 48  # lessons begun in an hour, over all rows
NOBODY = -1  # the workload of a row that was freed, or of which none was told
_PRIME, _ODD = np.uint64(0x9E3779B97F4A7C15), 0xD1B54A32D192ED03  # they mix; any odd numbers would do


class LessonBook:
    """Of all rows of a history."""

    def __init__(self, guard: GuardSettings | None = None, most: int = MOST_LESSONS) -> None:
        self._guard = guard or GuardSettings()
        self._most = most
        self._workload: npt.NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self._open: dict[int, tuple[int, Lessons, float]] = {}  # by row: bin, features, reference bytes
        self._done: list[Lessons] = []
        self._decided = InAnHour()

    def __len__(self) -> int:
        """Lessons that are complete."""
        return len(self._done)

    def tell(self, rows: IntArray, workloads: npt.NDArray[np.int64]) -> None:
        """Which workload (a code >= 0) each of `rows` [n] belongs to; siblings share one."""
        self._grow(rows)
        self._workload[rows] = workloads

    def forget(self, rows: IntArray) -> None:
        """Rows were freed or given to another container; what they taught stays."""
        self._grow(rows)
        self._workload[rows] = NOBODY
        for row in np.atleast_1d(rows).tolist():
            self._open.pop(row, None)

    def begin(self, rows: IntArray, window: UsageWindow, bin_: int) -> None:
        """Decisions about `rows` [n] were made in this bin, from this window of theirs."""
        self._grow(rows)
        share = AN_HOUR / self._decided.heard(len(rows), bin_ // BINS_PER_HOUR)
        picked = np.flatnonzero((_drawn(rows, bin_) < share) & (self._workload[rows] != NOBODY))
        if not len(picked):
            return
        seen = features(part_of(window, picked))
        for place, row in enumerate(rows[picked].tolist()):
            at = slice(place, place + 1)
            if np.isfinite(seen.reference_bytes[place]):
                unknown = np.zeros(1, dtype=np.int64)
                lesson = Lessons(seen.row[at], seen.level[at], unknown, self._workload[[row]])
                self._open[row] = (bin_, lesson, float(seen.reference_bytes[place]))

    def end(
        self, rows: IntArray, bins: npt.NDArray[np.int64], usage_bytes: FloatArray, killed_bytes: FloatArray
    ) -> None:
        """The hours from `bins` [n] on are over for `rows` [n]: what was used in each, [n, 12], and the
        highest limit at which it was killed then [n]; NaN: it was not. It would have used more than that.
        """
        for place, row in enumerate(rows.tolist() if self._open else ()):
            begun = self._open.pop(row, None)
            usage = usage_bytes[place : place + 1]
            if begun is None or begun[0] != bins[place] or np.isfinite(usage).sum() < LEAST_SEEN_BINS:
                continue
            _, lesson, reference = begun
            need = needs(usage, np.array([reference]), self._guard)
            if math.isfinite(killed_bytes[place]):
                log_limit = math.log(killed_bytes[place] / reference)
                need = np.maximum(need, np.searchsorted(LOG_LEVELS, log_limit, side="right"))
            self._done.append(Lessons(lesson.row, lesson.level, need, lesson.workload))
        del self._done[: max(len(self._done) - self._most, 0)]

    def lessons(self) -> Lessons:
        """All that are complete; at least one."""
        columns = ("row", "level", "need", "workload")
        return Lessons(*(np.concatenate([getattr(each, name) for each in self._done]) for name in columns))

    def _grow(self, rows: IntArray) -> None:
        self._workload = grown(self._workload, rows_up_to(rows), NOBODY)


def needs(coming: FloatArray, reference_bytes: FloatArray, guard: GuardSettings) -> npt.NDArray[np.int64]:
    """First level [m] whose limit survives the coming bins [m, 12] with the reactive guard at work."""
    killed = exceeded(coming, np.exp(LOG_LEVELS)[None, :] * reference_bytes[:, None], guard)
    return np.where(killed.all(axis=1), len(LOG_LEVELS), np.argmin(killed, axis=1))


def _drawn(rows: IntArray, bin_: int) -> FloatArray:
    """A number in [0, 1) [n] for each row in this hour, the same whoever asks."""
    hour = np.uint64((bin_ // BINS_PER_HOUR * _ODD) % 2**64)
    mixed = (rows.astype(np.uint64) + np.uint64(1)) * _PRIME + hour
    mixed ^= mixed >> np.uint64(32)
    mixed *= _PRIME
    mixed ^= mixed >> np.uint64(29)
    return np.asarray((mixed >> np.uint64(11)).astype(np.float64) / 2**53)
