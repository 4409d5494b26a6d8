"""The reclaim policies a replay knows, by name.

In: a name, a view and the target. Out: the decisions. `plimsoll` is what the node agent runs by address
(`GuardedReclaim`, under its own name `guarded`); `budgeted` is the refault account alone, without the guard.
Only the oracle looks into the view; every other policy is shown it epoch by epoch.
"""

import numpy as np

from plimsoll.pages.epoch_areas import AREA_PAGES_LOG2
from plimsoll.pages.epochs import EpochBits, EpochView, IntArray
from plimsoll.pages.guarded_plan import GuardedReclaim
from plimsoll.pages.idle import AdaptiveIdleAge, HeldTo, IdleAge, ReclaimPolicy
from plimsoll.pages.plan import BudgetedReclaim
from plimsoll.pages.prefetch import EarnedPrefetch
from plimsoll.replay.epochs import EpochReplay, replay_epochs, replay_oracle

ORACLE = "oracle"
LIVE = ("plimsoll", "guarded")  # one and the same: what plans by address run
IDLE, LRU = "idle:", "lru:"
NAMES = ("plimsoll", "guarded", "budgeted", "idle:EPOCHS", "idle-adaptive", "lru:FRACTION", ORACLE)


def replay_by_name(name: str, view: EpochView, target: float, *, prefetch: bool = False) -> EpochReplay:
    """Replay the policy called `name`; `prefetch`: with Plimsoll's prefetcher beside it.

    Raises ValueError for a name or target that there is not, and for an oracle that is to prefetch.
    """
    if not 0 < target < 1:
        raise ValueError(f"a target of {target} refaults per accessed page-epoch is not between 0 and 1")
    if name == ORACLE:
        if prefetch:
            raise ValueError("the oracle knows when each page returns; it has nothing to prefetch")
        return replay_oracle(view, target)
    return replay_epochs(
        view, reclaim_policy(name, view, target), EarnedPrefetch(view.page) if prefetch else None
    )


def reclaim_policy(name: str, view: EpochView, target: float) -> ReclaimPolicy:
    """The causal policy called `name`."""
    if name in LIVE:
        return _Guarded(view, target)
    if name == "budgeted":
        return BudgetedReclaim(view.page, target)
    if name == "idle-adaptive":
        return AdaptiveIdleAge(view.footprint_pages, target)
    if name.startswith(IDLE) and name.removeprefix(IDLE).isdigit():
        return IdleAge(view.footprint_pages, int(name.removeprefix(IDLE)))
    if name.startswith(LRU) and (fraction := _fraction(name.removeprefix(LRU))):
        return HeldTo(view.footprint_pages, max(1, int(fraction * view.footprint_pages)))
    raise ValueError(f"unknown policy {name!r}; there are {', '.join(NAMES)}")


class _Guarded:
    """`GuardedReclaim` as it plans for a live container, and all that it plans is done."""

    def __init__(self, view: EpochView, target: float) -> None:
        page = view.page.astype(np.int64)
        self._plan = GuardedReclaim(page, target, area_pages_log2=AREA_PAGES_LOG2)

    def step(self, bits: EpochBits | None) -> IntArray:
        """Positions of pages to page out."""
        chosen = np.sort(self._plan.step(bits))
        self._plan.took(chosen)
        return chosen


def _fraction(text: str) -> float | None:
    """A share of the footprint above 0 and up to 1; None where the text is none."""
    try:
        fraction = float(text)
    except ValueError:
        return None
    return fraction if 0 < fraction <= 1 else None
