"""What reclaim over recorded epochs was worth, by the replay contract.

In: an `EpochView` and decisions (`EpochReplay`), ours or from a file. Out: the rules they break, and an
`EpochScore`. Whether a page is out is asked at the end of each epoch, after page-outs and prefetches.
The oracle is given exactly as many refaults as were realised.
"""

from dataclasses import dataclass

import numpy as np

from plimsoll.pages.epochs import EpochView
from plimsoll.replay.epochs import SCORED_FROM_EPOCH, EpochReplay, by_epoch, gaps_of

PREFETCH_USEFUL_EPOCHS = 4  # touched this soon, or the I/O was for nothing


@dataclass(frozen=True, slots=True)
class EpochScore:
    """Counts are page-epochs or events from epoch 40 on."""

    out: int
    touched: int  # page-epochs since each page's first touch
    refaults: int
    accessed: int
    oracle_out: int
    prefetched: int
    prefetched_used: int

    @property
    def reclaimed(self) -> float:
        """Share of the memory touched so far that was out."""
        return _ratio(self.out, self.touched)

    @property
    def refault_rate(self) -> float:
        """Refaults per accessed page-epoch."""
        return _ratio(self.refaults, self.accessed)

    @property
    def oracle_reclaimed(self) -> float:
        """What the oracle reclaims with as many refaults."""
        return _ratio(self.oracle_out, self.touched)

    @property
    def share_of_oracle(self) -> float:
        """Reclaimed against the oracle's; NaN where there is nothing to reclaim."""
        return _ratio(self.out, self.oracle_out)

    @property
    def coverage(self) -> float:
        """Share of the returns that were there before they were asked for."""
        return _ratio(self.prefetched_used, self.prefetched_used + self.refaults)

    @property
    def io_ratio(self) -> float:
        """Pages read, against those that were needed."""
        return _ratio(self.prefetched + self.refaults, self.prefetched_used + self.refaults)


def violations(view: EpochView, replay: EpochReplay) -> list[str]:
    """Every rule of the contract that the decisions break, as sentences; empty if none."""
    found = [
        *_misordered(view, "epoch", replay.epoch),
        *_misordered(view, "prefetch_epoch", replay.prefetch_epoch),
    ]
    if found:
        return found
    touched = np.zeros(view.footprint_pages, dtype=np.bool_)
    out = np.zeros_like(touched)
    outs = by_epoch(replay.epoch, replay.at, view.epochs)
    backs = by_epoch(replay.prefetch_epoch, replay.prefetch_at, view.epochs)
    for epoch, (accessed, gone, back) in enumerate(zip(view.accessed, outs, backs, strict=True)):
        touched |= accessed
        out &= ~accessed
        found += [
            f"epoch {epoch}: page {view.page[p]} is paged out before its first touch"
            for p in gone[~touched[gone]]
        ]
        found += [
            f"epoch {epoch}: page {view.page[p]} is paged out and is out already" for p in gone[out[gone]]
        ]
        found += [f"epoch {epoch}: page {view.page[p]} is paged out twice" for p in _repeated(gone)]
        out[gone] = True
        found += [
            f"epoch {epoch}: page {view.page[p]} is prefetched and is not out" for p in back[~out[back]]
        ]
        found += [f"epoch {epoch}: page {view.page[p]} is prefetched twice" for p in _repeated(back)]
        out[back] = False
    return found


def score_epochs(view: EpochView, replay: EpochReplay) -> EpochScore:
    """Score decisions that keep to the rules."""
    n = view.footprint_pages
    out = np.zeros(n, dtype=np.bool_)
    waiting = np.full(n, -1)  # since when a prefetched page waits for its first touch
    totals = dict.fromkeys(("out", "refaults", "prefetched", "used"), 0)
    outs = by_epoch(replay.epoch, replay.at, view.epochs)
    backs = by_epoch(replay.prefetch_epoch, replay.prefetch_at, view.epochs)
    for epoch, (accessed, gone, back) in enumerate(zip(view.accessed, outs, backs, strict=True)):
        counted = epoch >= SCORED_FROM_EPOCH
        in_time = accessed & (waiting >= 0) & (epoch - waiting <= PREFETCH_USEFUL_EPOCHS)
        totals["used"] += int(in_time.sum()) * counted
        totals["refaults"] += int((out & accessed).sum()) * counted
        waiting[accessed] = -1
        out &= ~accessed
        out[gone] = True
        waiting[gone] = -1
        out[back] = False
        waiting[back] = epoch
        totals["prefetched"] += len(back) * counted
        totals["out"] += int(out.sum()) * counted
    return EpochScore(
        out=totals["out"],
        touched=_touched(view),
        refaults=totals["refaults"],
        accessed=int(view.accessed[SCORED_FROM_EPOCH:].sum()),
        oracle_out=oracle_out(view, totals["refaults"]),
        prefetched=totals["prefetched"],
        prefetched_used=totals["used"],
    )


def oracle_out(view: EpochView, refaults: int) -> int:
    """Page-epochs that the oracle has out with so many refaults: gaps without end, then the longest."""
    gaps = gaps_of(view.accessed)
    length = gaps.scored_length()
    endless = gaps.end == view.epochs
    longest = np.sort(length[~endless])[::-1][:refaults]
    return int(length[endless].sum() + longest.sum())


def _touched(view: EpochView) -> int:
    first = np.maximum(view.accessed.argmax(axis=0), SCORED_FROM_EPOCH)
    return int(np.maximum(view.epochs - first, 0)[view.accessed.any(axis=0)].sum())


def _misordered(view: EpochView, name: str, epoch: np.ndarray) -> list[str]:
    if ((epoch < 0) | (epoch >= view.epochs)).any():
        return [f"{name} goes from {epoch.min()} to {epoch.max()}, the trace from 0 to {view.epochs - 1}"]
    if (np.diff(epoch) < 0).any():
        return [f"{name} is not in order of epoch (row {int(np.argmax(np.diff(epoch) < 0)) + 1})"]
    return []


def _repeated(at: np.ndarray) -> np.ndarray:
    values, counts = np.unique(at, return_counts=True)
    repeated: np.ndarray = values[counts > 1]
    return repeated


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")
