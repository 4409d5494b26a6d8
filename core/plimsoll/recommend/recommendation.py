"""What the forecast and the price ask for, before any guard has looked at it. Columnar: one entry a row."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Recommendations:
    """Recommendations for `n` history rows made at one moment.

    `ready[i]` is False where there is not enough history to say anything; every other column is NaN there.
    `lower_bytes <= target_bytes <= upper_bytes`; `buffer_bytes` is the part of the target that lies above
    the forecast quantile, from past errors. `request_bytes` is for packing, `target_bytes` is the limit.
    """

    rows: IntArray  # [n] rows of the History they belong to
    ready: npt.NDArray[np.bool_]  # [n]
    target_bytes: FloatArray  # [n]
    lower_bytes: FloatArray  # [n]
    upper_bytes: FloatArray  # [n]
    buffer_bytes: FloatArray  # [n]
    request_bytes: FloatArray  # [n]
    quantile_levels: FloatArray  # [q] e.g. 0.5, 0.9, 0.95, 0.99
    quantile_bytes: FloatArray  # [n, q] of the peak over the horizon
    oom_price: FloatArray  # [n] container-days of unused limit that a kill was worth, as steered


def joined(parts: Sequence[Recommendations]) -> Recommendations:
    """The rows of several (at least one), one after the other; all have the same levels."""
    if len(parts) == 1:
        return parts[0]
    levels = "quantile_levels"
    columns = {
        each.name: np.concatenate([getattr(part, each.name) for part in parts])
        for each in fields(Recommendations)
        if each.name != levels
    }
    return Recommendations(quantile_levels=parts[0].quantile_levels, **columns)
