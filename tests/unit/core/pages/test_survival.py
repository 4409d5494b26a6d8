import math

import numpy as np
import pytest

from plimsoll.pages.cold import PAGE_POLICIES, page_policy
from plimsoll.pages.survival import (
    AGE_EDGES,
    BINS,
    LEAST_COLD_SECONDS,
    SurvivalModel,
    dequantised,
    prior_hazard,
    quantised,
)
from plimsoll.pages.working_set import IdleAges

MIB = float(1 << 20)
EDGES = np.append(AGE_EDGES, np.inf)
IDLE = AGE_EDGES >= LEAST_COLD_SECONDS


def lived(
    hazard_per_second: float, seconds: int = 3600, blocks: int = 4000, hot: int = 1000
) -> tuple[SurvivalModel, IdleAges]:
    """A model that watched blocks of a MiB: some hot, the others with one hazard whatever their age."""
    rng = np.random.default_rng(7)
    last = np.zeros(blocks)
    model, before = SurvivalModel(), None
    for now in range(30, seconds, 30):
        touched = rng.random(blocks) < 1.0 - math.exp(-30.0 * hazard_per_second)
        touched[:hot] = True
        last[touched] = now
        edges = np.append(np.arange(0.0, now + 30.0, 30.0), np.inf)  # a birth every thirty seconds
        amounts, _ = np.histogram(now - last, edges, weights=np.full(blocks, MIB))
        after = IdleAges(edges, amounts.astype(float))
        if before is not None:
            model.observe(before, after, 30.0, 0.0)
        before = after
    assert before is not None
    return model, before


def returns_per_second(model: SurvivalModel, ages: IdleAges, threshold_seconds: float) -> float:
    """Bytes expected back each second, if all that is idle for longer were taken."""
    starts = np.maximum(AGE_EDGES, threshold_seconds)
    idle = np.array([ages.idle_bytes(start) for start in starts])
    return float((np.clip(idle - np.append(idle[1:], 0.0), 0.0, None) * model.hazard).sum())


@pytest.mark.parametrize("hazard", [1e-4, 1e-3])
def test_learns_how_often_idle_memory_comes_back(hazard: float):
    model, ages = lived(hazard)
    expected = hazard * ages.idle_bytes(160.0)
    assert returns_per_second(model, ages, 160.0) == pytest.approx(expected, rel=0.5)


def test_the_threshold_rises_with_a_smaller_budget_and_is_none_without_any():
    model, ages = lived(1e-3)
    generous, tight = (model.threshold_seconds(ages, each * MIB) for each in (10.0, 0.2))
    assert generous == LEAST_COLD_SECONDS < tight
    assert model.threshold_seconds(ages, 0.0) == 5120.0, "an hour was seen: nothing is older"
    old = IdleAges(np.array([0.0, AGE_EDGES[-1], np.inf]), np.array([MIB, MIB]))
    assert model.threshold_seconds(old, 0.0) == math.inf


def test_memory_that_never_comes_back_is_cold_soon():
    quiet, ages = lived(1e-6)
    busy, same = lived(1e-2)
    assert quiet.threshold_seconds(ages, MIB) < busy.threshold_seconds(same, MIB)


def test_a_clock_that_leaps_teaches_nothing():
    model, ages = SurvivalModel(), IdleAges(EDGES, np.full(BINS, MIB))
    for elapsed in (0.0, -5.0, 1e9):
        model.observe(ages, ages, elapsed, 0.0)
    assert model.observations == 0


def test_int8_keeps_a_hazard_within_a_few_percent():
    hazard = lived(1e-3)[0].hazard
    back = dequantised(quantised(hazard))
    assert np.max(np.abs(back / np.clip(hazard, 1e-7, 1.0) - 1.0)) < 0.035
    assert np.array_equal(quantised(back), quantised(hazard))


def test_int8_tables_decide_nearly_as_floats_do():
    model, ages = lived(1e-3)
    small = SurvivalModel(prior=dequantised(quantised(model.hazard)))
    for mib in (0.5, 1.0, 2.0, 5.0):
        exact, near = (each.threshold_seconds(ages, mib * MIB) for each in (model, small))
        assert 0.5 <= near / exact <= 2.0 if math.isfinite(exact) else math.isinf(near)


@pytest.mark.parametrize("table", [np.zeros(3, np.int8), np.zeros(BINS, np.int16)])
def test_a_table_of_another_shape_is_refused(table):
    with pytest.raises(ValueError, match="int8"):
        dequantised(table)


def test_the_loss_falls_while_it_learns():
    first, _ = lived(1e-3, seconds=120)
    later, _ = lived(1e-3, seconds=7200)
    assert later.loss < first.loss


def test_policies_by_name():
    ages = IdleAges(np.array([0.0, 120.0, np.inf]), np.array([10 * MIB, 30 * MIB]))
    model = SurvivalModel()
    assert page_policy("lru")(ages, model, MIB) is None
    assert page_policy("idle-age")(ages, model, MIB).cold_bytes == 30 * MIB
    assert page_policy("survival")(ages, model, 0.0).cold_bytes == 0
    assert page_policy("survival")(ages, model, 1e12).cold_bytes == 30 * MIB
    with pytest.raises(KeyError, match="idle-age"):
        page_policy("guess")
    assert set(PAGE_POLICIES) == {"lru", "idle-age", "survival"}
    assert np.all(np.diff(prior_hazard()) < 0)


def test_memory_of_one_age_in_a_wide_bin_shows_no_return():
    """Generations have wide bins: what lies in one moves on in time without anything having come back."""
    model = SurvivalModel()
    for step in range(60):
        births = np.array([0.0, 60.0, 600.0]) + 30.0 * step * np.array([0, 1, 1])
        model.observe(
            IdleAges(np.append(births, np.inf), np.array([0.0, MIB, 500 * MIB])),
            IdleAges(np.append(births + np.array([0, 30, 30]), np.inf), np.array([0.0, MIB, 500 * MIB])),
            30.0,
            0.0,
        )
    assert model.returned_bytes.sum() == 0.0
    assert model.observations == 60


@pytest.mark.parametrize("seed", range(8))
def test_the_threshold_is_the_lowest_edge_beyond_which_returns_stay_within_the_budget(seed):
    rng = np.random.default_rng(seed)
    edges = np.append(np.cumsum(np.append(0.0, rng.uniform(3.0, 400.0, 20))), np.inf)
    ages = IdleAges(edges, rng.uniform(0.0, 64.0, 21) * (1 << 20))
    model = SurvivalModel()
    model.returned_bytes = rng.uniform(0.0, 4.0, BINS) * (1 << 20)
    model.idle_byte_seconds = rng.uniform(0.0, 9000.0, BINS) * (1 << 20)
    fits = [edge for edge in AGE_EDGES if edge >= LEAST_COLD_SECONDS]
    for budget in (0.0, *np.geomspace(1.0, 1e8, 12)):
        slow = (edge for edge in fits if returns_per_second(model, ages, float(edge)) <= budget * (1 + 1e-9))
        found = model.threshold_seconds(ages, budget * (1 + 1e-9))
        assert found == next(slow, float("inf"))


def reclaimed(
    per_minute: float, age_every_seconds: float = 60.0, hazard_per_second: float = 0.0, minutes: int = 40
) -> tuple[SurvivalModel, IdleAges, float]:
    """40 minutes of 50 MiB that are hot and 200 that are not, of which so much goes each minute: the model,
    the last histogram, and what is left of the cold."""
    model, before, births, taken, cold = SurvivalModel(), None, [-600.0, -60.0, -30.0, 0.0], 0.0, 200 * MIB
    hot = 50 * MIB
    for step in range(1, 4 * minutes + 1):
        now, taken = 15.0 * step, per_minute / 4.0 * cold
        back = (cold - taken) * (1.0 - math.exp(-15.0 * hazard_per_second))
        cold, hot = cold - taken - back, hot + back
        edges = np.array([0.0, *sorted(now - birth for birth in births[1:]), np.inf])
        ages = IdleAges(edges, np.array([hot, *[0.0] * (len(edges) - 3), cold]))
        if before is not None:
            model.observe(before, ages, 15.0, taken)
        before = ages
        if now - births[-1] >= age_every_seconds:
            births = [*births[1:], now]
    assert before is not None
    return model, before, cold


@pytest.mark.parametrize("per_minute", [0.0, 0.01, 0.05])
@pytest.mark.parametrize("age_every_seconds", [60.0, 240.0])
def test_what_is_cold_stays_cold_while_it_is_taken(per_minute: float, age_every_seconds: float):
    model, ages, left = reclaimed(per_minute, age_every_seconds)
    found = page_policy("survival")(ages, model, 0.01 * 50 * MIB / 60.0)
    assert found.cold_bytes == pytest.approx(left, rel=1e-6)
    assert model.observations > 100
    assert model.returned_bytes[IDLE].sum() < 1.0


def test_returns_are_learnt_beside_what_is_taken():
    seen, _, _ = reclaimed(0.05, hazard_per_second=1e-3, minutes=20)
    rate = seen.returned_bytes[IDLE].sum() / seen.idle_byte_seconds[IDLE].sum()
    assert rate == pytest.approx(1e-3, rel=0.1)


def test_what_was_taken_teaches_by_its_refaults_and_by_staying_away():
    rates = []
    for refault_ratio in (0.0, 0.03):
        model, ages, out = SurvivalModel(prior=np.full(BINS, 1e-7)), None, 0.0
        for step in range(41):
            births = np.array([0.0, 60.0, 600.0]) + 15.0 * step * np.array([0, 1, 1])
            cold = 200.0 * MIB - 4.0 * MIB * step
            before, ages = ages, IdleAges(np.append(births, np.inf), np.array([50 * MIB, 0.0, cold]))
            if before is not None:
                back = refault_ratio * out
                out += 4.0 * MIB - back
                assert model.observe(before, ages, 15.0, 4.0 * MIB, back) is not None
        rates.append(model.hazard[AGE_EDGES >= 320.0].max())
        assert model.out_bytes.sum() == pytest.approx(out, rel=0.1), "it fades within an hour"
    assert rates[0] < 1e-6
    share_out = out / (out + 120.0 * MIB)
    assert 0.3 * share_out * 0.03 / 15.0 < rates[1] < 0.03 / 15.0


def test_where_nobody_counts_refaults_what_is_out_teaches_nothing():
    births = np.array([0.0, 60.0, 600.0])
    looks = [
        IdleAges(np.append(births + seconds * np.array([0, 1, 1]), np.inf), np.array([0.0, MIB, cold * MIB]))
        for seconds, cold in ((0, 500), (30, 400), (60, 400))
    ]
    known, unknown = SurvivalModel(), SurvivalModel()
    for model, refaulted in ((known, 0.0), (unknown, None)):
        for before, after, taken in zip(looks, looks[1:], (100 * MIB, 0.0), strict=False):
            assert model.observe(before, after, 30.0, taken, refaulted) is not None
    assert known.out_bytes.sum() == unknown.out_bytes.sum() > 90 * MIB
    more = known.idle_byte_seconds.sum() - unknown.idle_byte_seconds.sum()
    assert more == pytest.approx(30.0 * 100 * MIB, rel=0.02)


@pytest.mark.parametrize("taken", [None, math.nan, math.inf, -4096.0])
def test_nothing_is_learnt_where_nobody_knows_what_was_reclaimed(taken):
    births = np.array([0.0, 60.0, 600.0])
    before = IdleAges(np.append(births, np.inf), np.array([0.0, MIB, 500 * MIB]))
    after = IdleAges(np.append(births + np.array([0, 30, 30]), np.inf), np.array([0.0, MIB, 400 * MIB]))
    model = SurvivalModel()
    assert model.observe(before, after, 30.0, taken) is None
    assert model.observations == 0
    assert model.observe(before, after, 30.0, 0.0) is not None


def test_reclaim_of_other_memory_than_was_compared_teaches_nothing():
    births = np.array([0.0, 60.0, 600.0])
    before = IdleAges(np.append(births, np.inf), np.array([0.0, MIB, 500 * MIB]))
    after = IdleAges(np.append(births + np.array([0, 30, 30]), np.inf), np.array([0.0, MIB, 490 * MIB]))
    model = SurvivalModel()
    assert model.observe(before, after, 30.0, 40 * MIB) is None, "a stream of files was reclaimed, say"
    assert model.observe(before, after, 30.0, 10.5 * MIB) is not None, "counters are not read at one moment"
    assert model.returned_bytes.sum() == 0.0


@pytest.mark.parametrize("age_seconds", [60.0, 150.0, 240.0])
def test_memory_touched_every_second_is_never_cold_however_old_its_generation(age_seconds: float):
    edges = np.array([0.0, age_seconds, age_seconds + 240.0, age_seconds + 480.0, np.inf])
    ages = IdleAges(edges, np.array([1024.0, 0.0, 0.0, 0.0]) * MIB)
    model = SurvivalModel(prior=np.full(BINS, 1e-7))
    for name in ("idle-age", "survival"):
        assert page_policy(name)(ages, model, 1.0).cold_bytes == 0
    assert ages.working_set_bytes(60.0) == 1024 * MIB
