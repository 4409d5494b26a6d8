"""Replays reclaim over recorded epochs: touches first, then page-outs, then prefetches.

In: an `EpochView` and a policy, which is shown epoch after epoch. Out: an `EpochReplay`, the decisions in the
order they were taken; `epochs_score.py` judges them. The oracle alone looks ahead.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from plimsoll.pages.epochs import BoolArray, EpochBits, EpochView, IntArray
from plimsoll.pages.idle import ReclaimPolicy

SCORED_FROM_EPOCH = 40
NOTHING = np.empty(0, dtype=np.int64)


class Prefetcher(Protocol):
    """Decides at the end of each epoch which pages that are out come back."""

    def step(self, bits: EpochBits | None, out: BoolArray) -> IntArray:
        """Positions of pages to bring back; `out` [n] is after the epoch's page-outs."""


@dataclass(frozen=True, slots=True)
class EpochReplay:
    """Decisions in order of epoch; `at` and `prefetch_at` are positions in the view's pages."""

    epoch: IntArray
    at: IntArray
    prefetch_epoch: IntArray = field(default_factory=NOTHING.copy)
    prefetch_at: IntArray = field(default_factory=NOTHING.copy)


def replay_epochs(
    view: EpochView, policy: ReclaimPolicy, prefetcher: Prefetcher | None = None
) -> EpochReplay:
    """Show the policy each epoch and note what it decides.

    Raises ValueError where it names a page that is out or was never touched.
    """
    outs: list[IntArray] = []
    backs: list[IntArray] = []
    out = np.zeros(view.footprint_pages, dtype=np.bool_)
    touched = np.zeros_like(out)
    for epoch, (accessed, written) in enumerate(zip(view.accessed, view.written, strict=True)):
        touched |= accessed
        out &= ~accessed
        bits = EpochBits(accessed, written, touched & ~out)
        chosen = policy.step(bits)
        if not bits.resident[chosen].all():
            raise ValueError(f"epoch {epoch}: the policy pages out what is not resident")
        out[chosen] = True
        back = NOTHING if prefetcher is None else prefetcher.step(bits, out.copy())
        if not out[back].all():
            raise ValueError(f"epoch {epoch}: the prefetcher brings back what is not out")
        out[back] = False
        outs.append(chosen)
        backs.append(back)
    return EpochReplay(_epochs(outs), _joined(outs), _epochs(backs), _joined(backs))


def replay_oracle(view: EpochView, target: float) -> EpochReplay:
    """Gaps without end, then the longest gaps, with as many refaults as the target allows."""
    gaps = gaps_of(view.accessed)
    allowed = int(target * view.accessed[SCORED_FROM_EPOCH:].sum())
    chosen = gaps.end == view.epochs
    finite = np.flatnonzero(~chosen & (gaps.end >= SCORED_FROM_EPOCH))
    longest = np.argsort(-gaps.scored_length()[finite], kind="stable")[:allowed]
    chosen[finite[longest]] = True
    order = np.lexsort((gaps.at[chosen], gaps.begin[chosen]))
    return EpochReplay(gaps.begin[chosen][order], gaps.at[chosen][order])


@dataclass(frozen=True, slots=True)
class Gaps:
    """Every stretch [k] between two accesses of a page: it may be out at the ends of `begin` to `end` - 1.

    `end` is the epoch of the next access, or the number of epochs where there is none.
    """

    at: IntArray
    begin: IntArray
    end: IntArray

    def scored_length(self) -> IntArray:
        """[k] how many of its epochs count."""
        return np.maximum(self.end - np.maximum(self.begin, SCORED_FROM_EPOCH), 0)


def gaps_of(accessed: BoolArray) -> Gaps:
    """The gaps of `accessed` [epochs, n], by page and then epoch."""
    at, begin = np.nonzero(accessed.T)
    end = np.full(len(at), len(accessed), dtype=np.int64)
    same = at[1:] == at[:-1]
    end[:-1][same] = begin[1:][same]
    return Gaps(at, begin, end)


def _epochs(parts: list[IntArray]) -> IntArray:
    return np.repeat(np.arange(len(parts)), [len(part) for part in parts])


def _joined(parts: list[IntArray]) -> IntArray:
    return np.concatenate([NOTHING, *parts])


def by_epoch(epoch: IntArray, at: IntArray, epochs: int) -> Iterator[IntArray]:
    """The positions of each epoch in turn; `epoch` ascends."""
    edges = np.searchsorted(epoch, np.arange(epochs + 1))
    for begin, end in itertools.pairwise(edges):
        yield at[begin:end]
