"""The agent's reuse predictor for one memory: history, samples and tables together, a batch an epoch.

In: the pages (or regions) seen accessed in an epoch. Out: log2 of the time to each page's next use. Every
epoch some pages are drawn as samples; a sample teaches when its page is used again, or when the horizon has
passed without that. The same seed and the same epochs give the same predictions.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from plimsoll.pages.moving import Move
from plimsoll.pages.page_history import FAST, MIDDLE, SLOW, Rows, cells, history_columns, moved, touch
from plimsoll.pages.reuse_features import TABLES, octaves
from plimsoll.pages.reuse_predictor import Octaves, QuantisedTables, ReusePredictor


@dataclass(frozen=True, slots=True)
class LearnerSettings:
    """Times are in the unit of `now`: references, epochs, or ticks of a clock."""

    horizon: int  # what is not used within it counts as used after it; a few refills of memory
    beside: float  # pages next to each other touched within it belong to one sweep
    samples: int = 4096  # waiting at once
    samples_per_batch: int = 256
    seed: int = 7


@dataclass(frozen=True, slots=True, eq=False)
class Taught:
    """What a batch taught: the samples' cells int16[n, tables] as they were, and the octaves [n] it took."""

    cells: npt.NDArray[np.int16]
    octaves: Octaves


class ReuseLearner:
    """Predicts and learns for pages (int[n], ascending) that keep their row as long as it lives."""

    def __init__(
        self,
        pages: npt.NDArray[np.integer],
        settings: LearnerSettings,
        predictor: ReusePredictor | None = None,
    ) -> None:
        horizon = float(settings.horizon)
        self._pages = pages
        self.history = history_columns(pages, (horizon, horizon, horizon, settings.beside))
        self.predictor = predictor or ReusePredictor()
        self.squared_error = 0.0  # mean, of the last batch that taught something
        self.taught: Taught | None = None
        self._settings, self._random = settings, np.random.default_rng(settings.seed)
        self._page = np.zeros(settings.samples, np.int32)
        self._drawn_at = np.zeros(settings.samples, np.int64)
        self._cells = np.zeros((settings.samples, len(TABLES)), np.int16)
        self._waiting = np.zeros(settings.samples, np.bool_)
        self._slot = 0
        self._small: QuantisedTables = self.predictor.quantised()
        times = self.history.times
        times[FAST], times[MIDDLE], times[SLOW] = horizon / 256, horizon / 32, horizon / 4

    def observe(self, rows: Rows, kinds: npt.NDArray[np.uint8], now: int) -> None:
        """Take in the pages accessed in the batch that ends at `now` (> 0, never less than before)."""
        self._label(rows, now)
        touch(self.history, rows, kinds, now)
        self._draw(now)
        self._small = self.predictor.quantised()

    def follow(self, pages: npt.NDArray[np.integer]) -> None:
        """Go on over other pages (int[m], ascending); samples of pages that went teach nothing."""
        place = Move.between(self._pages, pages).row_after(len(self._pages))
        self.history = moved(self.history, self._pages, pages)
        self._pages = pages
        there = place[self._page] if len(place) else np.full(len(self._page), -1, np.intp)
        self._waiting &= there >= 0
        self._page = np.maximum(there, 0).astype(np.int32)

    def next_use(self, rows: Rows, now: int) -> Octaves:
        """float32[n]: log2 of the time to the next use of pages seen before, by the int8 tables."""
        return self._small.predict(cells(self.history, rows, now))

    def _label(self, rows: Rows, now: int) -> None:
        self.taught = None
        used = np.zeros(len(self.history.last), np.bool_)
        used[rows] = True
        waited = now - self._drawn_at
        again = self._waiting & used[self._page]
        given_up = self._waiting & ~again & (waited >= self._settings.horizon)
        due = np.flatnonzero(again | given_up)
        if len(due):
            took = octaves(np.minimum(waited[due], 2 * self._settings.horizon)).astype(np.float32)
            self.taught = Taught(self._cells[due], took)  # read before the next batch, by who compares tables
            self.squared_error = self.predictor.update(self._cells[due], took)
            self._waiting[due] = False

    def _draw(self, now: int) -> None:
        """Samples among pages seen before; a slot still waiting is overwritten, oldest first."""
        seen = np.flatnonzero(self.history.accesses)
        count = min(self._settings.samples_per_batch, len(seen), self._settings.samples)
        if not count:
            return
        rows = self._random.choice(seen, count, replace=False).astype(np.int32)
        slots = (self._slot + np.arange(count)) % self._settings.samples
        self._slot = int(slots[-1] + 1) % self._settings.samples
        self._page[slots], self._drawn_at[slots] = rows, now
        self._cells[slots] = cells(self.history, rows, now)
        self._waiting[slots] = True
