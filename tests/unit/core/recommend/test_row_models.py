"""Each row is forecast by its own policy's model, and corrected by that model's own errors."""

from dataclasses import dataclass

import numpy as np

from plimsoll.forecast.protocol import LEVELS, Hindcast, PeakDistribution
from plimsoll.forecast.registry import model_names
from plimsoll.forecast.window import BINS_PER_DAY, HISTORY_HOURS, UsageWindow
from plimsoll.recommend.row_models import RowModels
from plimsoll.recommend.row_policy import UNSAID

GIB = float(1 << 30)


@dataclass
class Times:
    """A model that says so many times the present use, and was low by `missed` in each of the past hours."""

    name: str
    factor: float
    missed: float = 1.0

    def fit(self, window):
        self.present = window.recent_bytes[:, -1]
        return self

    def predict(self, horizon_seconds, levels):
        return PeakDistribution(levels, np.repeat(self.factor * self.present[:, None], len(levels), axis=1))

    def hindcast(self):
        errors = np.full((len(self.present), 100), np.log(self.missed))
        return Hindcast(self.factor * self.present, errors)


def test_each_row_has_its_own_models_word_and_correction():
    other = model_names()[0]
    models = RowModels("auto", Times("own", 2.0), {other: Times(other, 3.0, missed=1.5)})
    use = np.array([1.0, 2.0, 4.0]) * GIB
    window = UsageWindow(np.repeat(use[:, None], BINS_PER_DAY, 1), np.repeat(use[:, None], HISTORY_HOURS, 1))
    raw, corrected = models.forecast(np.array([UNSAID, 0, UNSAID]), window, 3600.0)
    np.testing.assert_allclose(raw.values_bytes[:, 0] / GIB, [2.0, 6.0, 8.0])
    np.testing.assert_allclose(corrected.values_bytes[[0, 2]], raw.values_bytes[[0, 2]])
    assert (corrected.values_bytes[1] > 1.2 * raw.values_bytes[1]).all()
    assert (raw.levels == LEVELS).all()
