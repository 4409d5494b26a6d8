"""Scores page replays by the replay contract: misses against LRU, and the share of the gap to Belady closed.

In: misses of a policy, of LRU and of Belady's optimum, case by case (trace x capacity). Out: one figure a
case, and their pool: geometric mean and worst of misses over LRU; the gap closed, clipped at -100 %, over
the cases where Belady saves more than a tenth of LRU's misses.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

WORST_GAP_PERCENT = -100.0
LEAST_SAVING = 0.1  # below it the gap is a ratio of small differences


@dataclass(frozen=True, slots=True)
class PageCase:
    """One policy on one trace at one capacity."""

    misses: int
    lru_misses: int
    belady_misses: int

    @property
    def misses_over_lru(self) -> float:
        """1 is as good as LRU; nan where LRU misses nothing."""
        return self.misses / self.lru_misses if self.lru_misses else float("nan")

    @property
    def gap_closed_percent(self) -> float | None:
        """How much of what Belady saves is saved; None where that is too little to tell."""
        gap = self.lru_misses - self.belady_misses
        if gap <= LEAST_SAVING * self.lru_misses:
            return None
        return max(WORST_GAP_PERCENT, 100 * (self.lru_misses - self.misses) / gap)


@dataclass(frozen=True, slots=True)
class PagePool:
    """Several cases together; NaN where no case counts."""

    cases: int
    mean_gap_percent: float
    geomean_misses_over_lru: float
    worst_misses_over_lru: float


def pool(cases: Sequence[PageCase]) -> PagePool:
    """The contract's figures over all cases."""
    gaps = [gap for case in cases if (gap := case.gap_closed_percent) is not None]
    ratios = np.array([case.misses_over_lru for case in cases if case.lru_misses])
    nothing = float("nan")
    return PagePool(
        len(cases),
        float(np.mean(gaps)) if gaps else nothing,
        float(np.exp(np.log(ratios).mean())) if len(ratios) else nothing,
        float(ratios.max()) if len(ratios) else nothing,
    )
