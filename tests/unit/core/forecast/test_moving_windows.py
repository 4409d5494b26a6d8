"""Autopilot's moving windows against the paper's formulas, written out plainly."""

import numpy as np
import pytest

from builders.histories import MIB, window_of
from builders.shapes import hourly
from plimsoll.forecast.moving_windows import (
    MARGIN,
    MovingWindows,
    OomTolerance,
    decayed_mean,
    load_percentile,
    window_peak,
)
from plimsoll.forecast.usage_grid import BUCKETS, MISSING, STEP, bucket_ends, buckets_of


def point_mib(tolerance, values_mib):
    return MovingWindows(tolerance).fit(window_of(hourly(values_mib))).hindcast().point_bytes[0] / MIB


def weights(hours):
    """The paper's w[tau] = 2^(-tau / 48 h), youngest last."""
    return 2.0 ** (-np.arange(hours)[::-1] / 48.0)


def plain_load_percentile(values, level):
    """P_j of the histogram whose bucket holds b[k] x the decayed number of its samples."""
    order = np.argsort(values)
    load = np.cumsum((weights(len(values)) * values)[order])
    return values[order][np.argmax(load >= level * load[-1])]


def test_a_bucket_holds_what_its_end_is_not_exceeded_by():
    ends = 1000.0 * bucket_ends()
    usage = np.concatenate([ends, [ends[5] * 1.001, 2000.0, 1e-9, np.nan]])[None, :]
    got = buckets_of(usage, np.array([1000.0]))[0].tolist()
    # Under a byte all is alike; the anchor is 1000 bytes, so the lower buckets are not reached here.
    reached = [max(k, buckets_of(np.array([[1.0]]), np.array([1000.0]))[0, 0]) for k in range(BUCKETS)]
    assert got[:BUCKETS] == reached
    assert got[BUCKETS + 1] == BUCKETS - 1
    assert got[-1] == MISSING


def test_the_percentile_is_of_the_load_that_decays():
    random = np.random.default_rng(2)
    values = 100 * np.exp(random.normal(0, 0.6, 200))
    for level in (0.6, 0.9, 0.98):
        got = load_percentile(values[None, :] * MIB, level)[0, -1] / MIB
        exact = plain_load_percentile(values, level)
        assert exact <= got * (1 + 1e-9)
        assert got < exact * STEP**2


def test_a_percentile_of_load_lies_above_the_percentile_of_time():
    values = np.full((1, 100), 10 * MIB)
    values[0, :5] = 1000 * MIB  # 5 % of the hours, most of the load
    assert load_percentile(values, 0.6)[0, -1] == pytest.approx(1000 * MIB)
    assert np.percentile(values, 60) == 10 * MIB


def test_a_percentile_forgets_by_half_in_48_hours():
    old = np.concatenate([np.full(48, 200.0), np.full(48 * 7, 100.0)])[None, :] * MIB
    assert load_percentile(old, 0.98)[0, 95] == pytest.approx(200 * MIB)
    assert load_percentile(old, 0.98)[0, -1] == pytest.approx(100 * MIB, rel=STEP - 1)


def test_the_mean_decays():
    values = np.random.default_rng(3).uniform(50, 500, 120)
    expected = (weights(120) * values).sum() / weights(120).sum()
    assert decayed_mean(values[None, :])[0, -1] == pytest.approx(expected)


def test_missing_hours_neither_count_nor_stop_the_clock():
    values = np.random.default_rng(3).uniform(50, 500, 120)
    gone = np.arange(120) % 3 == 1
    w = weights(120)[~gone]
    with_gaps = np.where(gone, np.nan, values)[None, :]
    assert decayed_mean(with_gaps)[0, -1] == pytest.approx((w * values[~gone]).sum() / w.sum())
    assert window_peak(with_gaps)[0] == values[~gone].max()


@pytest.mark.parametrize(
    ("tolerance", "expected"),
    [
        (OomTolerance.MINIMAL, 1000.0),  # S_max
        (OomTolerance.LOW, 1000.0),  # S_p98: the spike has more than 2 % of the load
        (OomTolerance.INTERMEDIATE, 500.0),  # max(S_p60, S_max / 2)
    ],
)
def test_each_tolerance_has_the_papers_statistic(tolerance, expected):
    values = np.full(90, 100.0)
    values[-10] = 1000.0
    assert point_mib(tolerance, values) == pytest.approx(expected * MARGIN, rel=1e-6)


def test_the_peak_forgets_after_a_day():
    values = np.full(90, 100.0)
    values[-26] = 1000.0
    assert point_mib(OomTolerance.MINIMAL, values) == pytest.approx(100 * MARGIN)


def test_hindcasts_are_what_the_rule_said_the_hour_before():
    values = np.array([100.0] * 10 + [200.0] + [100.0] * 10)
    errors = MovingWindows(OomTolerance.MINIMAL).fit(window_of(hourly(values))).hindcast().log_error[0]
    seen = errors[np.isfinite(errors)]
    assert len(seen) == len(values) - 3
    assert seen[10 - 3] == pytest.approx(np.log(2 / MARGIN))
    assert seen[-1] == pytest.approx(np.log(0.5 / MARGIN))
