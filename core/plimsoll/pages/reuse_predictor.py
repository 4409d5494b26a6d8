"""Predicts when a page will be used next: an additive model over lookup tables, learned as it goes.

In: cells (`page_history.cells`: one of each table), and later how long it really took. Out: log2 of the time
to the next use. It starts out as LRU: only the age's table says anything, and it says "as long again as it
has been". Learning is a normalised step towards what came, spread over the tables.

The agent predicts from int8 tables (`quantised`), an eighth of the memory traffic; learning needs the float
ones. Nothing here is trusted blindly: `expert_guard.py` follows it only while it beats LRU.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from plimsoll.pages.reuse_features import CELLS, FINE_AGES, FIRST_CELL, TABLES

Cells = npt.NDArray[np.int16]
Octaves = npt.NDArray[np.float32]

LEARNING_RATE = 0.15  # of an error, one sample takes away so much; more forgets faster
BIAS_RATE = 0.001
START_BIAS = 2.0  # octaves; the same for all pages, so it moves no page before another
INT8_STEPS = 127


def lru_tables() -> npt.NDArray[np.float32]:
    """float32[CELLS + 1], the bias last: predicts the page's age, so the oldest is needed last."""
    tables = np.zeros(CELLS + 1, np.float32)
    tables[:FINE_AGES] = np.arange(FINE_AGES) / 3.0
    tables[CELLS] = START_BIAS
    return tables


@dataclass
class ReusePredictor:
    """The float tables, and how many samples they have learned from."""

    tables: npt.NDArray[np.float32] = field(default_factory=lru_tables)
    samples: int = 0

    def predict(self, cells: Cells) -> Octaves:
        """float32[n]: log2 of the time to the next use, for int16[n, tables]."""
        total: Octaves = self.tables[cells].sum(axis=1, dtype=np.float32) + self.tables[CELLS]
        return total

    def update(self, cells: Cells, octaves: Octaves) -> float:
        """Learn what came: cells as they were, float32[n] octaves it took. Returns the mean squared error.

        A cell that k samples of the batch share moves as far as k steps one after the other would have moved
        it towards their mean.
        """
        if not len(cells):
            return 0.0
        errors = octaves.astype(np.float64) - self.predict(cells)
        flat, repeated = cells.ravel().astype(np.int64), np.repeat(errors, len(TABLES))
        hits = np.bincount(flat, minlength=CELLS)
        means = np.bincount(flat, repeated, minlength=CELLS) / np.maximum(hits, 1)
        reach = 1.0 - (1.0 - LEARNING_RATE) ** hits
        self.tables[:CELLS] += (reach * means / len(TABLES)).astype(np.float32)
        self.tables[CELLS] += np.float32(errors.mean() * (1.0 - (1.0 - BIAS_RATE) ** len(errors)))
        self.samples += len(errors)
        return float(np.mean(errors**2))

    def quantised(self) -> "QuantisedTables":
        """The tables as they are now, in int8."""
        return quantise(self.tables)


@dataclass(frozen=True)
class QuantisedTables:
    """int8[CELLS] in steps of each table's own `scale` (float32[tables]), and the bias."""

    steps: npt.NDArray[np.int8]
    scale: npt.NDArray[np.float32]
    bias: float

    def predict(self, cells: Cells) -> Octaves:
        """As `ReusePredictor.predict`, to within half a step of each table."""
        total: Octaves = self.steps[cells].astype(np.float32) @ self.scale + np.float32(self.bias)
        return total

    def tables(self) -> npt.NDArray[np.float32]:
        """The float tables that these stand for."""
        widths = np.diff(FIRST_CELL)
        values = self.steps.astype(np.float32) * np.repeat(self.scale, widths)
        return np.append(values, np.float32(self.bias)).astype(np.float32)


def quantise(tables: npt.NDArray[np.float32]) -> QuantisedTables:
    """float32[CELLS + 1] to int8. Each table is centred first: what all its cells share goes to the bias."""
    widths = np.diff(FIRST_CELL)
    starts = np.array(FIRST_CELL[:-1])
    low, high = np.minimum.reduceat(tables[:CELLS], starts), np.maximum.reduceat(tables[:CELLS], starts)
    centre = (low + high) / 2
    scale = np.maximum((high - low) / 2 / INT8_STEPS, np.finfo(np.float32).tiny).astype(np.float32)
    steps = np.rint((tables[:CELLS] - np.repeat(centre, widths)) / np.repeat(scale, widths))
    bias = float(tables[CELLS]) + float(centre.sum())
    return QuantisedTables(np.clip(steps, -INT8_STEPS, INT8_STEPS).astype(np.int8), scale, bias)
