"""What a young container can know of itself: how far containers like it have gone from where it is now.

In: hourly peaks of relatives (same image, same kind of owner; who is one is the shell's to say), and a row's
window and forecast. Out: the forecast corrected by the steps that relatives took, from an hour in which they
used about as much as the row uses now to the hour after. They count as errors of the row's own would, and by
the same rule (`buffer.calibrate`): a tail is believed as far as there are steps beyond it. A row that uses
what no relative ever used hears of none; a row of two days has enough of its own.
"""

from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt

from plimsoll.forecast.protocol import Hindcast, PeakDistribution
from plimsoll.forecast.window import Float32Array, FloatArray, IntArray, UsageWindow, last_hour_peak
from plimsoll.recommend.buffer import calibrate

YOUNG_HOURS = 48  # a row that was seen for longer stands alone
NEAR = 0.2  # log of usage within which a relative's hour is like the row's
LEAST_STEPS = 3  # fewer near ones are chance
MOST_STEPS = 1024  # of all relatives together: a few weeks of hours
Steps = Float32Array  # [m, 2] log of an hour's peak, and of the hour's after


def steps_of(hourly_bytes: Iterable[npt.NDArray[np.floating]]) -> Steps:
    """The steps of relatives from the peaks of their hours ([t] each, oldest first; NaN where unseen)."""
    parts = [np.empty((0, 2), dtype=np.float32)]
    for hours in hourly_bytes:
        logs = np.log(np.maximum(hours, 1.0)).astype(np.float32)
        pairs = np.stack([logs[:-1], logs[1:]], axis=1)
        parts.append(pairs[np.isfinite(pairs).all(axis=1)])
    return np.concatenate(parts)[-MOST_STEPS:]


class Relatives:
    """The steps that were told of each row's relatives; rows that nothing was told of cost nothing."""

    def __init__(self) -> None:
        self._steps: dict[int, Steps] = {}

    def tell(self, steps: Mapping[int, Steps]) -> None:
        """What relatives of these rows did; no steps: nothing is known of any."""
        for row, each in steps.items():
            self._steps.pop(row, None)
            if len(each):
                self._steps[row] = each

    def forget(self, rows: IntArray) -> None:
        """Rows were freed or given to another container."""
        if self._steps:
            self.tell({row: np.empty((0, 2), dtype=np.float32) for row in rows.tolist()})

    def corrected(self, forecast: PeakDistribution, rows: IntArray, window: UsageWindow) -> PeakDistribution:
        """The forecast of rows [n], corrected where a row is young and relatives were near it."""
        if not self._steps:
            return forecast
        hours = np.count_nonzero(np.isfinite(window.hourly_bytes), axis=1)
        told = np.array([row in self._steps for row in rows.tolist()], dtype=np.bool_)
        mine = np.flatnonzero(told & (hours <= YOUNG_HOURS))
        if not len(mine):
            return forecast
        present = last_hour_peak(window)[mine]
        part = PeakDistribution(forecast.levels, forecast.values_bytes[mine])
        values = forecast.values_bytes.copy()
        values[mine] = calibrate(part, Hindcast(present, self._near(rows[mine], present))).values_bytes
        return PeakDistribution(forecast.levels, values)

    def _near(self, rows: IntArray, present_bytes: FloatArray) -> FloatArray:
        """Steps [n, t] that began near the present peak [n], NaN where there are fewer."""
        found = []
        for row, level in zip(rows.tolist(), np.log(np.maximum(present_bytes, 1.0)), strict=True):
            steps = self._steps[row]
            near = steps[np.abs(steps[:, 0] - level) < NEAR]
            found.append(near[:, 1] - near[:, 0] if len(near) >= LEAST_STEPS else near[:0, 0])
        out = np.full((len(found), max(map(len, found), default=0)), np.nan)
        for place, each in enumerate(found):
            out[place, : len(each)] = each
        return out
