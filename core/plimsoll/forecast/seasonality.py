"""Whether a container's hourly peaks truly follow the day or the week, all rows at once.

In: hourly maxima. Out: for each row the share of its variance that the other days (weeks) foretell: each
day is compared with the mean shape of all days but itself, so noise scores below zero and only what comes
again scores above. Trends are taken out by a moving mean of one period: growth alone is no season.
"""

from dataclasses import dataclass

import numpy as np

from plimsoll.forecast.window import FloatArray

# A period with fewer seen hours than this share says too little about its shape to be compared.
LEAST_SEEN = 0.5
# Less than this (in squared logs, over all hours) is the rounding of a constant.
ROUNDING = 1e-12


@dataclass(frozen=True, slots=True)
class Season:
    """How well one period foretells a row, and how much it moves it."""

    strength: FloatArray  # [n] share of variance foretold by the other periods; <= 0: no season
    swing: FloatArray  # [n] from trough to crest of the mean shape, as a share of the usage


def season(hourly_bytes: FloatArray, period_hours: int) -> Season:
    """The season of that period in `hourly_bytes` [n, t], oldest first, NaN where nothing was seen."""
    count = hourly_bytes.shape[1] // period_hours
    nothing = np.zeros(len(hourly_bytes))
    if count < 2:
        return Season(nothing, nothing)
    logs = np.log(np.maximum(hourly_bytes, 1.0))
    level = logs - _moving_mean(logs, period_hours)
    shapes = level[:, -count * period_hours :].reshape(len(level), count, period_hours)
    seen = np.isfinite(shapes)
    seen &= (seen.mean(axis=2) >= LEAST_SEEN)[:, :, None]
    values = np.where(seen, shapes, 0.0)
    total, times = values.sum(axis=1), seen.sum(axis=1)
    others = times[:, None, :] - seen
    foretold = (total[:, None, :] - values) / np.maximum(others, 1)
    judged = seen & (others > 0)
    left = np.where(judged, (values - foretold) ** 2, 0.0).sum(axis=(1, 2))
    variance = np.where(judged, values**2, 0.0).sum(axis=(1, 2))
    shape = total / np.maximum(times, 1)
    swing = np.expm1(shape.max(axis=1) - shape.min(axis=1))
    known = variance > ROUNDING
    return Season(
        np.where(known, 1 - left / np.where(known, variance, 1.0), 0.0), np.where(known, swing, 0.0)
    )


def _moving_mean(values: FloatArray, width: int) -> FloatArray:
    """Mean [n, t] of what was seen within half of `width` to either side."""
    seen = np.isfinite(values)
    sums = np.cumsum(np.pad(np.where(seen, values, 0.0), ((0, 0), (1, 0))), axis=1)
    counts = np.cumsum(np.pad(seen.astype(np.float64), ((0, 0), (1, 0))), axis=1)
    place = np.arange(values.shape[1])
    low = np.maximum(place - width // 2, 0)
    high = np.minimum(place - width // 2 + width, values.shape[1])
    count = counts[:, high] - counts[:, low]
    return np.asarray((sums[:, high] - sums[:, low]) / np.maximum(count, 1.0), dtype=np.float64)
