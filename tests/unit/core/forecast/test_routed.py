"""Rows go to the model of their class, and their answers are that model's own."""

import numpy as np

from builders.histories import MIB, steady, window_of
from plimsoll.forecast.growth import GrowthPeak
from plimsoll.forecast.hazard import HazardPeak
from plimsoll.forecast.protocol import LEVELS
from plimsoll.forecast.routed import RoutedPeak
from plimsoll.forecast.seasonal import SeasonalPeak
from plimsoll.forecast.window import part_of

HOUR = 3600.0
BINS = 10 * 288
DAY = np.sin(np.arange(BINS) * 2 * np.pi / 288)
WINDOW = window_of(
    np.stack([steady(10), np.linspace(50, 900, BINS) * MIB, (300 + 100 * DAY) * MIB, np.full(BINS, np.nan)])
)


def test_each_row_is_answered_by_the_model_that_suits_it():
    fitted = RoutedPeak().fit(WINDOW)
    values = fitted.predict(HOUR, LEVELS).values_bytes
    for row, model in ((0, HazardPeak()), (1, GrowthPeak()), (2, SeasonalPeak())):
        alone = model.fit(part_of(WINDOW, np.array([row])))
        assert np.array_equal(values[row], alone.predict(HOUR, LEVELS).values_bytes[0]), model.name
    assert np.isnan(values[3]).all()


def test_errors_of_the_past_are_those_of_the_rows_own_model():
    hindcast = RoutedPeak().fit(WINDOW).hindcast()
    alone = SeasonalPeak().fit(part_of(WINDOW, np.array([2]))).hindcast()
    assert np.array_equal(hindcast.log_error[2], alone.log_error[0], equal_nan=True)
    assert np.isnan(hindcast.log_error[0]).all()  # the network has none: it saw them as features


def test_nothing_to_route():
    empty = part_of(WINDOW, np.empty(0, dtype=np.intp))
    assert RoutedPeak().fit(empty).predict(HOUR, LEVELS).values_bytes.shape == (0, len(LEVELS))
