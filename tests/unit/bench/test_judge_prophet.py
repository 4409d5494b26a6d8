"""What Prophet is judged with: the made series are what their recipes say, the loss is the pinball loss."""

from datetime import date

import numpy as np
import pytest

from builders.benches import bench_modules
from plimsoll.forecast.protocol import LEVELS
from plimsoll.forecast.seasonality import season
from plimsoll.replay.series import BINS_PER_DAY


@pytest.fixture(scope="module")
def bench():
    """The bench's modules as `python bench/judge_prophet.py` has them."""
    return bench_modules(judge="judge_prophet", made="seasonal_series")


def test_made_series_repeat_by_the_seed_and_have_the_season_that_was_put_in(bench):
    batch, recipes = bench.made.synthetic(6, 19, seed=7)
    again, _ = bench.made.synthetic(6, 19, seed=7)
    assert np.array_equal(batch.usage_bytes, again.usage_bytes)
    assert batch.usage_bytes.shape == (6, 19 * BINS_PER_DAY)
    hourly = batch.usage_bytes.reshape(6, -1, 12).max(axis=2)
    assert (season(hourly, 24).strength > 0.2).all()
    spiky = np.array([recipe.spikes > 0 for recipe in recipes])
    assert spiky.tolist() == [False, True] * 3
    assert (batch.usage_bytes > 0).all()


def test_free_days_are_dates_of_the_replay_s_calendar_and_quiet(bench):
    first, second, judged = bench.made.free_dates()
    assert (first, judged) == ("2027-01-19", "2027-01-31")
    assert date.fromisoformat(second) > date.fromisoformat(first)
    batch, (recipe, *_) = bench.made.synthetic(1, 19, seed=7)
    usage = batch.usage_bytes[0]
    # Bin 0 is at 08:00 UTC: the free day begins 16 hours after a day of bins has.
    free = usage[4 * BINS_PER_DAY - 96 :][:BINS_PER_DAY].mean()
    before = usage[4 * BINS_PER_DAY - 96 - 7 * BINS_PER_DAY // 7 :][:BINS_PER_DAY].mean()
    assert free / before == pytest.approx(recipe.weekend, rel=0.1)


def test_the_loss_of_a_quantile_is_the_pinball_loss(bench):
    loss = bench.judge.pinball(np.full((2, len(LEVELS)), 10.0), np.array([14.0, 6.0]))
    assert loss[0] == pytest.approx(4 * LEVELS)
    assert loss[1] == pytest.approx(4 * (1 - LEVELS))
