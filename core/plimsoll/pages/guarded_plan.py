"""What goes out at the end of an epoch: an amount within a budget, in an order behind shadows.

In: epoch after epoch of accessed bits, over pages that come and go. Out: positions to page out, the coldest
first. How many is decided by `BudgetedReclaim` alone (the refault budget). The expert that `ExpertGuard`
follows may only veto: the budget's own levels (idle age, at first; to begin with and to fall back to), plain
idle age (LRU), or the next use that `ReuseLearner` predicts (decision 0090). Each expert's shadow has as many
pages out as the memory itself, in its own order, so that its misses are what it would have cost. A fixed
expert can be set by name.
"""

import numpy as np
import numpy.typing as npt

from plimsoll.pages.epochs import BoolArray, EpochBits, FloatArray, IntArray
from plimsoll.pages.expert_guard import ExpertGuard
from plimsoll.pages.moving import Move
from plimsoll.pages.page_history import touch
from plimsoll.pages.plan import NOTHING, BudgetedReclaim
from plimsoll.pages.reuse_learner import LearnerSettings, ReuseLearner
from plimsoll.pages.reuse_predictor import ReusePredictor
from plimsoll.pages.trace import AccessKind

LRU, BUDGETED, REUSE = "lru", "budgeted", "reuse"
EXPERTS = (BUDGETED, LRU, REUSE)
GUARDED = "guarded"
HORIZON_EPOCHS = 256  # what is not used within it counts as used after it
# Each sample waits for half the horizon at least: were they overwritten sooner, only short reuse would teach.
SAMPLES, SAMPLES_PER_EPOCH = 512, 4
AREA_BLOCKS_LOG2 = 8  # 16 MiB of blocks of 64 KiB, about an allocator's arena
ADVANTAGE = 0.1  # so much fewer misses, and another expert is followed
CAPACITY_MOVES = 2.0  # a memory so many times as large (or as small) is another: its guard begins anew


class GuardedReclaim:
    """Over the pages numbered `page` int64[n], ascending; `target` refaults per accessed page-epoch."""

    def __init__(
        self,
        page: npt.NDArray[np.int64],
        target: float,
        predictor: ReusePredictor | None = None,
        area_pages_log2: int = AREA_BLOCKS_LOG2,
    ) -> None:
        self._page = page
        self.budget = BudgetedReclaim(page, target, area_pages_log2)
        settings = LearnerSettings(HORIZON_EPOCHS, 1.0, SAMPLES, SAMPLES_PER_EPOCH)
        self.learner = ReuseLearner(page, settings, predictor)
        self._capacity = float(max(1, len(page)))
        self.guard = ExpertGuard(EXPERTS, self._capacity, ADVANTAGE)
        self._shadow_out = np.zeros((len(EXPERTS), len(page)), dtype=np.bool_)
        self._epoch = 0
        self.vetoed = NOTHING
        """Of the newest epoch: what the budget would let go and the expert would not, the coldest first."""
        self._told = np.zeros(len(page), dtype=np.bool_)

    def step(self, bits: EpochBits | None, policy: str = GUARDED) -> IntArray:
        """Positions [k] to page out, the coldest first; what really goes is to be told by `took`.

        `policy`: `guarded`, or the name of one expert. None, or an epoch without any access: nothing.
        """
        own = 0 if bits is None else int((self.budget.out & bits.accessed).sum())
        allowed, self.vetoed = self.budget.decide(bits), NOTHING
        if bits is None or not bits.accessed.any():
            return NOTHING
        self._epoch += 1
        rows = np.flatnonzero(bits.accessed).astype(np.int32)
        kinds = np.full(len(rows), AccessKind.LOAD, np.uint8)
        self.learner.observe(rows, kinds, self._epoch)
        colds = self._colds(bits)
        self._judge(bits, own)
        self._let_go(bits, colds, int(self.budget.out.sum()) + len(allowed))
        expert = self.guard.current if policy == GUARDED else policy
        chosen = self._chosen(allowed, EXPERTS.index(expert), colds)
        self._told &= ~bits.accessed
        if len(chosen) < len(allowed):
            self.vetoed = allowed[~np.isin(allowed, chosen) & ~self._told[allowed]]
        return chosen

    def doubtful(self, count: int) -> IntArray:
        """So many of `vetoed`; a page is told once, until it is accessed again."""
        rows, self.vetoed = self.vetoed[:count], self.vetoed[count:]
        self._told[rows] = True
        return rows

    def took(self, positions: IntArray) -> None:
        """These were paged out."""
        self.budget.took(positions)

    def follow(self, page: npt.NDArray[np.int64], arrived: BoolArray) -> None:
        """Go on over other pages [m]; `arrived` [m]: new ones that are in memory already."""
        move = Move.between(self._page, page)
        self._page, self.vetoed = page, NOTHING
        self.budget.follow(page, arrived)
        self.learner.follow(page)
        came = arrived & (self.learner.history.accesses == 0)
        rows = np.flatnonzero(came).astype(np.int32)
        touch(self.learner.history, rows, np.full(len(rows), AccessKind.LOAD, np.uint8), max(1, self._epoch))
        self._told = move.carry(self._told, fresh=False)
        self._shadow_out = np.stack([move.carry(each, fresh=False) for each in self._shadow_out])

    def _colds(self, bits: EpochBits) -> FloatArray:
        """[experts, n] how cold each expert takes each page to be; -inf for what may not go."""
        idle = self.budget.touched & ~bits.accessed
        rows = np.flatnonzero(idle).astype(np.int32)
        age = self.budget.age()[rows].astype(np.float64)
        colds = np.full((len(EXPERTS), len(self._page)), -np.inf)
        colds[EXPERTS.index(LRU), rows] = age
        # What two experts take to be equally cold goes by age.
        fine = age / (2.0 * max(1, self._epoch + 1))
        colds[EXPERTS.index(BUDGETED), rows] = self.budget.level[rows] + fine
        known = self.learner.history.accesses[rows] > 0
        colds[EXPERTS.index(REUSE), rows[known]] = (
            self.learner.next_use(rows[known], self._epoch) + 1e-3 * fine[known]
        )
        return colds

    def _judge(self, bits: EpochBits, own_misses: int) -> None:
        """Every shadow misses what it has out and was touched."""
        missed = (self._shadow_out & bits.accessed).sum(axis=1)
        self._shadow_out &= ~bits.accessed
        capacity = float(max(1, self.budget.touched.sum()))
        if not 1 / CAPACITY_MOVES <= capacity / self._capacity <= CAPACITY_MOVES:
            misses = self.guard.misses
            self._capacity, self.guard = capacity, ExpertGuard(EXPERTS, capacity, ADVANTAGE)
            self.guard.misses = misses
        self.guard.observe(missed, int(bits.accessed.sum()), own_misses)

    def _let_go(self, bits: EpochBits, colds: FloatArray, out: int) -> None:
        """Every shadow lets so many be out as the memory itself: its coldest first, or takes some back."""
        for shadow, cold in zip(self._shadow_out, colds, strict=True):
            lacking = out - int(shadow.sum())
            if lacking > 0:
                may = np.flatnonzero(self.budget.touched & ~shadow & ~bits.accessed)
                shadow[_coldest(may, cold, lacking)] = True
            elif lacking < 0:
                shadow[_coldest(np.flatnonzero(shadow), -cold, -lacking)] = False

    def _chosen(self, allowed: IntArray, expert: int, colds: FloatArray) -> IntArray:
        """Of what is allowed, what the expert would have out too: whoever is followed may only veto."""
        agreed = allowed[self._shadow_out[expert, allowed]] if expert != EXPERTS.index(BUDGETED) else allowed
        return _coldest(agreed, colds[expert], len(agreed))


def _coldest(rows: IntArray, cold: FloatArray, count: int) -> IntArray:
    """So many of these rows, the coldest first."""
    order = np.argsort(-cold[rows], kind="stable")[:count]
    return rows[order].astype(np.int64)
