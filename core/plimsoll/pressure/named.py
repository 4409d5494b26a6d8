"""A predictor that was asked for by name, in the bank's place: one for each scope, taught as the bank is.

In: the bank's forecasts, the samples that they are of, later what came of them. Out: the same forecasts with
what the named predictor says. It is for comparing (`mlp4` is the baseline that this room descends from): each
scope costs a call, and what it learns is not kept. The bank goes on learning beside it, so that it can have
the word again at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from plimsoll.pressure import registry
from plimsoll.pressure.bank import BankForecast, Rows
from plimsoll.pressure.protocol import FloatArray, PressureForecast, PressurePredictor, Source
from plimsoll.pressure.sample import PressureSample, ScopeKind
from plimsoll.pressure.weights import Weights


@dataclass(frozen=True, slots=True)
class NamedForecast(BankForecast):
    """What the named predictor said of `rows`, beside what the bank learns from."""

    said: tuple[PressureForecast, ...]


class Named:
    """Predictors of one name; rows are the bank's."""

    def __init__(self, name: str, weights: Weights | None) -> None:
        self.name = checked(name)
        self._weights = weights
        self._by_row: dict[int, PressurePredictor] = {}

    def instead(
        self, made: BankForecast, kinds: Sequence[ScopeKind], samples: Sequence[PressureSample]
    ) -> NamedForecast:
        """Let the named predictor speak for these rows: a kind and a sample for each."""
        of_rows = zip(made.rows.tolist(), kinds, samples, strict=True)
        said = tuple(self._of(row, kind).predict(sample, made.seconds) for row, kind, sample in of_rows)
        probability = np.array([each.probability for each in said], dtype=np.float64)
        fallback = np.array([each.source is Source.FALLBACK for each in said], dtype=np.bool_)
        return NamedForecast(made.seconds, made.rows, probability, fallback, made.inputs, said)

    def update(self, forecast: BankForecast, realised: FloatArray) -> None:
        """Tell what came [n] of a forecast: 1.0, 0.0, or NaN where nobody knows."""
        if not isinstance(forecast, NamedForecast):
            return
        for row, said, came in zip(forecast.rows.tolist(), forecast.said, realised.tolist(), strict=True):
            if row in self._by_row and came in (0.0, 1.0):
                self._by_row[row].update(said, came)

    def forget(self, rows: Rows) -> None:
        """These rows are given back."""
        for row in rows.tolist():
            self._by_row.pop(row, None)

    def _of(self, row: int, kind: ScopeKind) -> PressurePredictor:
        if row not in self._by_row:
            self._by_row[row] = registry.predictor(self.name, kind, self._weights, seed=row)
        return self._by_row[row]


def checked(name: str) -> str:
    """The name of a predictor. Raises KeyError for one that is not there."""
    if name not in registry.NAMES:
        raise KeyError(f"no pressure predictor {name!r}: there are {', '.join(registry.NAMES)}")
    return name
