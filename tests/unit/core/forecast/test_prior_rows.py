"""The training rows of `bench/` are what the live pipeline sees: windows, and needs the guard leaves."""

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from builders.histories import MIB, steady, window_of
from plimsoll.forecast.features import LOG_LEVELS
from plimsoll.guard.limits import GuardSettings

BENCH = Path(__file__).parents[4] / "bench"


@pytest.fixture
def prior_rows(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCH))
    import prior_rows

    return prior_rows


@pytest.mark.parametrize("bins", [36, 40, 300, 700, 707])
def test_a_training_window_is_the_historys(prior_rows: ModuleType, bins: int):
    usage = steady(3)
    usage[50:60] = np.nan
    trained = prior_rows.windows_at(usage, np.array([bins]))
    live = window_of(usage[:bins])
    # The history stores float32, rounded up.
    assert np.allclose(trained.recent_bytes, live.recent_bytes, rtol=1e-6, equal_nan=True)
    assert np.allclose(trained.hourly_bytes, live.hourly_bytes, rtol=1e-6, equal_nan=True)


@pytest.mark.parametrize(
    ("coming", "need"),
    [
        ([100.0] * 12, 0.0),
        ([103.0] * 12, 0.035),  # 2 % do not hold it
        ([98.0, 104.0, 112.0], 0.0),  # a climb that the guard follows
        ([150.0], 0.5),
        ([90.0, 150.0], 0.5),
        ([np.nan, 150.0], 0.5),
        ([1e6], np.inf),
    ],
)
def test_need_is_the_first_level_that_survives(prior_rows: ModuleType, coming: list[float], need: float):
    index = prior_rows.needs(np.array([coming]), np.array([100.0]), GuardSettings())[0]
    assert (LOG_LEVELS[index] if index < len(LOG_LEVELS) else np.inf) == need


def test_an_altered_series_is_still_usage(prior_rows: ModuleType):
    random = np.random.default_rng(2)
    for _ in range(12):
        usage = prior_rows.altered(steady(1) + 5 * MIB, random)
        assert (usage > 0).all()
        assert len(usage) in (287, 288)
