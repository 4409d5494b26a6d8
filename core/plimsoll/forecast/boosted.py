"""`boosted`: the gradient-boosted conditional distribution itself, instead of the network it taught.

In: a usage window. Out: the same kind of distribution as `hazard`, from LightGBM's trees (`boosted.txt`, from
`bench/train_prior.py`). The default's network learned from these trees and needs numpy alone; this model
is for those who want to refit the trees on their own recordings and see the difference. Needs the extra
`forecast` (LightGBM, SciPy).
"""

from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
import numpy.typing as npt

from plimsoll.forecast.features import features
from plimsoll.forecast.hazard import FittedHazard
from plimsoll.forecast.protocol import Memoryless
from plimsoll.forecast.window import Float32Array, FloatArray, UsageWindow
from plimsoll.install import install_hint

Booster = Any  # lightgbm.Booster; LightGBM ships no types


@cache
def shipped_booster() -> Booster:
    """The trees of `boosted.txt`. Raises ImportError with the extra's name where LightGBM is missing."""
    text = resources.files("plimsoll.forecast").joinpath("boosted.txt").read_text(encoding="utf-8")
    return booster_of(text)


def booster_of(text: str) -> Booster:
    """Trees in LightGBM's own text format."""
    try:
        import lightgbm  # noqa: PLC0415 - an extra: whoever does not ask for this model does not need it
    except (ImportError, OSError) as error:
        raise ImportError(
            f"forecast model boosted needs LightGBM: {install_hint('forecast')} (and libgomp)"
        ) from error
    return lightgbm.Booster(model_str=text)


def hazards_of(booster: Booster, row: Float32Array, level: Float32Array) -> FloatArray:
    """P(need > level | need > level below) [n, levels] from features [n, f] and [n, levels, g]."""
    n, levels = level.shape[:2]
    if not n:
        return np.empty((0, levels))
    inputs = np.concatenate([np.repeat(row, levels, axis=0), level.reshape(n * levels, -1)], axis=1)
    found: npt.NDArray[np.float64] = booster.predict(inputs, num_threads=1)
    return found.reshape(n, levels)


@dataclass(frozen=True)
class BoostedPeak(Memoryless):
    """One booster for all levels."""

    booster: Booster = field(default_factory=shipped_booster)
    name: str = "boosted"

    def fit(self, window: UsageWindow) -> FittedHazard:
        """Ask the trees once: what they say of the next hour serves every horizon."""
        seen = features(window)
        return FittedHazard(window, seen.reference_bytes, hazards_of(self.booster, seen.row, seen.level))
