"""Autopilot's ML recommender against the paper's recursions, written out one number at a time."""

from dataclasses import replace

import numpy as np
import pytest

from builders.histories import MIB, window_of
from builders.shapes import hourly, steady
from plimsoll.forecast.autopilot_ml import Arms, ArmSettings, AutopilotMl
from plimsoll.forecast.usage_grid import BUCKETS, bucket_ends, buckets_of

ENDS = bucket_ends()
# Weights under which limits and arms change often.
LIVELY = ArmSettings(10.0, 1.0, 0.05, 0.05, 24.0, half_lives=(6.0, 24.0), margins=(0.05, 0.15, 0.3))


def by_hand(usage, buckets, settings):
    """Limits [t] over the anchor, from usage over it and its buckets, by the formulas."""
    rate = [1 - 0.5 ** (1 / h) for h in settings.half_lives]
    arms = [(i, m) for i in range(len(rate)) for m in settings.margins]
    table = settings.cost_table(BUCKETS).astype(float)
    d = 1 - 0.5 ** (1 / settings.cost_half_life)
    smoothed, best, cost, arm, limit, out = None, None, np.zeros(len(arms)), None, np.nan, []
    for x, bucket in zip(usage, buckets, strict=True):
        if np.isnan(x):
            out.append(limit)
            continue
        sample = table[bucket]
        if smoothed is None:
            smoothed, best = [sample] * len(rate), [int(np.argmin(sample))] * len(rate)
            limits = [ENDS[best[i]] * (1 + m) for i, m in arms]
            arm, limit = 0, limits[0]
            out.append(limit)
            continue
        before = [ENDS[best[i]] * (1 + m) for i, m in arms]
        for i, r in enumerate(rate):
            smoothed[i] = (1 - r) * smoothed[i] + r * sample
            change = np.arange(BUCKETS) != best[i]
            best[i] = int(np.argmin(smoothed[i] + settings.limit_change * change))
        after = [ENDS[best[i]] * (1 + m) for i, m in arms]
        for k in range(len(arms)):
            over = settings.overrun * (x > before[k])
            under = settings.underrun * (x < before[k])
            moved = settings.limit_change * (after[k] != before[k])
            cost[k] = (1 - d) * cost[k] + d * (over + under + moved)
        total = [
            cost[k] + settings.arm_change * (k != arm) + settings.limit_change * (after[k] != limit)
            for k in range(len(arms))
        ]
        arm = int(np.argmin(total))
        limit = after[arm]
        out.append(limit)
    return np.array(out)


@pytest.mark.parametrize("seed", range(4))
def test_the_recursions_are_the_papers(seed):
    random = np.random.default_rng(seed)
    usage = np.exp(np.cumsum(random.normal(0, 0.08, 150)))
    usage[random.random(150) < 0.1] = np.nan
    usage[random.integers(20, 150, 5)] *= 2
    usage *= 1000 * MIB / np.nanmax(usage)
    settings, anchor = LIVELY, np.array([1000 * MIB])
    buckets = buckets_of(usage[None, :], anchor)[0]
    arms, said = Arms(1, settings), []
    for bucket, x in zip(buckets, usage / anchor, strict=True):
        arms.step(np.array([bucket]), np.array([x]))
        said.append(arms.limit[0])
    expected = by_hand(usage / anchor, buckets, settings)
    assert len(np.unique(expected[np.isfinite(expected)])) > 3
    assert said == pytest.approx(expected.tolist(), nan_ok=True, rel=1e-6)


def test_the_window_is_walked_as_the_arms_are_fed():
    values = np.exp(np.cumsum(np.random.default_rng(8).normal(0, 0.1, 60))) * 100
    usage = values.astype(np.float32).astype(np.float64)  # as a history keeps it
    fitted = AutopilotMl().fit(window_of(hourly(usage)))
    buckets = buckets_of(usage[None, :] * MIB, np.array([usage.max() * MIB]))[0]
    expected = by_hand(usage / usage.max(), buckets, ArmSettings())[-1] * usage.max()
    assert fitted.hindcast().point_bytes[0] / MIB == pytest.approx(expected, rel=1e-5)


def last_limit_mib(values, settings):
    return AutopilotMl(settings).fit(window_of(hourly(values))).hindcast().point_bytes[0] / MIB


def test_dear_overruns_give_higher_limits():
    values = 100 * np.exp(np.random.default_rng(9).normal(0, 0.4, 300))
    one = ArmSettings(half_lives=(24.0,), margins=(0.0,))
    cheap, dear = (last_limit_mib(values, replace(one, overrun=w)) for w in (0.1, 100.0))
    assert dear > 1.3 * cheap


def test_dear_changes_hold_a_limit():
    values = 100 * np.exp(np.random.default_rng(9).normal(0, 0.4, 300))
    free, dear = (
        AutopilotMl(replace(LIVELY, limit_change=cost, arm_change=cost))
        .fit(window_of(hourly(values)))
        .said_bytes
        for cost in (0.0, 1.0)
    )
    changes = [np.count_nonzero(np.diff(said[0, -290:])) for said in (free, dear)]
    assert changes[1] < changes[0] / 3


def test_a_single_arm_has_its_margin_on_a_flat_row():
    one = ArmSettings(half_lives=(24.0,), margins=(0.15,))
    assert last_limit_mib(np.full(100, 200.0), one) == pytest.approx(230)


def test_costs_count_samples_on_either_side_of_a_limit():
    table = ArmSettings(overrun=3.0, underrun=0.5).cost_table(BUCKETS)
    assert table[60, [59, 60, 61, 127]].tolist() == [3.0, 0.0, 0.5, 0.5]


def test_an_hour_without_a_sample_leaves_the_arms_as_they_are():
    values = np.concatenate([steady(3)[::12] / MIB, np.full(10, np.nan)])
    before = last_limit_mib(values[:-10], ArmSettings())
    assert last_limit_mib(values, ArmSettings()) == pytest.approx(before)
