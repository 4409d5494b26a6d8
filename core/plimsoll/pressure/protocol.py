"""What every pressure predictor is: asked at each sample, told later what came.

A forecast carries the inputs it was made from, so that a predictor learns from what it saw then and keeps
no queue of its own; `outcome.py` keeps forecasts until their horizon is over.
"""

import math
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

import numpy as np
import numpy.typing as npt

from plimsoll.pressure.sample import PressureSample

FloatArray = npt.NDArray[np.float64]
HORIZON_SECONDS = 5.0
_NOTHING: FloatArray = np.zeros(0)


def _none() -> FloatArray:
    return _NOTHING


class Source(Enum):
    """Who spoke."""

    MODEL = "model"
    FALLBACK = "fallback"  # the model is missing, wrong of late, or said something that is no probability
    MISSING = "missing"  # nothing can be said: act on nothing


@dataclass(frozen=True, slots=True)
class PressureForecast:
    """Probability that the scope comes under pressure within the horizon; NaN with `Source.MISSING`."""

    seconds: float
    probability: float
    source: Source = Source.MODEL
    horizon_seconds: float = HORIZON_SECONDS
    inputs: FloatArray = field(default_factory=_none, compare=False, repr=False)


def nothing_known(now_seconds: float, horizon_seconds: float = HORIZON_SECONDS) -> PressureForecast:
    """The forecast of who knows nothing."""
    return PressureForecast(now_seconds, math.nan, Source.MISSING, horizon_seconds)


class PressurePredictor(Protocol):
    """One scope's predictor. Neither call raises on any numbers; what cannot be used gives `MISSING`."""

    name: str

    def predict(self, sample: PressureSample, now_seconds: float) -> PressureForecast:
        """Say what is to be expected within the horizon from `now_seconds` on."""
        ...

    def update(self, forecast: PressureForecast, realised: float) -> None:
        """Learn that this forecast of ours met pressure (1.0) or none (0.0)."""
        ...

    @property
    def state_bytes(self) -> int:
        """Bytes of numbers kept for one scope, without what scopes share."""
        ...
