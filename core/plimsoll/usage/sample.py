"""One batch of memory samples, judged before anything is derived from it.

In: columns of row, time and bytes as a source gave them, possibly wrong in every way. Out: the samples that
may be stored, float32 rounded up, and a count of the others by reason. A sample is never repaired: what is
not believable is dropped and counted, because a limit derived from it could kill a container.
"""

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
import numpy.typing as npt

BIN_SECONDS = 300  # one bin of the five-minute history
BINS_PER_HOUR = 12
HOUR_SECONDS = BIN_SECONDS * BINS_PER_HOUR
DAY_SECONDS = 24 * HOUR_SECONDS
# Two machines' clocks may differ by this much; a later stamp is refused, an earlier one counts as "now".
FUTURE_TOLERANCE_SECONDS = 30.0
# 64 TiB, more than any machine of today gives one container. A larger value is a unit mistake or garbage.
MAX_PLAUSIBLE_BYTES = float(2**46)
# Who falls further without a new start was most likely read in another unit: KiB are a thousandth.
UNIT_RATIO = 512.0
# Below it (the median of what was seen) a container is idle: of no class but that, and no replay scores it.
MIN_MEDIAN_BYTES = 16.0 * 2**20

IntArray = npt.NDArray[np.int64]
Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


class Quantity(StrEnum):
    """What a sample measures. A history holds one of them, for they differ by the page cache."""

    USAGE = "usage"
    WORKING_SET = "working_set"


class Rejection(StrEnum):
    """Why a sample was dropped; the values are metric labels."""

    UNKNOWN_ROW = "unknown_row"
    NOT_A_NUMBER = "not_a_number"
    NEGATIVE = "negative"
    INFINITE = "infinite"
    IMPLAUSIBLE = "implausible"
    UNIT = "unit"
    BAD_TIME = "bad_time"
    FUTURE = "future"
    TOO_OLD = "too_old"


@dataclass(frozen=True, slots=True)
class AppendReport:
    """What became of one append: samples stored (duplicates included) and dropped, by reason."""

    accepted: int
    rejected: dict[Rejection, int] = field(default_factory=dict)
    # [n] which samples were stored, and which were refused for their unit
    believed: BoolArray = field(default_factory=lambda: np.zeros(0, dtype=np.bool_), compare=False)
    doubted: BoolArray = field(default_factory=lambda: np.zeros(0, dtype=np.bool_), compare=False)


def bin_of(seconds: float) -> int:
    """The absolute bin that holds a Unix time."""
    return int(seconds // BIN_SECONDS)


def round_up_float32(values: npt.ArrayLike) -> Float32Array:
    """float64 -> float32 that is never below it: a stored peak must not be smaller than the true one."""
    exact = np.asarray(values, dtype=np.float64)
    stored = exact.astype(np.float32)
    return np.where(stored < exact, np.nextafter(stored, np.float32(np.inf)), stored)


def judge(
    known: BoolArray,
    seconds: Float64Array,
    values: Float64Array,
    oldest_seconds: float,
    now_seconds: float,
    ceiling_bytes: npt.ArrayLike,
    reached_bytes: npt.ArrayLike = 0.0,
) -> tuple[BoolArray, AppendReport]:
    """Which of n samples may be stored, and the report.

    `known[n]` says whether the row exists; `ceiling_bytes` (scalar or [n]) is what a sample cannot exceed,
    for example the kube node's memory; `reached_bytes` (scalar or [n]) is what was used since the container's
    start, or its limit: a sample that is far below it and not zero is in another unit. Each sample is counted
    under the first reason that applies; while the present is unknown (NaN) every time lies in the future.
    """
    with np.errstate(invalid="ignore"):
        verdicts = (
            (Rejection.UNKNOWN_ROW, ~known),
            (Rejection.NOT_A_NUMBER, np.isnan(values)),
            (Rejection.INFINITE, np.isinf(values)),
            (Rejection.NEGATIVE, values < 0),
            (Rejection.IMPLAUSIBLE, values > np.fmin(ceiling_bytes, MAX_PLAUSIBLE_BYTES)),
            (Rejection.UNIT, (values > 0) & (values < np.asarray(reached_bytes) / UNIT_RATIO)),
            (Rejection.BAD_TIME, ~np.isfinite(seconds)),
            (Rejection.FUTURE, ~(seconds <= now_seconds + FUTURE_TOLERANCE_SECONDS)),
            (Rejection.TOO_OLD, seconds < oldest_seconds),
        )
    good = np.ones(len(values), dtype=np.bool_)
    doubted = np.zeros(len(values), dtype=np.bool_)
    rejected: dict[Rejection, int] = {}
    for reason, bad in verdicts:
        first = good & bad
        count = int(np.count_nonzero(first))
        if count:
            rejected[reason] = count
            good &= ~bad
            if reason is Rejection.UNIT:
                doubted = first
    return good, AppendReport(int(np.count_nonzero(good)), rejected, good, doubted)
