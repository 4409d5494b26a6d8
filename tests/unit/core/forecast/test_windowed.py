"""The simple peak models by tables: what they say of a past, and how wrong they find themselves."""

import numpy as np
import pytest

from builders.decaying_histogram import DecayingHistogram
from builders.histories import MIB, steady, window_of
from plimsoll.forecast.prior import log_ratio_prior
from plimsoll.forecast.protocol import LEVELS
from plimsoll.forecast.seasonal import SeasonalPeak, seasonal_peaks
from plimsoll.forecast.vpa import MARGIN, VpaHistogram, daily_peaks
from plimsoll.forecast.windowed import WindowedPeak
from plimsoll.usage.buckets import MEMORY_BUCKETS

HOUR = 3600.0


def with_spike(days: float, at_bin: int, mib: float) -> np.ndarray:
    usage = np.full(round(days * 288), 100 * MIB)
    usage[at_bin] = mib * MIB
    return usage


@pytest.mark.parametrize(
    ("hours", "days_ago", "point_mib"),
    [(24, 0.5, 300), (24, 2, 100), (336, 13, 300), (336, 15, 100), (72, 2.9, 300), (72, 3.2, 100)],
)
def test_windowed_peak_remembers_its_window_and_no_longer(hours: int, days_ago: float, point_mib: float):
    usage = with_spike(16, round((16 - days_ago) * 288), 300)
    assert WindowedPeak(hours).fit(window_of(usage)).hindcast().point_bytes[0] == pytest.approx(
        point_mib * MIB
    )


def test_windowed_errors_are_log_ratios_over_the_peak_before():
    usage = with_spike(1, 6 * 12 + 3, 200)
    errors = WindowedPeak().fit(window_of(usage)).hindcast().log_error[0]
    seen = errors[np.isfinite(errors)]
    assert seen.max() == pytest.approx(np.log(2))
    assert seen[-1] == pytest.approx(-np.log(2))
    assert len(seen) == 24 - 3


def test_a_distribution_rises_with_its_level():
    for model in (WindowedPeak(), SeasonalPeak(), VpaHistogram()):
        values = model.fit(window_of(steady(4, noise=0.2))).predict(HOUR, LEVELS).values_bytes[0]
        assert (np.diff(values) >= 0).all()


def test_a_longer_horizon_expects_higher_peaks():
    window = window_of(steady(2))
    hour, day = (
        WindowedPeak().fit(window).predict(seconds, LEVELS).values_bytes[0] for seconds in (HOUR, 24 * HOUR)
    )
    assert (day >= hour).all()
    assert day[3] > hour[3]


def test_the_prior_speaks_of_the_level_that_all_hours_of_a_horizon_must_keep():
    two = log_ratio_prior("windowed", np.array([0.81]), 2 * HOUR)
    assert two == pytest.approx(log_ratio_prior("windowed", np.array([0.9]), HOUR))


@pytest.mark.parametrize(("hour", "expected"), [(8, 400), (9, 400), (10, 400), (7, 100), (11, 100)])
def test_seasonal_peak_covers_the_same_hour_yesterday_and_its_neighbours(hour: int, expected: float):
    usage = np.full(288 + 12 * hour, 100 * MIB)
    usage[12 * 9 + 4] = 400 * MIB  # yesterday between nine and ten
    assert SeasonalPeak().fit(window_of(usage)).hindcast().point_bytes[0] == pytest.approx(expected * MIB)


def test_seasonal_peak_covers_the_last_hour():
    usage = with_spike(2, 2 * 288 - 3, 500)
    assert SeasonalPeak().fit(window_of(usage)).hindcast().point_bytes[0] == pytest.approx(500 * MIB)


def test_seasonal_peaks_know_nothing_before_a_day_has_passed():
    assert np.isnan(seasonal_peaks(np.ones((1, 23)))).all()


def test_the_vpa_model_reads_the_histogram_that_is_vpas_bit_for_bit():
    random = np.random.default_rng(3)
    days = np.exp(random.normal(19, 0.5, (20, 12)))
    days[3, 4:8] = np.nan
    window = window_of(np.repeat(days, 288, axis=1))
    got = VpaHistogram().fit(window).predict(HOUR, LEVELS).values_bytes
    for row, peaks in enumerate(daily_peaks(window)):
        histogram = DecayingHistogram()
        for day, value in enumerate(peaks):
            if np.isfinite(value):
                histogram.add(float(value), 1.0, 86_400.0 * (20_000 + day))
        assert got[row].tolist() == [MARGIN * histogram.percentile(level) for level in LEVELS.tolist()]


def test_the_vpa_model_knows_nothing_of_a_row_without_samples():
    fitted = VpaHistogram().fit(window_of(np.full(600, np.nan)))
    assert np.isnan(fitted.predict(HOUR, LEVELS).values_bytes).all()
    assert np.isnan(fitted.hindcast().log_error).all()


def test_daily_peaks_end_now():
    usage = with_spike(3, 3 * 288 - 300, 700)  # 25 hours ago
    peaks = daily_peaks(window_of(usage))[0]
    assert peaks[-2:] == pytest.approx([700 * MIB, 100 * MIB])


def test_vpas_errors_are_those_of_its_target():
    usage = np.concatenate([np.full(288, 100 * MIB), np.full(276, 200 * MIB)])  # the hour that begins counts
    hindcast = VpaHistogram().fit(window_of(usage)).hindcast()
    ends = MEMORY_BUCKETS.ends
    first, second = (1.15 * ends[MEMORY_BUCKETS.find(mib * MIB)] for mib in (100, 200))
    assert hindcast.point_bytes[0] == pytest.approx(second)
    errors = hindcast.log_error[0]
    assert errors[np.isfinite(errors)] == pytest.approx([np.log(200 * MIB / first)])
