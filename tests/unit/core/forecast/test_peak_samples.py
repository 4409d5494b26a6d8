"""Quantiles of drawn peaks: known distributions, and hours that rise together."""

import numpy as np
import pytest

from plimsoll.forecast.peak_samples import peak_quantiles, sample_quantiles
from plimsoll.forecast.protocol import LEVELS


def test_the_peak_is_taken_within_each_future():
    # Two futures, each high in another hour: over both hours every future is high.
    futures = np.array([[1.0, 9.0], [9.0, 1.0]] * 200)
    level = np.array([0.25])
    assert peak_quantiles(futures, (1,), level)[:, 0, 0].tolist() == [1.0, 1.0]
    assert peak_quantiles(futures, (1, 2), level)[0, :, 0].tolist() == [1.0, 9.0]


def test_hours_that_rise_together_count_once():
    alone = np.random.default_rng(1).normal(100, 10, (2000, 1))
    together = np.repeat(alone, 2, axis=1)
    apart = np.random.default_rng(2).normal(100, 10, (2000, 2))
    one, joint = peak_quantiles(together, (1, 2), LEVELS)[0]
    assert np.array_equal(one, joint)
    assert peak_quantiles(apart, (2,), np.array([0.5]))[0, 0, 0] == pytest.approx(105.4, abs=0.7)


def test_an_exponential_tail_is_continued_beyond_what_was_drawn():
    drawn = np.random.default_rng(0).exponential(10.0, (4000, 1))
    said = sample_quantiles(drawn, LEVELS)[:, 0]
    true = -10 * np.log(1 - LEVELS)
    assert said == pytest.approx(true, rel=0.12)
    assert (np.diff(said) >= 0).all()


def test_one_value_drawn_always_is_every_quantile():
    assert sample_quantiles(np.full((500, 2), 7.0), LEVELS) == pytest.approx(7.0)


def test_too_few_hours_for_a_span_are_refused():
    with pytest.raises(ValueError, match="1 hours were drawn, too few for a span of 2"):
        peak_quantiles(np.ones((10, 1)), (1, 2), LEVELS)
