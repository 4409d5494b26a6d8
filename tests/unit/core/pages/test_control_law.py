"""The law of reclaim: what it takes, and above all when it takes nothing."""

import math
from dataclasses import replace

import pytest

from plimsoll.api.effective import Importance
from plimsoll.api.reclaim import Reclaim, ReclaimMode
from plimsoll.pages.control_bandit import ARMS
from plimsoll.pages.control_law import FIRST_PAUSE_SECONDS, FLOOR_RATIO, ReclaimLaw
from plimsoll.pages.control_types import ContainerReading, Reason, ReclaimPolicy

MIB = 1 << 20
NOW = 1_700_000_000.0
COLD = ReclaimPolicy(ReclaimMode.COLD)
READING = ContainerReading(
    now_seconds=NOW,
    usage_bytes=1024 * MIB,
    stall_seconds_total=5.0,
    pressure_avg10_ratio=0.0,
    refault_bytes_total=0,
    file_bytes=256 * MIB,
    swap_room_bytes=1024 * MIB,
    working_set_bytes=1024 * MIB,
    cold_bytes=700 * MIB,
    touched_bytes=324 * MIB,
)


def later(reading: ContainerReading, seconds: float = 2.0, **changed: object) -> ContainerReading:
    return replace(reading, now_seconds=reading.now_seconds + seconds, **changed)


def running(law: ReclaimLaw, readings: int = 30) -> ContainerReading:
    """A law that has been reclaiming for a minute without any trouble."""
    reading = READING
    for _ in range(readings):
        reading = later(reading)
        decision = law.step(reading)
        law.settle(decision.reclaim_bytes, decision.reclaim_bytes)
    return reading


def test_reclaims_what_is_cold_once_there_is_something_to_compare_with():
    law = ReclaimLaw(COLD, ARMS[2])
    assert law.step(READING).reason is Reason.LEARNING
    taken = [law.step(later(READING, 2.0 * each)) for each in range(1, 10)]
    assert {each.reason for each in taken} == {Reason.RECLAIM}
    assert all(0 < each.reclaim_bytes <= 700 * MIB for each in taken)
    assert "cold" in taken[0].sentence


@pytest.mark.parametrize("missing", ["stall_seconds_total", "refault_bytes_total"])
def test_holds_when_what_would_show_harm_is_missing(missing: str):
    law = ReclaimLaw(COLD)
    reading = running(law)
    decision = law.step(later(reading, **{missing: None}))
    assert (decision.reclaim_bytes, decision.reason) == (0, Reason.UNKNOWN)
    # The first reading after that has nothing to be compared with.
    assert law.step(later(reading, 4.0)).reason is Reason.LEARNING


def test_holds_without_a_policy():
    assert ReclaimLaw(ReclaimPolicy()).step(READING).reason is Reason.OFF


@pytest.mark.parametrize("seconds", [0.0, -3600.0, 7 * 86_400.0])
def test_a_clock_that_leaps_holds_and_does_not_count(seconds: float):
    law = ReclaimLaw(COLD, ARMS[2])
    reading = running(law)
    before = law.budget.balance_bytes
    decision = law.step(later(reading, seconds))
    assert (decision.reclaim_bytes, decision.reason) == (0, Reason.CLOCK)
    assert law.budget.balance_bytes == before


def test_counters_that_start_anew_hold():
    law = ReclaimLaw(COLD)
    reading = running(law)
    assert law.step(later(reading, stall_seconds_total=0.0)).reason is Reason.CLOCK


@pytest.mark.parametrize(
    "changed",
    [
        {"stall_seconds_total": 5.1},
        {"pressure_avg10_ratio": 0.02},
    ],
)
def test_pressure_stops_it_within_one_reading_and_it_pauses(changed: dict[str, float]):
    law = ReclaimLaw(COLD, ARMS[3])
    reading = running(law)
    decision = law.step(later(reading, **changed))
    assert (decision.reclaim_bytes, decision.reason) == (0, Reason.PRESSURE)
    calm = {"stall_seconds_total": changed.get("stall_seconds_total", 5.0)}
    assert law.step(later(reading, FIRST_PAUSE_SECONDS, **calm)).reason is Reason.BACKING_OFF
    again = [law.step(later(reading, seconds, **calm)) for seconds in (12.5, 14.5, 16.5, 18.5)]
    assert again[-1].reclaim_bytes > 0


def paused(law: ReclaimLaw, reading: ContainerReading) -> tuple[float, ContainerReading]:
    """For how many seconds it takes nothing from a reading on, and the reading at which it does again."""
    began = reading.now_seconds
    while law.step(reading := later(reading, 1.0)).holds:
        assert reading.now_seconds - began < 1000.0
    return reading.now_seconds - began, reading


def test_each_pause_after_a_pause_is_twice_as_long():
    law = ReclaimLaw(COLD, ARMS[3])
    reading, waits = running(law), []
    for number in range(1, 4):
        reading = later(reading, 1.0, stall_seconds_total=5.0 + number)
        assert law.step(reading).reason is Reason.PRESSURE
        seconds, reading = paused(law, reading)
        waits.append(seconds)
    assert waits == [10.0, 20.0, 40.0]


def test_a_stall_of_eight_seconds_is_one_pause():
    law = ReclaimLaw(COLD, ARMS[3])
    reading = running(law)
    for second in range(1, 9):  # looks at PSI, and once besides a trigger
        law.notice_pressure(reading.now_seconds + second)
    law.notice_pressure(reading.now_seconds + 8.0)
    reading = later(reading, 8.0)
    assert law.step(reading).reason is Reason.BACKING_OFF
    assert paused(law, reading)[0] == FIRST_PAUSE_SECONDS
    assert law.violations_total == 1


def test_an_average_that_still_shows_the_stall_makes_its_pause_longer_and_no_other():
    law = ReclaimLaw(COLD, ARMS[3])
    reading = running(law)
    for second in range(0, 40, 10):
        shown = later(reading, second + 10.0, pressure_avg10_ratio=0.5 * math.exp(-second / 10.0))
        assert law.step(shown).reason is Reason.PRESSURE
    assert law.violations_total == 1
    assert paused(law, replace(shown, pressure_avg10_ratio=0.0))[0] == FIRST_PAUSE_SECONDS


def test_a_trigger_between_two_readings_stops_it_too():
    law = ReclaimLaw(COLD, ARMS[2])
    reading = running(law)
    law.notice_pressure(reading.now_seconds + 1.0)
    assert law.step(later(reading)).reason is Reason.BACKING_OFF


def test_pace_falls_with_pressure_and_is_nothing_at_the_bound():
    def taken(stall: float) -> int:
        law = ReclaimLaw(COLD, ARMS[2])
        return law.step(later(running(law), stall_seconds_total=5.0 + stall)).reclaim_bytes

    calm, half, full = taken(0.0), taken(0.01), taken(0.0199)
    assert calm > half > 0
    assert half == pytest.approx(calm / 2, rel=0.01)
    assert full == 0


def test_a_bound_of_no_pressure_at_all_still_reclaims_where_there_is_none():
    law = ReclaimLaw(replace(COLD, max_pressure_ratio=0.0), ARMS[2])
    reading = running(law)
    assert law.step(later(reading)).reclaim_bytes > 0
    assert law.step(later(reading, 4.0, stall_seconds_total=5.0001)).reason is Reason.PRESSURE


def test_refaults_above_the_budget_stop_it_and_bring_back_where_the_policy_says_so():
    for prefetch in (False, True):
        law = ReclaimLaw(replace(COLD, prefetch=prefetch), ARMS[2])
        reading = running(law)
        decision = law.step(later(reading, refault_bytes_total=600 * MIB))
        assert (decision.reason, decision.reclaim_bytes) == (Reason.THRASHING, 0)
        assert decision.bring_back is prefetch


def test_no_swap_means_file_pages_only():
    law = ReclaimLaw(COLD, ARMS[3])
    running(law)
    decision = law.step(later(READING, 62.0, swap_room_bytes=0))
    assert decision.file_only
    assert decision.reclaim_bytes <= 256 * MIB
    none = law.step(later(READING, 64.0, swap_room_bytes=None, file_bytes=0))
    assert (none.reclaim_bytes, none.reason) == (0, Reason.NO_ROOM)


def test_a_floor_stays_however_cold_it_is():
    law = ReclaimLaw(COLD, ARMS[3])
    reading = replace(READING, cold_bytes=1024 * MIB)
    taken = 0
    for second in range(0, 36_000, 10):
        now = later(reading, second, usage_bytes=reading.usage_bytes - taken, cold_bytes=1024 * MIB - taken)
        decision = law.step(now)
        law.settle(decision.reclaim_bytes, decision.reclaim_bytes)
        taken += decision.reclaim_bytes
    assert reading.usage_bytes - taken > 0
    assert decision.reclaim_bytes <= (1.0 - FLOOR_RATIO) * now.usage_bytes


def test_nothing_cold_means_nothing_taken():
    law = ReclaimLaw(COLD, ARMS[3])
    reading = running(law)
    assert law.step(later(reading, cold_bytes=0)).reason is Reason.NOTHING_COLD


def test_who_cannot_tell_idle_memory_goes_at_the_slowest_pace():
    law = ReclaimLaw(COLD, ARMS[3])
    reading = running(law)
    blind = law.step(later(reading, 30.0, cold_bytes=None, touched_bytes=None))
    assert 0 < blind.reclaim_bytes <= ARMS[0].usage_ratio_per_minute * 1024 * MIB
    assert "careful" in blind.sentence


def test_a_small_container_is_reclaimed_in_steps_that_are_worth_a_call():
    law = ReclaimLaw(COLD)
    small = replace(READING, usage_bytes=20 * MIB, cold_bytes=10 * MIB, working_set_bytes=20 * MIB)
    steps = []
    for each in range(600):
        steps.append(law.step(later(small, 2.0 * each)).reclaim_bytes)
        law.settle(steps[-1], steps[-1])
    assert 0 < sum(each > 0 for each in steps) < 100
    assert min(each for each in steps if each) >= 256 << 10


def trial(law: ReclaimLaw, reading: ContainerReading) -> tuple[int, ContainerReading]:
    """How much is next taken on trial, and the reading at which."""
    for _ in range(200):
        decision = law.step(reading := later(reading))
        law.settle(decision.reclaim_bytes, decision.reclaim_bytes)
        if not decision.holds and "on trial" in decision.sentence:
            return decision.reclaim_bytes, reading
    raise AssertionError("nothing is taken on trial")


def test_what_the_account_cannot_pay_yet_is_taken_on_trial_and_a_stall_makes_the_next_one_small_again():
    law = ReclaimLaw(COLD)
    reading = replace(READING, touched_bytes=0)
    law.step(reading)
    sizes = []
    for _ in range(3):
        size, reading = trial(law, reading)
        sizes.append(size // MIB)
    assert sizes == [10, 20, 40]
    law.notice_pressure(reading.now_seconds + 1.0)
    assert law.step(later(reading)).reason is Reason.BACKING_OFF
    assert trial(law, later(reading, 4.0))[0] // MIB == 10


def test_nothing_is_taken_on_trial_where_nobody_can_tell_what_is_idle_nor_while_something_is_owed():
    law = ReclaimLaw(COLD)
    reading = replace(READING, touched_bytes=0)
    for _ in range(60):
        decision = law.step(reading := later(reading, cold_bytes=None))
        assert "on trial" not in decision.sentence
        law.settle(decision.reclaim_bytes, decision.reclaim_bytes)
    owing = ReclaimLaw(COLD)
    reading = running(owing)
    owing.step(reading := later(reading, refault_bytes_total=600 * MIB))
    for _ in range(600):
        reading = later(reading, touched_bytes=0)
        assert owing.step(reading).holds


def test_ahead_of_pressure_it_offers_on_trial_what_the_account_cannot_pay_and_one_trial_at_a_time():
    law = ReclaimLaw(COLD)
    law.step(replace(READING, touched_bytes=0))
    reading = later(READING, touched_bytes=0, pressure_forecast_ratio=1.0)
    assert law.step(reading).reason is Reason.FORESEEN
    offered = law.offer_bytes(reading.now_seconds)
    assert offered // MIB == 10
    assert law.offer_bytes(reading.now_seconds + 1.0) == offered  # nobody took it
    law.settle(offered, offered)
    assert law.offer_bytes(reading.now_seconds + 1.0) == 0
    decided = ReclaimLaw(COLD)
    decided.step(replace(READING, touched_bytes=0))
    assert decided.step(later(READING, touched_bytes=0)).reclaim_bytes // MIB == 10
    assert decided.offer_bytes(READING.now_seconds + 2.0) == 0


def lends(taken_mib: int | None) -> tuple[ReclaimLaw, ContainerReading]:
    """A law that could pay for more than it decided to take on trial, and what of that was taken."""
    law = ReclaimLaw(replace(COLD, refault_budget_ratio=0.05))
    law.step(READING)
    reading = later(READING)
    decision = law.step(reading)
    assert "on trial" in decision.sentence
    assert law.budget.allowance_bytes() > 20 * MIB
    if taken_mib is not None:
        law.settle(decision.reclaim_bytes, taken_mib * MIB)
    return law, reading


@pytest.mark.parametrize("taken_mib", [None, 0, 10])
def test_what_the_account_pays_for_after_a_loan_is_no_part_of_it(taken_mib: int | None):
    law, reading = lends(taken_mib)
    lent = law.probe.lent_bytes
    assert lent == (taken_mib or 0) * MIB
    paid = law.offer_bytes(reading.now_seconds + 1.0)
    assert paid > 0
    law.settle(paid, paid)
    assert law.probe.lent_bytes == lent


def test_of_a_loan_that_is_taken_in_parts_each_is_on_trial_and_what_goes_beyond_it_is_not():
    law, reading = ReclaimLaw(COLD), later(READING, touched_bytes=0)
    law.step(replace(READING, touched_bytes=0))
    lent = law.step(reading).reclaim_bytes
    for part in (4 * MIB, 4 * MIB, 4 * MIB):
        law.settle(part, part // 2)
    assert lent // MIB == 10
    assert law.probe.lent_bytes == pytest.approx(lent / 2)


def test_an_offer_on_trial_that_was_not_taken_is_no_loan_of_what_others_take():
    for ends in (ReclaimLaw.withdraw, lambda law: law.offer_bytes(NOW + 3600.0)):
        law, reading = ReclaimLaw(COLD), later(READING, touched_bytes=0, pressure_forecast_ratio=1.0)
        law.step(replace(READING, touched_bytes=0))
        law.step(reading)
        assert law.offer_bytes(reading.now_seconds) // MIB == 10
        ends(law)
        law.settle(8 * MIB, 8 * MIB)
        assert (law.probe.lent_bytes, law.budget.out_bytes) == (0, 8 * MIB)


def test_a_loan_that_was_not_acted_on_is_offered_again():
    law = ReclaimLaw(COLD)
    reading = replace(READING, touched_bytes=0)
    law.step(reading)
    said = [law.step(reading := later(reading)).reclaim_bytes for _ in range(3)]
    assert said[0] == said[1] == said[2] > 0


@pytest.mark.parametrize("seconds", [3600.0, 0.0, -60.0])
@pytest.mark.parametrize("left_alone", [False, True])
def test_what_came_back_while_nobody_looked_is_charged_and_what_was_never_out_is_not(seconds, left_alone):
    law = ReclaimLaw(COLD, ARMS[2])
    reading, out = running(law), law.budget.out_bytes
    assert out > 10 * MIB
    balance, misses = law.budget.balance_bytes, law.probe.misses_total
    if left_alone:
        law.policy = ReclaimPolicy()
        assert law.step(later(reading)).reason is Reason.OFF
        law.policy = COLD
    back = later(reading, seconds, refault_bytes_total=int(out) + 600 * MIB)
    assert law.step(back).reason is Reason.CLOCK
    assert law.budget.balance_bytes == pytest.approx(balance - out)
    assert law.budget.out_bytes == pytest.approx(0.0)
    assert law.probe.misses_total == misses + 1
    # Once, and not again.
    law.step(later(back, 1.0, touched_bytes=0))
    assert law.budget.balance_bytes == pytest.approx(balance - out, rel=0.05)


def test_once_nothing_comes_back_any_more_a_debt_is_a_matter_of_the_budget_alone():
    law = ReclaimLaw(COLD)
    reading = running(law)
    reading = later(reading, 10.0, refault_bytes_total=600 * MIB, touched_bytes=0)
    reasons = [law.step(later(reading, 10.0 * each)).reason for each in range(600)]
    assert reasons[0] is Reason.THRASHING
    assert set(reasons[400:]) == {Reason.BUDGET}
    assert law.violations_total == 1


def test_what_the_kernel_does_not_give_is_learnt():
    law = ReclaimLaw(COLD)
    for _ in range(20):
        law.settle(10 * MIB, MIB)
    assert law.yield_ratio == pytest.approx(0.1, abs=0.02)


def test_a_policy_of_the_api_is_taken_over_in_ratios():
    reclaim = Reclaim.model_validate({"mode": "Predictive", "maxPressure": 0.5, "refaultBudget": 0.02})
    policy = ReclaimPolicy.of(reclaim, Importance.HIGH, "MemoryPolicy shop/web")
    assert (policy.mode, policy.max_pressure_ratio) == (ReclaimMode.PREDICTIVE, 0.005)
    assert (policy.refault_budget_ratio, policy.importance) == (0.02, Importance.HIGH)


def test_pressure_that_is_only_foreseen_holds_the_pace_and_punishes_nobody():
    law = ReclaimLaw(COLD, ARMS[3])
    reading = running(law)
    assert law.step(later(reading, pressure_forecast_ratio=0.5)).reason is Reason.FORESEEN
    assert law.violations_total == 0
    assert law.step(later(reading, 4.0)).reclaim_bytes > 0


def test_ahead_of_pressure_it_offers_what_is_cold_within_the_account_whatever_the_pace():
    law = ReclaimLaw(COLD, ARMS[0])
    reading = later(running(law), pressure_forecast_ratio=1.0)
    assert law.step(reading).reason is Reason.FORESEEN
    offered = law.offer_bytes(reading.now_seconds + 1.0)
    assert 0 < offered <= min(700 * MIB, law.budget.allowance_bytes())
    law.settle(offered, offered)
    assert law.offer_bytes(reading.now_seconds + 1.0) < offered


@pytest.mark.parametrize(
    "changed",
    [
        {"stall_seconds_total": 5.1},
        {"refault_bytes_total": 600 * MIB},
        {"cold_bytes": None},
        {"cold_bytes": 0},
        {"refault_bytes_total": None},
        {"swap_room_bytes": 0, "file_bytes": 0},
    ],
)
def test_it_offers_nothing_where_nothing_may_be_taken(changed: dict[str, object]):
    law = ReclaimLaw(COLD, ARMS[3])
    reading = later(running(law), **changed)
    law.step(reading)
    assert law.offer_bytes(reading.now_seconds) == 0


def test_it_offers_nothing_on_a_reading_that_is_old_or_of_another_time():
    law = ReclaimLaw(COLD, ARMS[3])
    reading = running(law)
    assert law.offer_bytes(reading.now_seconds) > 0
    assert law.offer_bytes(reading.now_seconds + 31.0) == 0
    assert law.offer_bytes(reading.now_seconds - 1.0) == 0
    law.notice_pressure(reading.now_seconds)
    assert law.offer_bytes(reading.now_seconds + 1.0) == 0
