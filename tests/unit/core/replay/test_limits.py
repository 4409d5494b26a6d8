"""The replay engine with a scripted recommender: who is asked when, and what follows an OOM."""

import numpy as np
import pytest

from builders.series import MIB, Scripted
from plimsoll.replay.limits import COLD_LIMIT_BYTES, ReplaySettings, raised_after_oom, replay_limits
from plimsoll.replay.series import batch_of

SETTINGS = ReplaySettings(warmup_bins=12, decide_bins=12, guard_bins=1)


def replay(usage_mib, recommender, settings=SETTINGS):
    batch = batch_of("s", {"a": np.asarray(usage_mib, dtype=np.float64) * MIB})
    return replay_limits(batch, recommender, settings)


def limits_mib(result):
    return result.limit_bytes[0] / MIB


def test_asks_at_the_start_of_every_window_and_watches_before():
    recommender = Scripted({12: 500 * MIB, 24: 400 * MIB})
    result = replay([100.0] * 30, recommender)
    assert recommender.asked == [12, 24]
    assert recommender.reacted == list(range(12, 30))
    assert [o.bin for o in recommender.seen] == list(range(30))
    assert all(np.isnan(o.limit_bytes).all() and not o.oom.any() for o in recommender.seen[:12])
    np.testing.assert_array_equal(limits_mib(result), [np.nan] * 12 + [500.0] * 12 + [400.0] * 6)


def test_a_warm_up_that_ends_within_a_window_is_followed_by_a_decision_at_once():
    recommender = Scripted({14: 500 * MIB})
    replay([100.0] * 30, recommender, ReplaySettings(warmup_bins=14))
    assert recommender.asked == [14, 24]


def test_guard_interval_is_kept():
    recommender = Scripted({12: 500 * MIB})
    replay([100.0] * 24, recommender, ReplaySettings(warmup_bins=12, guard_bins=3))
    assert recommender.reacted == [12, 15, 18, 21]


def test_an_oom_raises_from_the_next_bin_to_the_end_of_its_window_whatever_is_said():
    usage = [100.0] * 12 + [100.0, 100.0, 300.0] + [100.0] * 20
    recommender = Scripted({12: 200 * MIB, 24: 150 * MIB})
    result = replay(usage, recommender)
    expected = [200.0] * 3 + [300.0] * 9 + [150.0] * 11
    np.testing.assert_array_equal(limits_mib(result)[12:], expected)
    assert [o.bin for o in recommender.seen if o.oom.any()] == [14]


def test_a_second_oom_in_the_window_raises_again_from_the_raised_limit():
    usage = [100.0] * 12 + [1000.0, 1000.0, 100.0, 100.0] + [100.0] * 8
    result = replay(usage, Scripted({12: 800 * MIB}))
    np.testing.assert_allclose(limits_mib(result)[12:16], [800.0, 960.0, 1152.0, 1152.0], rtol=1e-15)


@pytest.mark.parametrize(("limit", "raised"), [(100.0, 200.0), (500.0, 600.0), (1000.0, 1200.0)])
def test_r_is_the_larger_of_a_fifth_and_100_mib(limit, raised):
    assert raised_after_oom(np.array([limit * MIB])) == [raised * MIB]


def test_a_raise_takes_effect_at_once_and_a_lower_one_never():
    recommender = Scripted({12: 200 * MIB}, raises={13: 300 * MIB, 15: 100 * MIB, 16: float("inf")})
    result = replay([100.0] * 18, recommender)
    np.testing.assert_array_equal(limits_mib(result)[12:], [200.0, 300.0, 300.0, 300.0, 300.0, 300.0])


@pytest.mark.parametrize("nothing", [np.nan, 0.0, -5.0, np.inf])
def test_an_unusable_decision_keeps_what_is_in_force(nothing):
    result = replay([100.0] * 36, Scripted({12: 200 * MIB, 24: nothing}))
    np.testing.assert_array_equal(limits_mib(result)[12:], [200.0] * 24)


def test_without_any_decision_a_limit_is_still_finite():
    result = replay([np.nan] * 14, Scripted({}))
    np.testing.assert_array_equal(result.limit_bytes[0, 12:], COLD_LIMIT_BYTES)


def test_below_an_ooms_r_a_reason_is_written_for_24_h_and_no_longer():
    usage = np.full(12 + 400, 100.0)
    usage[14] = 300.0
    result = replay(usage, Scripted({12: 200 * MIB, 24: 150 * MIB}))
    reasoned = np.flatnonzero(result.reason[0] >= 0)
    assert reasoned.tolist() == list(range(24, 14 + 288 + 1))
    assert result.reasons[result.reason[0, 24]] == "scripted otherwise"


def test_emits_from_the_warm_up_to_each_series_last_bin_only():
    batch = batch_of("s", {"long": np.full(30, MIB), "short": np.full(20, MIB), "shorter": np.full(5, MIB)})
    recommender = Scripted({})
    result = replay_limits(batch, recommender, SETTINGS)
    assert (np.isfinite(result.limit_bytes) == result.emitted()).all()
    assert result.emitted().sum(axis=1).tolist() == [18, 8, 0]


def test_progress_is_told_of_every_bin():
    told = []
    batch = batch_of("s", {"a": np.full(5, MIB)})
    replay_limits(batch, Scripted({}), SETTINGS, lambda done, total: told.append((done, total)))
    assert told == [(k, 5) for k in range(1, 6)]


@pytest.mark.parametrize("field", ["warmup_bins", "decide_bins", "guard_bins"])
def test_refuses_settings_below_one_bin(field):
    with pytest.raises(ValueError, match=field):
        ReplaySettings(**{field: 0})
