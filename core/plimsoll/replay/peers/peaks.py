"""Hourly maxima of the past, for peers whose estimate is a maximum over a window of days.

In: one bin of all series at a time. Out: the maximum [n] over the last so many hours, NaN where nothing
was seen.
"""

import numpy as np

from plimsoll.replay.series import BINS_PER_HOUR, FloatArray


class HourlyPeaks:
    """A ring of the last `hours` hourly maxima of every series, the present hour included."""

    def __init__(self, series: int, hours: int) -> None:
        self._ring = np.full((hours, series), np.nan)
        self._hour = -1

    def add(self, bin_index: int, usage_bytes: FloatArray) -> None:
        """Take in one bin; bins come in order."""
        hour = bin_index // BINS_PER_HOUR
        slot = self._ring[hour % len(self._ring)]
        if hour != self._hour:
            slot[:] = np.nan
            self._hour = hour
        np.fmax(slot, usage_bytes, out=slot)

    def maximum(self) -> FloatArray:
        """The maximum of the window [n]."""
        peak: FloatArray = np.fmax.reduce(self._ring, axis=0)
        return peak

    def hourly_bytes(self) -> FloatArray:
        """All hours of the window [n, hours], in no order."""
        return self._ring.T
