"""Colours, units and tick marks: what every picture of memory shares.

In: numbers. Out: text with units, round tick marks, colours from black-violet (never touched) to pale yellow
(always): equal steps of heat look like equal steps, in print and to most who are colour-blind (Matplotlib's
`inferno`, CC0, nine of its points).
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_STOPS = np.array(
    [
        (0, 0, 4),
        (31, 12, 72),
        (85, 15, 109),
        (136, 34, 106),
        (186, 54, 85),
        (227, 89, 51),
        (249, 140, 10),
        (249, 201, 50),
        (252, 255, 164),
    ],
    np.float64,
)
Pixels = npt.NDArray[np.uint8]


def colours(heat: npt.NDArray[np.floating]) -> Pixels:
    """uint8[..., 3] for heat 0 to 1."""
    at = np.clip(np.nan_to_num(heat), 0.0, 1.0) * (len(_STOPS) - 1)
    low = np.minimum(at.astype(int), len(_STOPS) - 2)
    part = (at - low)[..., None]
    mixed: Pixels = np.rint(_STOPS[low] * (1 - part) + _STOPS[low + 1] * part).astype(np.uint8)
    return mixed


def bytes_text(value: float) -> str:
    """`512 KiB`, `1.5 GiB`; `no limit`, `unknown`."""
    if math.isnan(value):
        return "unknown"
    if math.isinf(value):
        return "no limit"
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(value) < 1024.0:
            return (
                f"{value:.0f} {unit}"
                if value >= 100 or unit == "B" or value == int(value)
                else f"{value:.1f} {unit}"
            )
        value /= 1024.0
    return f"{value:.1f} TiB"


def seconds_text(value: float) -> str:
    """`15 s`, `2 min`, `1.5 h`."""
    if value < 120:
        return f"{value:g} s"
    return f"{value / 60:g} min" if value < 7200 else f"{value / 3600:.3g} h"


def byte_ticks(most: float, about: int = 5) -> list[float]:
    """Round marks in powers of two from 0 to at most `most`."""
    if most <= 0:
        return [0.0]
    step = 2.0 ** math.ceil(math.log2(most / about))
    return [step * each for each in range(int(most / step) + 1)]


def second_ticks(first: float, last: float, about: int = 6) -> list[float]:
    """Round marks in steps that clocks have."""
    steps = (
        0.1,
        0.2,
        0.5,
        1,
        2,
        5,
        10,
        15,
        30,
        60,
        120,
        300,
        600,
        900,
        1800,
        3600,
        7200,
        14400,
        43200,
        86400,
    )
    days = 86400.0 * max(1, math.ceil((last - first) / 86400.0 / about))
    step = next((each for each in steps if (last - first) / each <= about), days)
    begin = math.ceil(first / step)
    return [step * each for each in range(begin, int(last / step) + 1)]


def pooled(heat: npt.NDArray[np.float32], rows: int, columns: int) -> npt.NDArray[np.float32]:
    """The same picture with at most so many rows and columns; the hottest of what falls together is shown."""
    for axis, most in ((0, rows), (1, columns)):
        size = heat.shape[axis]
        if size > most:
            cuts = np.linspace(0, size, most + 1).astype(int)[:-1]
            heat = np.maximum.reduceat(heat, cuts, axis=axis)
    return heat


def as_share(heat: npt.NDArray[np.float32], *, is_bytes: bool) -> npt.NDArray[np.float32]:
    """Heat as it is coloured: bytes against the most there is, by square root so that little is seen too."""
    if not is_bytes:
        return heat
    most = float(heat.max(initial=0.0))
    return np.sqrt(heat / most) if most > 0 else heat


def summary(values: Sequence[float]) -> tuple[float, float]:
    """Mean and maximum of what is known; NaN where nothing is."""
    known = [each for each in values if math.isfinite(each)]
    return (float(np.mean(known)), max(known)) if known else (math.nan, math.nan)
