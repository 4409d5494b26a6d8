"""Start-up peaks: found, taken out of steady use, priced by how often they come, called for at a start."""

import numpy as np
import pytest

from builders.histories import MIB, append_bin, at, history_of, steady
from plimsoll.forecast.protocol import LEVELS, PeakDistribution
from plimsoll.forecast.startup import startups_of
from plimsoll.forecast.window import read_window
from plimsoll.guard.limits import LimitReason
from plimsoll.pipeline import LimitPipeline

DAY = 288
PEAK = 2.5


def warming(days: float, starts: list[int], mib: float = 100.0, peak: float = PEAK) -> np.ndarray:
    """Steady use, and two bins of `peak` times as much from each start on."""
    used = steady(days, mib)
    for start in starts:
        used[start : start + 2] *= peak
    return used


def row(days: float, starts: list[int], **more):
    history, rows, now = history_of(warming(days, starts, **more))
    for start in starts:
        history.record_restart(rows, at(start))
    return history, rows, now


def found(days: float, starts: list[int], **more):
    history, rows, now = row(days, starts, **more)
    return judged(history, rows, now)


def judged(history, rows, now):
    return startups_of(read_window(history, rows), history.starts(rows), history.ooms(rows).seconds, now)


def test_rows_without_starts_or_without_high_ones_have_none():
    assert found(3, []) is None
    assert found(3, [400], peak=1.1) is None
    assert found(3, [3 * DAY - 6]) is None  # what comes after it is not known yet


def test_the_peak_is_known_and_gone_from_steady_use():
    ups = found(6, [400, 1600])
    assert ups.peak_bytes[0] == pytest.approx(PEAK * 100 * MIB, rel=0.05)
    assert np.nanmax(ups.steady.hourly_bytes) < 110 * MIB
    assert np.nanmax(ups.steady.recent_bytes) < 110 * MIB
    assert not ups.starting[0]
    assert ups.held_bytes(1).tolist() == [0.0]


def test_what_was_not_seen_stays_unseen():
    history, rows, now = row(6, [400, 1600])
    window = read_window(history, rows)
    window.recent_bytes[0, 160:166] = np.nan
    ups = startups_of(window, history.starts(rows), history.ooms(rows).seconds, now)
    np.testing.assert_array_equal(np.isnan(ups.steady.recent_bytes), np.isnan(window.recent_bytes))


def test_starts_that_come_often_are_likely_and_price_the_limit():
    rare, often = found(6, [400]), found(6, [200, 500, 800, 1100, 1400])
    assert 0 < rare.chance[0] < often.chance[0] < 0.1
    said = PeakDistribution(LEVELS, 100 * MIB * np.linspace(1, 1.5, len(LEVELS))[None, :])
    mixed = {name: ups.mixed(said).values_bytes[0] for name, ups in (("rare", rare), ("often", often))}
    for ups, values in ((rare, mixed["rare"]), (often, mixed["often"])):
        assert (np.diff(values) >= 0).all()
        assert (values >= said.values_bytes[0]).all()
        high = 1 - 0.9 * ups.chance[0] < LEVELS
        assert values[high] == pytest.approx(PEAK * 100 * MIB, rel=0.05)
        assert values[1 - 1.1 * ups.chance[0] > LEVELS].max() < 160 * MIB
    assert (mixed["often"] >= 0.99 * mixed["rare"]).all()  # the peaks have noise


def test_starts_that_were_killed_although_a_raise_was_asked_for_count_as_kills_to_come():
    history, rows, now = row(6, [400, 800])
    before = judged(history, rows, now).chance[0]
    history.record_oom(rows, at(401), 120 * MIB)
    assert judged(history, rows, now).chance[0] == pytest.approx(2 * before)
    history.record_oom(rows, at(700), 120 * MIB)  # of no start
    assert judged(history, rows, now).chance[0] == pytest.approx(2 * before)


def test_a_limit_rests_on_steady_use_between_rare_starts():
    """The start of this morning no longer holds the limit up for a day."""
    history, rows, now = row(6, [400, 6 * DAY - 100])
    aware = LimitPipeline(history).decide(rows, now).target_bytes[0]
    unaware = LimitPipeline(history_of(warming(6, [400, 6 * DAY - 100]))[0]).decide(rows, now).target_bytes[0]
    assert unaware > PEAK * 100 * MIB
    assert aware < 0.7 * unaware


def test_a_start_calls_for_its_peak_at_once_and_is_not_let_down_before_it_came():
    history, rows, now = row(6, [400])
    pipeline = LimitPipeline(history)
    pipeline.observe_limits(rows, np.array([130 * MIB]))
    raises = pipeline.observe_start(rows, now)
    assert raises.reason.tolist() == [LimitReason.START_UP]
    assert raises.limit_bytes[0] > PEAK * 100 * MIB
    pipeline.observe_limits(rows, raises.limit_bytes)
    assert len(pipeline.observe_start(rows, now).rows) == 0  # told again, it changes nothing
    assert pipeline.decide(rows, now + 600).lower_bytes[0] >= PEAK * 100 * MIB
    for bin_ in range(6 * DAY, 6 * DAY + 72):
        append_bin(history, rows, bin_, np.array([100 * MIB * (PEAK if bin_ < 6 * DAY + 2 else 1)]))
    assert pipeline.decide(rows, at(6 * DAY + 72)).target_bytes[0] < 200 * MIB


def test_a_first_start_and_an_old_one_raise_nothing():
    history, rows, now = row(6, [])
    pipeline = LimitPipeline(history)
    pipeline.observe_limits(rows, np.array([130 * MIB]))
    assert len(pipeline.observe_start(rows, now).rows) == 0
    history, rows, now = row(6, [400])
    pipeline = LimitPipeline(history)
    pipeline.observe_limits(rows, np.array([130 * MIB]))
    assert len(pipeline.observe_start(rows, now - 7200).rows) == 0


def throttled_row(days: float, starts: list[int], bins: int, *, told: bool = True):
    """A process that takes `bins` bins to begin, with its peak in the last two; its quota holds it up."""
    used = steady(days)
    for start in starts:
        used[start + bins - 2 : start + bins] *= PEAK
    history, rows, now = history_of(used)
    for start in starts:
        history.record_restart(rows, at(start))
        for step in range(bins if told else 0):
            history.record_throttled(rows, at(start + step) + 150)
    return history, rows, now


def test_a_throttled_start_lasts_as_long_as_its_quota_makes_it():
    history, rows, now = throttled_row(6, [400, 1000], 30)
    ups = judged(history, rows, now)
    assert ups.peak_bytes[0] == pytest.approx(PEAK * 100 * MIB, rel=0.05)
    assert np.nanmax(ups.steady.hourly_bytes) < 110 * MIB
    assert judged(*throttled_row(6, [400, 1000], 30, told=False)) is None


def test_the_limit_of_a_throttled_start_is_held_until_it_is_through():
    history, rows, now = throttled_row(6, [400, 1000], 30)
    assert held_after(history, rows, now, throttled_bins=0, bins=14) == 0.0
    history, rows, now = throttled_row(6, [400, 1000], 30)
    assert held_after(history, rows, now, throttled_bins=30, bins=40) > PEAK * 95 * MIB
    history, rows, now = throttled_row(6, [400, 1000], 30)
    assert held_after(history, rows, now, throttled_bins=30, bins=45) == 0.0


def held_after(history, rows, now, *, throttled_bins: int, bins: int) -> float:
    """What is held `bins` bins after a start whose peak has not come yet."""
    history.record_restart(rows, now)
    for step in range(bins):
        append_bin(history, rows, 6 * DAY + step, np.array([100 * MIB]))
        if step < throttled_bins:
            history.record_throttled(rows, now + 300 * step + 200)
    return float(judged(history, rows, now + 300 * bins).held_bytes(1)[0])


def test_who_is_always_throttled_has_starts_like_any_other():
    history, rows, now = row(6, [400, 1000])
    plain = judged(history, rows, now)
    for bin_ in range(6 * DAY):
        history.record_throttled(rows, at(bin_) + 10)
    always = judged(history, rows, now)
    np.testing.assert_array_equal(always.steady.hourly_bytes, plain.steady.hourly_bytes)
    assert always.held_bytes(1)[0] == 0.0


def test_throttling_that_begins_long_after_a_start_is_not_the_starts():
    history, rows, _ = row(6, [400])
    history.record_throttled(rows, at(400) + 900)
    history.record_throttled(rows, at(400) - 60)  # of the process before
    assert np.isnan(history.starts(rows).throttled_until_seconds).all()
    history.record_throttled(rows, at(400) + 300)
    history.record_throttled(rows, at(400) + 600)
    assert history.starts(rows).throttled_until_seconds[0, -1] == at(400) + 600
