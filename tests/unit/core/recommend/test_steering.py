"""The price that a fleet shares goes to where what was asked for comes out, and others' prices stay."""

import numpy as np
import pytest

from builders.histories import MIB, append_bin, at, history_of, steady
from plimsoll.pipeline import LimitPipeline
from plimsoll.recommend.objective import asked_of
from plimsoll.recommend.row_policy import PolicyColumns, RowPolicy
from plimsoll.recommend.steering import MOST_LOG, Gains, PriceSteering, is_in_force

ROWS = np.arange(4, dtype=np.int32)
TIGHT, OTHER, KILLS = ("slack", 0.2), ("slack", 0.4), ("oom", 75.0)


def steering(*asked, gains: Gains | None = None) -> PriceSteering:
    policies = PolicyColumns()
    policies.grow(len(ROWS))
    policies.put(ROWS, [RowPolicy(asked=each) for each in asked])
    return PriceSteering(policies, gains)


def hours(made: PriceSteering, slack: float, count: int, killed: float = 0.0) -> PriceSteering:
    for hour in range(count):
        usage = np.full((4, 12), (1 - slack) * 100 * MIB)
        made.learn(ROWS, usage, np.full(4, 100 * MIB), np.full(4, killed), hour)
    return made


def test_what_objectives_ask_for():
    assert asked_of("slack:0.25") == ("slack", 0.25)
    assert asked_of("oom:70") == ("oom", 70.0)
    for said in (None, "", "balanced", "slack:2", "slack:", "oom:0", "oom:x"):
        assert asked_of(said) is None


def test_more_slack_than_was_asked_for_lowers_the_price_of_those_that_asked():
    made = hours(steering(TIGHT, TIGHT, OTHER, None), slack=0.3, count=24)
    factors = made.factors(ROWS)
    assert factors[0] == factors[1] < 1 < factors[2]
    assert factors[3] == 1


@pytest.mark.parametrize(("ask", "ends"), [(TIGHT, "slack"), (KILLS, "kills")])
def test_a_gain_is_of_what_was_asked_for(ask, ends):
    slow, fast = (
        np.log(hours(steering(*[ask] * 4, gains=gains), slack=0.1, count=3, killed=0.01).factor(ask))
        for gains in (Gains(), Gains(**{ends: 2 * getattr(Gains(), ends)}))
    )
    assert fast == pytest.approx(2 * slow)
    assert slow != 0


def test_rows_that_come_due_one_by_one_weigh_together_what_they_weigh_at_once():
    together, apart = (steering(*[TIGHT] * 4) for _ in range(2))
    for hour in range(24):
        usage, limits, killed = np.full((4, 12), 70 * MIB), np.full(4, 100 * MIB), np.zeros(4)
        together.learn(ROWS, usage, limits, killed, hour)
        for row in ROWS:
            apart.learn(ROWS[row : row + 1], usage[:1], limits[:1], killed[:1], hour)
    # The first hour is dearer: nobody knows yet how many will come.
    assert np.log(apart.factor(TIGHT)) == pytest.approx(np.log(together.factor(TIGHT)), rel=0.05)


def test_the_offset_is_bounded_and_comes_back():
    made = hours(steering(TIGHT, TIGHT, TIGHT, TIGHT), slack=0.9, count=1000)
    assert made.factor(TIGHT) == pytest.approx(np.exp(-MOST_LOG))
    assert hours(made, slack=0.1, count=1000).factor(TIGHT) == pytest.approx(np.exp(MOST_LOG))


def test_kills_raise_the_price_and_their_absence_lowers_it_slowly():
    calm = hours(steering(*[KILLS] * 4), slack=0.3, count=240)
    assert 0.3 < calm.factor(KILLS) < 1
    assert hours(calm, slack=0.3, count=1, killed=1.0).factor(KILLS) > 1


def test_factors_are_told_as_policies_spell_the_objective():
    made = hours(steering(TIGHT, OTHER, KILLS, None), slack=0.3, count=24)
    assert made.told().keys() == {"slack:0.2", "slack:0.4", "oom:75"}
    assert made.told()["slack:0.2"] < 1 < made.told()["slack:0.4"]


def test_what_nobody_saw_teaches_nothing():
    made = steering(*[TIGHT] * 4)
    made.learn(ROWS, np.full((4, 12), np.nan), np.full(4, MIB), np.full(4, np.nan), 1)
    made.learn(ROWS, np.full((4, 12), MIB), np.full(4, np.nan), np.full(4, np.nan), 2)
    assert made.factors(ROWS).tolist() == [1.0] * 4


def fleets_slack(asked) -> float:
    """Slack at the end of eight days of four calm containers, whose policy asks for this."""
    usage = np.stack([steady(8, 100 + 50 * seed, seed=seed) for seed in range(4)])
    history, rows, now = history_of(usage[:, : 2 * 288])
    pipeline = LimitPipeline(history)
    pipeline.observe_policies(rows, [RowPolicy(asked=asked)] * 4)
    limit = pipeline.decide(rows, now).target_bytes
    for bin_ in range(2 * 288, 8 * 288):
        append_bin(history, rows, bin_, usage[:, bin_])
        if bin_ % 12 == 11:
            pipeline.observe_limits(rows, limit)
            limit = pipeline.settle(pipeline.decide(rows, at(bin_ + 1)), at(bin_ + 1)).limit_bytes
    return float(np.mean(1 - usage[:, -12:] / limit[:, None]))


def test_a_fleet_of_calm_containers_comes_nearer_to_the_slack_that_was_asked_for():
    """At the table's price these have far less: they never jump."""
    unsteered = fleets_slack(None)
    assert unsteered < 0.16
    assert fleets_slack(("slack", 0.18)) == pytest.approx(0.18, abs=0.02)


@pytest.mark.parametrize("theirs_mib", [400.0, 1.0])
def test_a_limit_that_is_not_ours_moves_no_price(theirs_mib: float):
    """Mode Recommend, a pause, `limits.min`: what is decided is never in force."""
    usage = steady(4, 100)
    history, rows, _ = history_of(usage[: 2 * 288])
    pipeline = LimitPipeline(history)
    pipeline.observe_policies(rows, [RowPolicy(asked=("slack", 0.18))])
    before = pipeline.oom_prices(rows)
    for bin_ in range(2 * 288, 4 * 288):
        append_bin(history, rows, bin_, usage[bin_ : bin_ + 1])
        pipeline.observe_limits(rows, [theirs_mib * MIB])
        pipeline.decide(rows, at(bin_ + 1))
    assert pipeline.oom_prices(rows) == before


def test_a_limit_is_in_force_as_it_was_written_in_whole_mebibytes():
    decided = np.full(5, 100.4 * MIB)
    written = np.array([100.4, 101, 105, 96, np.nan]) * MIB
    assert is_in_force(decided, written).tolist() == [True, True, False, False, False]


def steered_fleet(days: int = 4):
    """Calm containers that are asked for more slack than they have, for some days; their pipeline."""
    history, rows, now = history_of(np.array([steady(2, seed=seed) for seed in range(3)]))
    pipeline = LimitPipeline(history)
    pipeline.observe_policies(rows, [RowPolicy(asked=OTHER)] * 3)
    for bin_ in range(2 * 288, (2 + days) * 288):
        if bin_ % 12 == 0:
            now = at(bin_)
            limit = pipeline.settle(pipeline.decide(rows, now), now).limit_bytes
        append_bin(history, rows, bin_, np.full(3, 100 * MIB))
        pipeline.observe_limits(rows, limit)
    return pipeline, rows


def test_a_restarted_operator_goes_on_from_the_price_that_it_had():
    before, rows = steered_fleet()
    assert before.price_factors()["slack:0.4"] > 1.5
    kept = before.checkpoint(int(rows[1]))
    history, fresh, _ = history_of(np.full((2, 1), np.nan))
    after = LimitPipeline(history)
    after.observe_policies(fresh, [RowPolicy(asked=OTHER), RowPolicy(asked=TIGHT)])
    after.restore(int(fresh[0]), kept)
    assert after.price_factors() == {"slack:0.4": before.price_factors()["slack:0.4"], "slack:0.2": 1.0}
    assert after.oom_prices(fresh[:1]) == before.oom_prices(rows[:1])


def test_the_newest_of_several_checkpoints_counts_and_none_is_newer_than_what_was_learned_since():
    made = steering(*[TIGHT] * 4)
    made.relearn({"slack": 0.2, "log": 0.5, "hour": 10.0})
    made.relearn({"slack": 0.2, "log": 0.1, "hour": 9.0})
    assert np.log(made.factor(TIGHT)) == pytest.approx(0.5)
    made.relearn({"slack": 0.2, "log": 99.0, "hour": 11.0})
    assert np.log(made.factor(TIGHT)) == pytest.approx(MOST_LOG)
    usage = np.full((4, 12), 70 * MIB)
    made.learn(ROWS, usage, np.full(4, 100 * MIB), np.zeros(4), hour=12)
    learned = made.factor(TIGHT)
    made.relearn({"slack": 0.2, "log": 0.0, "hour": 11.5})
    assert made.factor(TIGHT) == learned
    for senseless in ({}, {"slack": 0.2}, {"slack": 0.2, "log": float("nan"), "hour": 20.0}):
        made.relearn(senseless)
    assert made.factor(TIGHT) == learned
    assert steering(None, TIGHT, TIGHT, TIGHT).learned(0) == {}
