"""What a shell knows of a row beside its usage: its image, its starts, its pods, its relatives.

In: those facts, row by row, and a window. Out: the window as the row would have lived it in its present
circumstances (`Lived`), what no limit goes below because of them, and a corrected forecast. A row of which
nothing is told, as in every replay, gets back what came in, bit for bit. Images and starts are read off the
history, which survives restarts; pods and relatives are told again.
"""

from dataclasses import dataclass

import numpy as np

from plimsoll.forecast.protocol import PeakDistribution
from plimsoll.forecast.rollout import moved_to_image
from plimsoll.forecast.startup import StartUps, startups_of
from plimsoll.forecast.window import FloatArray, IntArray, UsageWindow, last_hour_peak
from plimsoll.recommend.buffer import shifted
from plimsoll.recommend.relatives import Relatives
from plimsoll.recommend.replicas import Replicas
from plimsoll.usage.history import History


@dataclass(frozen=True, slots=True)
class Lived:
    """The pasts of n rows in their present circumstances."""

    window: UsageWindow
    startups: StartUps | None = None  # None: no row begins high

    def held_bytes(self) -> FloatArray:
        """What no limit goes below while a process begins, [n]; 0 where none does."""
        count = len(self.window)
        return np.zeros(count) if self.startups is None else self.startups.held_bytes(count)


class Circumstances:
    """Of all rows of a history."""

    def __init__(self, history: History) -> None:
        self._history = history
        self.relatives = Relatives()
        self.replicas = Replicas()

    def lived(self, window: UsageWindow, rows: IntArray) -> Lived:
        """The past of `rows` [n] without start-ups, at the level of the image that they run now."""
        now = self._history.now_seconds
        since = self._history.images.since_seconds(rows)
        startups = self._startups(window, rows)
        steady = window if startups is None else startups.steady
        return Lived(moved_to_image(steady, since, now), startups)

    def corrected(self, forecast: PeakDistribution, rows: IntArray, lived: Lived) -> PeakDistribution:
        """What relatives did, what fewer pods will have to carry, and starts that may come."""
        forecast = self.relatives.corrected(forecast, rows, lived.window)
        if self.replicas.losing(rows).any():
            rise = self.replicas.expected_rise(rows, last_hour_peak(lived.window))
            forecast = shifted(forecast, rise)
        return forecast if lived.startups is None else lived.startups.mixed(forecast)

    def start_peak_bytes(self, window: UsageWindow, rows: IntArray) -> FloatArray:
        """What rows [n] need that have just begun, by their earlier starts; 0: no more than steadily."""
        return Lived(window, self._startups(window, rows)).held_bytes()

    def _startups(self, window: UsageWindow, rows: IntArray) -> StartUps | None:
        history = self._history
        starts = history.starts(rows)
        if not np.isfinite(starts.seconds).any():
            return None
        return startups_of(window, starts, history.ooms(rows).seconds, history.now_seconds)

    def forget(self, rows: IntArray) -> None:
        """Rows were freed or given to another container."""
        self.relatives.forget(rows)
        self.replicas.forget(rows)
