"""In: hourly maxima. Out: what each coming hour will bring, on average and how far from it."""

import numpy as np
import pytest

from plimsoll.placement.lanes import LANES, PRIOR_DEVIATION, Loads, growth_bytes_per_hour, loads_of

MIB = 2.0**20
HOURS = np.arange(96)


def daily(level=100.0, swing=50.0, peak_hour=0):
    """Four days that end at midnight, highest in `peak_hour`."""
    return MIB * (level + swing * np.cos(2 * np.pi * (HOURS - peak_hour) / 24))


def test_the_coming_hours_are_the_same_hours_of_the_days_before():
    loads = loads_of(daily(peak_hour=6)[None])
    assert int(loads.mean_bytes[0].argmax()) == 6  # midnight has just been: lane 6 is six o'clock
    assert int(loads.mean_bytes[0].argmin()) == 18
    assert loads.mean_bytes[0, 6] == pytest.approx(150 * MIB, rel=0.2)  # two days' weight pulls to the level


def test_a_flat_past_has_the_priors_deviation_until_it_is_believed():
    short, long = loads_of(np.full((1, 3), 100 * MIB)), loads_of(np.full((1, 96), 100 * MIB))
    believed = np.sqrt(long.variance[0, 0]) / (100 * MIB)
    assert believed < np.sqrt(short.variance[0, 0]) / (100 * MIB) <= PRIOR_DEVIATION
    assert (long.mean_bytes == 100 * MIB).all()


def test_rare_peaks_make_it_skewed():
    spiky = np.full((1, 96), 100 * MIB)
    spiky[0, [5, 41, 80]] = 400 * MIB
    loads = loads_of(spiky)
    skewness = loads.third / loads.variance**1.5
    assert (skewness > 1.5).all()


def test_steady_growth_goes_on_and_a_day_rhythm_is_none():
    growing = MIB * (100 + 2.0 * HOURS)[None]
    assert growth_bytes_per_hour(growing)[0] == pytest.approx(2 * MIB, rel=1e-6)
    assert growth_bytes_per_hour(daily()[None])[0] == pytest.approx(0.0, abs=1e-6)
    assert growth_bytes_per_hour(growing[:, ::-1])[0] == 0.0  # falling is not promised
    young = growing[:, :14]  # under two days: six-hour differences
    assert growth_bytes_per_hour(young)[0] == pytest.approx(2 * MIB, rel=1e-6)
    assert loads_of(growing).mean_bytes[0, -1] > growing.max()


def test_a_step_is_no_growth():
    step = np.where(HOURS < 90, 100 * MIB, 300 * MIB)[None]
    assert growth_bytes_per_hour(step)[0] == 0.0


def test_gaps_are_left_out_and_what_was_never_seen_is_not_known():
    seen = daily()
    gappy = seen.copy()
    gappy[10:40] = np.nan
    loads = loads_of(np.stack([seen, gappy, np.full(96, np.nan)]))
    assert np.isfinite(loads.mean_bytes[:2]).all()
    assert np.allclose(loads.mean_bytes[1], loads.mean_bytes[0], rtol=0.35)
    assert int(loads.mean_bytes[1].argmax()) == 0
    assert np.isnan(loads.mean_bytes[2]).all()


def test_one_that_has_been_away_for_a_day_counts_with_what_it_last_used():
    away = np.full(96, np.nan)
    away[40] = 70 * MIB
    assert np.isfinite(loads_of(away[None]).mean_bytes).all()


def test_peaks_that_coincide_add_up_and_those_that_do_not_do_not():
    same = loads_of(np.stack([daily(peak_hour=6), daily(peak_hour=6)])).total().mean_bytes.max()
    apart = loads_of(np.stack([daily(peak_hour=6), daily(peak_hour=18)])).total().mean_bytes.max()
    assert apart < 0.8 * same


def test_rows_are_taken_in_order():
    loads = loads_of(np.stack([daily(100), daily(200)]))
    taken = loads.take([1, 0, 1])
    assert isinstance(taken, Loads)
    assert len(taken) == 3
    assert (taken.mean_bytes[0] == loads.mean_bytes[1]).all()
    assert taken.mean_bytes.shape[1] == LANES
