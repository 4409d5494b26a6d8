"""What every forecast model offers: fit a window of usage, then predict the peak over a horizon.

`PeakModel.fit` reads a window; what it returns says two things: `predict` (the distribution) and `hindcast`
(how wrong the same rule would have been in the hours that the window holds). Buffers are made from the
second, so that they are as thick as the forecast was wrong. `PeakModel.update` tells a model what came of
the hour it last spoke of. Most models have no memory beside the `History`, which takes samples in as they
come, so that a restart loses nothing (docs/decisions/0022, 0050); an ensemble's weights are one, and go into
the row's checkpoint by `learned` and back by `relearn`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from plimsoll.forecast.window import FloatArray, IntArray, UsageWindow

# Probabilities at which distributions are kept: dense in the tail, where limits are priced.
LEVELS: FloatArray = np.array(
    [
        0.5,
        0.7,
        0.8,
        0.9,
        0.95,
        0.97,
        0.98,
        0.985,
        0.99,
        0.993,
        0.995,
        0.997,
        0.998,
        0.999,
        0.9995,
        0.9998,
        0.9999,
    ]
)


@dataclass(frozen=True, slots=True)
class PeakDistribution:
    """Quantiles of the peak over the horizon. `values_bytes` rises along a row; NaN knows nothing."""

    levels: FloatArray  # [q]
    values_bytes: FloatArray  # [n, q]

    def ready(self) -> npt.NDArray[np.bool_]:
        """[n] True where every quantile is a number."""
        return np.asarray(np.isfinite(self.values_bytes).all(axis=1), dtype=np.bool_)


@dataclass(frozen=True, slots=True)
class Hindcast:
    """A point forecast for now, and how wrong the same rule was about hours that are past."""

    point_bytes: FloatArray  # [n] what the rule says now
    log_error: FloatArray  # [n, t] log(peak that came / peak that was said); NaN where it cannot be known
    # Errors beyond a level that weigh as much as the model's word. Fewer: rows trust their short past sooner.
    prior_strength: float | FloatArray = 3.0  # one, or [n, 1]


class FittedPeak(Protocol):
    """A model that has read the windows of n rows."""

    def predict(self, horizon_seconds: float, levels: FloatArray) -> PeakDistribution:
        """Distribution [n, levels] of the highest usage within the horizon that starts now."""
        ...

    def hindcast(self) -> Hindcast:
        """The model's own past errors, from the windows alone."""
        ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """An hour that is over, of rows that were forecast at its beginning."""

    rows: IntArray  # [n] of the history
    peak_bytes: FloatArray  # [n] that came; NaN: not seen


class PeakModel(Protocol):
    """The same windows and outcomes, in the same order, give the same answers."""

    @property
    def name(self) -> str:
        """Name in the registry."""
        ...

    def fit(self, window: UsageWindow) -> FittedPeak:
        """Read the windows of n rows; the work that does not depend on the horizon is done here."""
        ...

    def update(self, outcome: Outcome) -> None:
        """Learn from an hour that is over; what `fit` was given an hour ago is what it is judged by."""
        ...

    def forget(self, rows: IntArray) -> None:
        """These rows of the history belong to other containers now."""
        ...

    def learned(self, row: int) -> Mapping[str, float]:
        """What of a row is to outlive the process, by names of the model's own; empty: nothing."""
        ...

    def relearn(self, row: int, learned: Mapping[str, float]) -> None:
        """Take that up again, unless the row has taught something since; foreign names are nothing."""
        ...


class Memoryless:
    """For models that remember nothing of what they said: all that came is in the history."""

    __slots__ = ()

    def update(self, outcome: Outcome) -> None:
        """Nothing to learn from."""

    def forget(self, rows: IntArray) -> None:
        """Nothing to forget."""

    def learned(self, row: int) -> Mapping[str, float]:  # noqa: ARG002 -- the protocol's
        """Nothing that is not in the history."""
        return {}

    def relearn(self, row: int, learned: Mapping[str, float]) -> None:
        """Nothing to take up."""
