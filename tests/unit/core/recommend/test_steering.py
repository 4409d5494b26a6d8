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
