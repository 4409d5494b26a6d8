"""Does what was emitted obey the contract? A replay in, its violations out.

Exactly one limit for every bin (checked where the columns are read, `columns.py`); every limit finite and
above zero; after an OOM at limit L every limit up to the end of the decision window is at least R =
max(1.2 L, L + 100 MiB), and from there to 24 h after the OOM a limit below R has a reason written beside it.
"""

from dataclasses import dataclass

import numpy as np

from plimsoll.replay.limits import LimitReplay, raised_after_oom
from plimsoll.replay.series import BINS_PER_DAY


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken rule."""

    series_id: str
    bin: int
    message: str

    def __str__(self) -> str:
        return f"series {self.series_id}, bin {self.bin}: {self.message}"


def check(replay: LimitReplay) -> list[Violation]:
    """All violations of one replay."""
    return [*_unusable(replay), *_forgotten_ooms(replay)]


def _unusable(replay: LimitReplay) -> list[Violation]:
    # A bin without a limit (NaN here) is told by the reader of the columns.
    limits = replay.limit_bytes
    rows, bins = np.nonzero(replay.emitted() & ~np.isnan(limits) & ~(np.isfinite(limits) & (limits > 0)))
    return [
        Violation(replay.batch.series_ids[r], int(b), f"the limit is {limits[r, b]}, not a number above zero")
        for r, b in zip(rows, bins, strict=True)
    ]


def _forgotten_ooms(replay: LimitReplay) -> list[Violation]:
    violations: list[Violation] = []
    rows, bins = np.nonzero(replay.batch.usage_bytes > replay.limit_bytes)
    least = raised_after_oom(replay.limit_bytes[rows, bins])
    for row, k, raised in zip(rows.tolist(), bins.tolist(), least.tolist(), strict=True):
        violations += _after_oom(replay, row, k, raised)
    return violations


def _after_oom(replay: LimitReplay, row: int, oom_bin: int, raised: float) -> list[Violation]:
    window_end = (oom_bin // replay.decide_bins + 1) * replay.decide_bins
    day_end = max(oom_bin + BINS_PER_DAY + 1, window_end)
    limits = replay.limit_bytes[row, oom_bin + 1 : day_end]
    below = oom_bin + 1 + np.flatnonzero(limits < raised)
    unexplained = [b for b in below.tolist() if b < window_end or not _explained(replay, row, b)]
    series_id = replay.batch.series_ids[row]
    return [
        Violation(
            series_id,
            b,
            f"the limit {replay.limit_bytes[row, b]:.0f} is below {raised:.0f}, "
            + ("in the same window as" if b < window_end else "without a reason within 24 h of")
            + f" the OOM in bin {oom_bin}",
        )
        for b in unexplained
    ]


def _explained(replay: LimitReplay, row: int, bin_index: int) -> bool:
    code = int(replay.reason[row, bin_index])
    return code >= 0 and bool(replay.reasons[code])
