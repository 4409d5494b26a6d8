"""What every forecast model offers: from a window of usage to a distribution of the peak over a horizon.

A model says two things: `peak` (the distribution) and `hindcast` (how wrong it would have been in the hours
that the window holds). Buffers are made from the second, so that they are as thick as the forecast was
wrong. `Forecaster` is the same with a fit/update/predict habit for callers that hold a `History`.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from plimsoll.forecast.window import FloatArray, IntArray, UsageWindow, read_window
from plimsoll.usage.history import History

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
    prior_strength: float = 3.0


class PeakModel(Protocol):
    """A pure model: the same window gives the same answer."""

    @property
    def name(self) -> str:
        """Name in the registry."""
        ...

    def peak(self, window: UsageWindow, horizon_seconds: float, levels: FloatArray) -> PeakDistribution:
        """Distribution of the highest usage within the horizon that starts now."""
        ...

    def hindcast(self, window: UsageWindow) -> Hindcast:
        """The model's own past errors, from the window alone."""
        ...


class Forecaster(Protocol):
    """A model with memory: learn from a history, then answer for the rows it has learned."""

    def fit(self, history: History, rows: IntArray, now_seconds: float) -> None:
        """Learn `rows` from scratch."""
        ...

    def update(self, history: History, rows: IntArray, now_seconds: float) -> None:
        """Take in what is new in `rows`."""
        ...

    def predict(self, rows: IntArray, horizon_seconds: float, levels: FloatArray) -> PeakDistribution:
        """Peak over the horizon for rows that were fitted; NaN for those that were not."""
        ...


class HistoryForecaster:
    """Any `PeakModel` as a `Forecaster`: fitting is reading, because the history is all a model may know."""

    def __init__(self, model: PeakModel) -> None:
        self._model = model
        self._history: History | None = None
        self._known: set[int] = set()

    def fit(self, history: History, rows: IntArray, now_seconds: float) -> None:  # noqa: ARG002
        """Remember which rows may be asked for; their numbers are read when they are."""
        self._history = history
        self._known.update(rows.tolist())

    def update(self, history: History, rows: IntArray, now_seconds: float) -> None:
        """Take in what is new in `rows`."""
        self.fit(history, rows, now_seconds)

    def predict(self, rows: IntArray, horizon_seconds: float, levels: FloatArray) -> PeakDistribution:
        """Peak over the horizon; NaN rows where nothing was fitted."""
        values = np.full((len(rows), len(levels)), np.nan)
        known = np.array([row in self._known for row in rows.tolist()], dtype=bool)
        if self._history is not None and known.any():
            window = read_window(self._history, rows[known])
            values[known] = self._model.peak(window, horizon_seconds, levels).values_bytes
        return PeakDistribution(levels, values)
