"""The pipeline on real histories: bad input holds, nothing goes below use, a restart loses nothing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders.histories import MIB, append_bin, at, history_of, steady
from plimsoll.forecast.registry import model_names
from plimsoll.guard.limits import GuardSettings, LimitReason
from plimsoll.pipeline import LimitPipeline, PipelineSettings
from plimsoll.recommend.recommendation import Recommendations
from plimsoll.recommend.row_policy import RowPolicy
from plimsoll.usage.history import History
from plimsoll.usage.sample import Quantity, Rejection


def decided(usage: np.ndarray, **options: object) -> tuple[Recommendations, LimitPipeline, float]:
    history, rows, now = history_of(usage)
    pipeline = LimitPipeline(history, PipelineSettings(**options))
    return pipeline.decide(rows, now), pipeline, now


def spike(times: float) -> np.ndarray:
    usage = steady(2)
    usage[-5] *= times
    return usage


HOLDS = {
    "never seen": np.full(300, np.nan),
    "one sample": np.concatenate([np.full(299, np.nan), [100 * MIB]]),
    "seen for two hours": steady(2 / 24),
    "unseen for more than an hour": np.concatenate([steady(1), np.full(14, np.nan)]),
}


@pytest.mark.parametrize("shape", HOLDS)
def test_holds_when(shape: str):
    said, pipeline, now = decided(HOLDS[shape])
    assert not said.ready[0]
    assert np.isnan([said.target_bytes[0], said.lower_bytes[0], said.upper_bytes[0]]).all()
    pipeline.observe_limits(said.rows, [300 * MIB])
    plan = pipeline.settle(said, now)
    assert plan.limit_bytes[0] == 300 * MIB
    assert plan.reason[0] == LimitReason.NOT_READY


ANSWERS = {
    # shape -> (usage, least target, greatest target) in MiB
    "steady": (steady(3), 102, 150),
    "constant": (np.full(600, 100 * MIB), 102, 150),
    "zero": (np.zeros(600), 16, 16),
    "tiny": (np.full(600, 5.0), 16, 16),
    "a thousandfold spike within the hour": (spike(1000), 98_000, 310_000),
    "a thousandth by mistake": (spike(0.001), 102, 210),
    "every second bin missing": (np.where(np.arange(900) % 2, np.nan, 100 * MIB), 102, 210),
}


@pytest.mark.parametrize("shape", ANSWERS)
def test_answers(shape: str):
    usage, least, greatest = ANSWERS[shape]
    said, _, _ = decided(usage)
    assert said.ready[0]
    assert least * MIB <= said.target_bytes[0] <= greatest * MIB
    assert said.lower_bytes[0] <= said.target_bytes[0] <= said.upper_bytes[0]
    assert said.request_bytes[0] <= said.target_bytes[0]


@pytest.mark.parametrize("model", model_names())
def test_every_model_gives_limits_and_buffers(model: str):
    said, _, _ = decided(np.stack([steady(3), spike(2)[:576].repeat(2)[:864]]), model=model)
    assert said.ready.all()
    assert (said.lower_bytes >= 100 * MIB).all()
    assert np.isfinite(said.buffer_bytes).all()


def test_a_spike_is_forgotten_when_the_floor_has_passed_it():
    usage = np.concatenate([steady(1), [100_000 * MIB], steady(4)])
    said, _, _ = decided(usage)
    assert said.target_bytes[0] < 1000 * MIB


@pytest.mark.parametrize("outage_hours", [12, 80, 14 * 24])
def test_an_outage_of_the_source_is_no_calm(outage_hours: int):
    outage = np.full(outage_hours * 12, np.nan)
    said, _, _ = decided(np.concatenate([steady(1), [1000 * MIB], steady(0.5), outage, steady(0.25)]))
    assert said.target_bytes[0] >= 1000 * MIB


def test_a_price_that_is_moved_moves_the_floor_of_past_peaks_and_never_throws_it():
    """A peak of fifteen hours ago, and prices from where it is no floor to where it is one."""
    usage = np.concatenate([steady(1), [1000 * MIB], steady(15 / 24)])
    prices = np.geomspace(0.4, 2.5, 60)
    history, rows, now = history_of(np.stack([usage] * len(prices)))
    pipeline = LimitPipeline(history)
    pipeline.observe_policies(rows, [RowPolicy(oom_price=price) for price in prices.tolist()])
    said = pipeline.decide(rows, now)
    for column in (said.target_bytes, said.lower_bytes):
        steps = column[1:] / column[:-1]
        assert steps.max() < 1.1
        assert steps.min() > 0.99  # a dearer kill never gets a tighter limit
    assert said.target_bytes[0] < 500 * MIB
    assert (said.target_bytes[prices >= 2] >= 1000 * MIB).all()


def test_a_limit_far_below_use_from_the_start_is_raised_at_once():
    _, pipeline, now = decided(steady(1))
    rows = np.arange(len(pipeline.history), dtype=np.int32)
    pipeline.observe_limits(rows, [10 * MIB])
    raises = pipeline.react(rows, now)
    assert raises.rows.tolist() == rows.tolist()
    assert raises.limit_bytes[0] > 1.1 * 98 * MIB


def test_a_limit_far_above_use_falls_by_halves():
    said, pipeline, now = decided(steady(3))
    limits = [6400 * MIB]
    for _ in range(8):
        pipeline.observe_limits(said.rows, [limits[-1]])
        limits.append(float(pipeline.settle(said, now).limit_bytes[0]))
    assert limits[1] == 3200 * MIB
    assert limits[-1] == limits[-2] == pytest.approx(said.target_bytes[0])


def test_a_clock_that_goes_back_changes_no_answer():
    history, rows, now = history_of(steady(2))
    pipeline = LimitPipeline(history)
    before = pipeline.decide(rows, now)
    pipeline.observe_limits(rows, [10 * MIB])  # far below use: the next reaction raises it
    back = pipeline.decide(rows, now - 6 * 3600)
    assert back.target_bytes[0] == before.target_bytes[0]
    raised = pipeline.react(rows, now - 6 * 3600).limit_bytes
    assert raised.tolist() == pipeline.react(rows, now).limit_bytes.tolist()
    assert raised[0] > 100 * MIB


def test_a_kill_raises_at_once_and_is_remembered_by_the_history():
    said, pipeline, now = decided(steady(2))
    pipeline.observe_limits(said.rows, [120 * MIB])
    raises = pipeline.observe_oom(said.rows, now)
    assert raises.limit_bytes[0] == pytest.approx(220 * MIB)
    assert raises.reason[0] == LimitReason.OOM_KILLED
    restarted = LimitPipeline(pipeline.history)  # nothing but the history survives
    assert restarted.decide(said.rows, now + 60).lower_bytes[0] >= 220 * MIB


def test_a_kill_that_cut_usage_off_forecasts_as_if_it_had_been_seen():
    """What a cluster sees of a kill is the limit, here one that only rounds to what a history can hold."""
    limit = 150.1 * MIB
    told, cut, blind = steady(2), steady(2), steady(2)
    told[-30], cut[-30], blind[-30] = limit + 100 * MIB, limit, limit
    history, rows, now = history_of(np.stack([told, cut, blind]))
    pipeline = LimitPipeline(history)
    for row in (0, 1):
        history.record_oom(rows[[row]], at(2 * 288 - 30) + 200, limit, np.array([told[-30], np.nan])[row])
    said = pipeline.decide(rows, now).quantile_bytes
    assert said[1] == pytest.approx(said[0], rel=1e-6)
    assert said[1, -1] > 1.05 * said[2, -1]


def test_usage_that_is_the_limit_but_for_rounding_is_no_usage_that_was_seen():
    history, rows, _ = history_of(steady(2))
    limit = np.nextafter(np.float32(150 * MIB), np.float32(0)) + 0.5  # the history rounds it up
    append_bin(history, rows, 2 * 288, np.array([limit]))
    pipeline = LimitPipeline(history)
    pipeline.observe_oom(rows, at(2 * 288) + 200, [limit])
    assert np.isnan(history.ooms(rows).usage_bytes).all()
    append_bin(history, rows, 2 * 288, np.array([160 * MIB]))
    pipeline.observe_oom(rows, at(2 * 288) + 250, [limit])
    assert history.ooms(rows).usage_bytes[0, -1] == 160 * MIB


def test_a_kill_at_an_unknown_limit_raises_nothing():
    said, pipeline, now = decided(steady(2))
    assert len(pipeline.observe_oom(said.rows, now).rows) == 0
    assert pipeline.history.ooms(said.rows).count[0] == 1


def test_the_third_run_of_a_weekly_job_finds_room_and_a_job_that_ran_once_has_no_week():
    usage = np.stack([steady(20.5), steady(20.5)])
    for row, days in ((0, (6.5, 13.5)), (1, (6.5,))):
        for day in days:
            begin = round(day * 288)
            usage[row, begin : begin + 6] *= 2.2
    said, _, _ = decided(usage)
    assert said.lower_bytes[0] >= 230 * MIB
    assert said.target_bytes[1] < 200 * MIB


def test_usage_above_the_known_peak_asks_again_and_only_raises():
    history, rows, now = history_of(np.full((2, 864), 100 * MIB))
    pipeline = LimitPipeline(history, PipelineSettings(guard=GuardSettings(climb_threshold=0.99)))
    pipeline.decide(rows, now)
    # Not close to the limit and not heading for it, but more than was known: only asking again raises.
    pipeline.observe_limits(rows, [105.3 * MIB, 105.3 * MIB])
    append_bin(history, rows, 864, np.array([101.9, 101.9]) * MIB)
    append_bin(history, rows, 865, np.array([103.5, 101.9]) * MIB)
    raises = pipeline.react(rows, at(866))
    assert raises.rows.tolist() == [rows[0]]
    assert raises.reason.tolist() == [LimitReason.NEW_PEAK]
    assert raises.limit_bytes[0] >= 1.02 * 103.5 * MIB
    assert len(pipeline.react(rows, at(866)).rows) == 0  # asked once, not again for the same peak


def test_without_the_guard_nothing_rises_between_decisions():
    said, pipeline, now = decided(steady(1), guarded=False)
    pipeline.observe_limits(said.rows, [10 * MIB])
    assert len(pipeline.react(said.rows, now).rows) == 0


def test_a_rows_own_price_stands_before_the_objective():
    history, rows, now = history_of(np.stack([spike(1.1)] * 3))
    pipeline = LimitPipeline(history)
    pipeline.observe_policies(rows, [RowPolicy(oom_price=price) for price in (0.01, None, 500.0)])
    cheap, plain, dear = pipeline.decide(rows, now).target_bytes
    assert cheap <= plain < dear
    assert plain - cheap < dear - plain
    pipeline.forget(rows)
    assert len(set(pipeline.decide(rows, now).target_bytes.tolist())) == 1


def swinging(days: int, low: float, high: float) -> np.ndarray:
    """Eight hours of each day at `high` MiB, the rest at `low`."""
    hours = np.where(np.arange(24) % 24 < 8, high, low)
    return np.tile(np.repeat(hours, 12), days) * MIB


REQUESTS = {
    # shape -> (usage, least and most request in MiB); all of them have seen a peak of 400 MiB
    "one rare peak": (np.where(np.arange(3 * 288) == 700, 400.0, 100.0) * MIB, 100, 150),
    "at night, after a day's load": (swinging(3, 100, 400), 400, 450),
    "high just now": (np.concatenate([np.full(600, 100.0), np.full(12, 400.0)]) * MIB, 408, 540),
}


@pytest.mark.parametrize("shape", REQUESTS)
def test_a_request_is_what_is_typically_needed_and_the_limit_is_for_the_peaks(shape: str):
    usage, least, most = REQUESTS[shape]
    said, _, _ = decided(usage)
    assert least * MIB <= said.request_bytes[0] <= most * MIB
    assert said.target_bytes[0] >= 400 * MIB
    assert said.request_bytes[0] <= said.target_bytes[0]


def test_a_rows_own_model_answers_for_it_and_for_no_other():
    usage = np.stack([spike(2)] * 3)
    history, rows, now = history_of(usage)
    pipeline = LimitPipeline(history)
    pipeline.observe_policies(rows, [RowPolicy(), RowPolicy(model="seasonal"), RowPolicy(model="vpa")])
    together = pipeline.decide(rows, now)
    for row, model in enumerate(["auto", "seasonal", "vpa"]):
        alone = LimitPipeline(history, PipelineSettings(model=model)).decide(rows[row : row + 1], now)
        assert np.array_equal(together.quantile_bytes[row], alone.quantile_bytes[0])
        assert together.target_bytes[row] == alone.target_bytes[0]
    assert len(set(together.target_bytes.tolist())) == 3


def test_a_rows_own_history_forgets_what_is_older():
    usage = np.concatenate([steady(1), [900 * MIB], steady(1)])
    history, rows, now = history_of(np.stack([usage] * 3))
    pipeline = LimitPipeline(history, PipelineSettings(model="windowed"))
    pipeline.observe_policies(rows, [RowPolicy(history_hours=hours) for hours in (672, 26, 1)])
    said = pipeline.decide(rows, now)
    assert said.ready.all()  # how long it has been watched is another question
    assert said.target_bytes[0] > 900 * MIB
    assert said.target_bytes[1] > 900 * MIB
    assert said.target_bytes[2] < 200 * MIB


@pytest.mark.parametrize("price", [0.01, 5.0, 5000.0])
@pytest.mark.parametrize(("least", "most"), [(0.5, 2.0), (0.0, 0.05), (3.0, 3.0)])
def test_a_buffer_between_bounds(price: float, least: float, most: float):
    history, rows, now = history_of(np.stack([spike(1.3)]))
    pipeline = LimitPipeline(history)
    bounds = RowPolicy(oom_price=price, buffer_min_fraction=least, buffer_max_fraction=most)
    pipeline.observe_policies(rows, [bounds])
    said = pipeline.decide(rows, now)
    quantile = said.target_bytes - said.buffer_bytes
    floor = 130 * MIB * 1.3  # the spike that the floor remembers
    for limit in (said.lower_bytes[0], said.target_bytes[0], said.upper_bytes[0]):
        assert limit >= quantile[0] * (1 + least) - 1  # byte
        assert limit <= max(quantile[0] * (1 + most) + 1, floor)


def test_no_buffer_bound_goes_below_use_or_a_kills_floor():
    history, rows, now = history_of(np.stack([spike(3)]))
    pipeline = LimitPipeline(history)
    pipeline.observe_oom(rows, now, [500 * MIB])
    pipeline.observe_policies(rows, [RowPolicy(buffer_max_fraction=0.0)])
    assert pipeline.decide(rows, now).target_bytes[0] >= 600 * MIB


def test_a_restart_from_checkpoints_changes_no_limit_by_more_than_the_checkpoints_grid():
    history, rows, now = history_of(np.stack([steady(3), spike(3)[: 3 * 288].repeat(2)[: 3 * 288]]))
    other = History(Quantity.USAGE, 4)
    restored = other.add_rows(2)
    other.advance(now)
    for row, new in zip(rows.tolist(), restored.tolist(), strict=True):
        other.restore(new, history.checkpoint(row))
    before = LimitPipeline(history).decide(rows, now)
    after = LimitPipeline(other).decide(restored, now)
    assert after.target_bytes == pytest.approx(before.target_bytes, rel=0.02)


def test_rows_of_a_history_that_grew_are_known():
    history, rows, now = history_of(steady(1))
    pipeline = LimitPipeline(history)
    more = history.add_rows(50)
    pipeline.observe_limits(more, np.full(50, MIB))
    said = pipeline.decide(np.concatenate([rows, more]), now)
    assert said.ready.tolist() == [True] + [False] * 50


def test_no_rows_no_answers():
    history, rows, now = history_of(steady(1))
    pipeline = LimitPipeline(history)
    assert len(pipeline.decide(rows[:0], now).rows) == 0
    assert len(pipeline.react(rows[:0], now).rows) == 0


def test_more_rows_than_a_chunk_are_answered_in_order():
    history = History(Quantity.USAGE, 5000)
    rows = history.add_rows(5000)
    sizes = np.linspace(50, 500, 5000) * MIB
    for hour in range(5):
        append_bin(history, rows, hour * 12, sizes)
    append_bin(history, rows, 55, sizes)
    said = LimitPipeline(history).decide(rows, at(56))
    assert said.ready.all()
    assert (np.diff(said.target_bytes) >= 0).all()


samples = st.one_of(
    st.just(np.nan), st.floats(0, 2**46), st.sampled_from([0.0, 1.0, 100 * MIB, 101 * MIB, 5000 * MIB])
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(samples, min_size=40, max_size=80), st.floats(1.0, 2**46), st.sampled_from([0.01, 4.0, 500.0])
)
def test_whatever_comes_no_limit_is_nan_or_below_present_use(usage: list[float], limit: float, price: float):
    history, rows, now = history_of(np.array(usage))
    pipeline = LimitPipeline(history, PipelineSettings(oom_price=price))
    pipeline.observe_limits(rows, [limit])
    said = pipeline.decide(rows, now)
    plan = pipeline.settle(said, now)
    present = np.fmax.reduce(np.array(usage[-1:]))
    assert np.isfinite(plan.limit_bytes).all()
    if said.ready[0]:
        assert 0 < said.lower_bytes[0] <= said.target_bytes[0] <= said.upper_bytes[0] < np.inf
        assert not plan.limit_bytes[0] < present
        assert np.isfinite(said.quantile_bytes).all()
    raises = pipeline.react(rows, now)
    assert (raises.limit_bytes > limit).all()


def weights_of(pipeline: LimitPipeline, row: int) -> np.ndarray:
    """The weights of the row's ensemble."""
    code = model_names().index("ensemble")
    return pipeline._models.of(code).weights(np.array([row], dtype=np.int32))[0]


def judged(days: int = 5, hours: int = 30) -> tuple[LimitPipeline, float]:
    """An ensemble that was asked each hour about a row with a rhythm, and was told what came."""
    bins, asked = days * 288, 12 * hours
    usage = 100 * MIB * (1 + 0.4 * np.sin(np.arange(bins) / 288 * 2 * np.pi))
    history, rows, now = history_of(usage[:-asked])
    pipeline = LimitPipeline(history)
    pipeline.observe_policies(rows, [RowPolicy(model="ensemble")])
    for place in range(bins - asked, bins):
        if place % 12 == 0:
            pipeline.decide(rows, at(place))
        append_bin(history, rows, place, usage[place : place + 1])
    now = at(bins)
    pipeline.decide(rows, now)
    return pipeline, now


def successor(now: float, rows: int) -> LimitPipeline:
    """A pipeline that knows nothing of its rows, all of which an ensemble is to forecast."""
    history = History(Quantity.USAGE, rows)
    made = history.add_rows(rows)
    history.advance(now)
    pipeline = LimitPipeline(history)
    pipeline.observe_policies(made, [RowPolicy(model="ensemble")] * rows)
    return pipeline


def test_an_ensembles_weights_come_back_with_the_rows_checkpoint() -> None:
    taught, now = judged()
    weights = weights_of(taught, 0)
    assert weights.max() > 1.2 * weights.min(), "nothing was learned"
    after = successor(now, 3)
    after.restore(2, taught.checkpoint(0))
    assert weights_of(after, 2) == pytest.approx(weights, rel=1e-3)
    assert weights_of(after, 1) == pytest.approx(np.full(4, 0.25))
    said = after.decide(np.array([2], dtype=np.int32), now)
    before = taught.decide(np.array([0], dtype=np.int32), now)
    np.testing.assert_allclose(said.quantile_bytes, before.quantile_bytes, rtol=3e-3)


def test_a_checkpoint_from_before_weights_were_in_it_begins_with_even_ones() -> None:
    taught, now = judged()
    after = successor(now, 1)
    after.restore(0, taught.history.checkpoint(0))
    after.decide(np.array([0], dtype=np.int32), now)
    assert weights_of(after, 0) == pytest.approx(np.full(4, 0.25))


def test_what_a_model_nobody_knows_has_learned_is_passed_over() -> None:
    taught, now = judged(hours=2)
    data = taught.history.checkpoint(0, {"clairvoyant": {"a": 1.0}, "auto": {"b": 2.0}})
    after = successor(now, 1)
    after.restore(0, data)
    assert np.nanmax(after.history.hourly(0)) > 0


def test_a_source_that_turns_to_kibibytes_lowers_nothing_in_96_hours():
    history, rows, now = history_of(steady(2))
    pipeline = LimitPipeline(history)
    limit = pipeline.settle(pipeline.decide(rows, now), now).limit_bytes
    for bin_ in range(2 * 288, 6 * 288):  # 96 hours
        middle = at(bin_) + 150
        if bin_ % 12:
            continue
        assert history.append(rows, middle, 100 * 1024.0, middle).rejected == {Rejection.UNIT: 1}
        pipeline.observe_limits(rows, limit)
        limit = pipeline.settle(pipeline.decide(rows, at(bin_ + 1)), at(bin_ + 1)).limit_bytes
        assert limit[0] > 100 * MIB
