"""The forecast models of a history's rows, by the code that a policy gives them.

In: a default, stand-ins of a shell, codes, what rows have used. Out: what each row's model says of its peak,
models being made where a row first asks for them; outcomes, what is forgotten and what is learned reach all.
"""

from collections.abc import Mapping

import numpy as np

from plimsoll.forecast.protocol import LEVELS, Outcome, PeakDistribution, PeakModel
from plimsoll.forecast.registry import DEFAULT_MODEL, model_names, peak_model
from plimsoll.forecast.window import IntArray, UsageWindow, part_of
from plimsoll.recommend.buffer import calibrate
from plimsoll.recommend.row_policy import UNSAID


class RowModels:
    """Models by code; `UNSAID` is the default's."""

    def __init__(
        self, default: str, model: PeakModel | None = None, models: Mapping[str, PeakModel] | None = None
    ) -> None:
        """`model` stands in for the default, `models` for those of the registry of the same name."""
        given = dict(models or {})
        self._models: dict[int, PeakModel] = {UNSAID: model or given.get(default) or peak_model(default)}
        self._models |= {code: given[name] for code, name in enumerate(model_names()) if name in given}

    def of(self, code: int) -> PeakModel:
        """The model of a code."""
        if code not in self._models:
            try:
                self._models[code] = peak_model(model_names()[code])
            except ImportError:  # an extra that is not here; the policy's condition says so
                self._models[code] = peak_model(DEFAULT_MODEL)
        return self._models[code]

    def forecast(
        self, codes: IntArray, window: UsageWindow, horizon_seconds: float
    ) -> tuple[PeakDistribution, PeakDistribution]:
        """What each row's model (`codes` [n]) says of the peak, and that corrected by its own past errors."""
        raw, corrected = (np.empty((len(codes), len(LEVELS))) for _ in range(2))
        for code in set(codes.tolist()):
            mine = np.flatnonzero(codes == code)
            part = window if len(mine) == len(codes) else part_of(window, mine)
            fitted = self.of(code).fit(part)
            said = fitted.predict(horizon_seconds, LEVELS)
            raw[mine] = said.values_bytes
            corrected[mine] = calibrate(said, fitted.hindcast()).values_bytes
        return PeakDistribution(LEVELS, raw), PeakDistribution(LEVELS, corrected)

    def update(self, outcome: Outcome) -> None:
        """An hour is over."""
        for model in self._models.values():
            model.update(outcome)

    def forget(self, rows: IntArray) -> None:
        """Rows were freed or given to another container."""
        for model in self._models.values():
            model.forget(rows)

    def learned(self, row: int) -> dict[str, Mapping[str, float]]:
        """What they have learned of a row, by name; those that have learned nothing are not there."""
        said = ((self._named(code), model.learned(row)) for code, model in self._models.items())
        return {name: learned for name, learned in said if learned}

    def relearn(self, row: int, name: str, learned: Mapping[str, float]) -> None:
        """Give the models of a name what they had learned of a row."""
        if name in model_names():
            self.of(model_names().index(name))  # made, where no row has asked for it yet
        for code, model in self._models.items():
            if self._named(code) == name:
                model.relearn(row, learned)

    def _named(self, code: int) -> str:
        return self._models[UNSAID].name if code == UNSAID else model_names()[code]
