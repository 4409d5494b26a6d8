"""Usage-aware shrink from both sides: no limit falls before the memory is back, and failures are undone."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plimsoll.coordinate.messages import ShrinkReport, ShrinkStage
from plimsoll.coordinate.shrink import (
    ENDED,
    Shrink,
    ShrinkSettings,
    Step,
    Subject,
    asked,
    heard,
    may_write,
    rolled_back,
    superseded,
    ticked,
    written,
)
from plimsoll.coordinate.towards import Towards, TowardsReading, TowardsTarget

MIB = 1 << 20
SETTINGS = ShrinkSettings()


def begun(target_mib: int = 60) -> Shrink:
    return asked(1, Subject("pod", "app", "c1", "node-a"), 100 * MIB, target_mib * MIB, 0.0)


def said(
    stage: ShrinkStage, remaining_mib: float, reason: str = "", kills: int = 0, max_mib: int | None = 100
) -> ShrinkReport:
    memory_max = None if max_mib is None else max_mib * MIB
    return ShrinkReport(1, stage, int(remaining_mib * MIB), memory_max, reason, kills)


def hears(shrink: Shrink, report: ShrinkReport, now: float) -> Shrink:
    return heard(shrink, report, now, SETTINGS)


def ticks(shrink: Shrink, now: float, *, present=True, limit=100, in_force=100) -> Shrink:
    return ticked(
        shrink, now, SETTINGS, present=present, limit_bytes=limit * MIB, in_force_bytes=in_force * MIB
    )


def test_a_limit_falls_when_the_agent_has_made_room_and_the_kernel_holds_it():
    shrink = hears(begun(), said(ShrinkStage.RECLAIMING, 80), 1.0)
    assert (shrink.step, may_write(shrink, 1.0, SETTINGS)) == (Step.ASKED, False)
    shrink = hears(shrink, said(ShrinkStage.REACHED, 56), 2.0)
    assert may_write(shrink, 3.0, SETTINGS)
    shrink = written(shrink, 3.0)
    assert shrink.request.written
    assert hears(shrink, said(ShrinkStage.OBSERVED, 56, max_mib=60), 4.0).step is Step.DONE


def test_room_that_was_seen_too_long_ago_is_no_room():
    shrink = hears(begun(), said(ShrinkStage.REACHED, 50), 2.0)
    assert not may_write(shrink, 2.0 + SETTINGS.fresh_seconds + 0.1, SETTINGS)
    assert not may_write(shrink, 1.0, SETTINGS)  # a clock that leapt back


def test_memory_that_is_taken_again_takes_the_room_away():
    shrink = hears(begun(), said(ShrinkStage.REACHED, 50), 2.0)
    assert hears(shrink, said(ShrinkStage.RECLAIMING, 70), 3.0).step is Step.ASKED


def test_what_the_agent_cannot_take_sets_how_far_the_limit_falls():
    shrink = hears(begun(), said(ShrinkStage.STOPPED, 70, "pressure"), 9.0)
    assert (shrink.step, shrink.target_bytes) == (Step.ROOM, 74 * MIB)
    assert "70.0 MiB are left: pressure" in shrink.reason


def test_a_gain_that_is_not_worth_it_is_abandoned_with_the_agents_reason():
    shrink = hears(begun(), said(ShrinkStage.STOPPED, 95, "pressure"), 9.0)
    assert (shrink.step, shrink.reason) == (Step.ABANDONED, "95.0 MiB are left: pressure")


def test_a_kernel_that_never_holds_the_limit_is_rolled_back():
    shrink = written(hears(begun(), said(ShrinkStage.REACHED, 50), 2.0), 3.0)
    assert ticks(shrink, 60.0, limit=60).step is Step.WRITTEN
    shrink = ticks(shrink, 64.0, limit=60)
    assert (shrink.step, "in force" in shrink.reason) == (Step.ROLL_BACK, True)
    assert rolled_back(shrink, 65.0).step is Step.ROLLED_BACK


def to_be_taken_back() -> Shrink:
    shrink = written(hears(begun(), said(ShrinkStage.REACHED, 50), 2.0), 3.0)
    return hears(shrink, said(ShrinkStage.OBSERVED, 50, kills=1), 4.0)


@pytest.mark.parametrize("limit", [100, 120])
def test_a_roll_back_ends_where_the_old_limit_is_there_whoever_set_it(limit):
    assert ticks(to_be_taken_back(), 5.0, limit=60).step is Step.ROLL_BACK
    assert ticks(to_be_taken_back(), 5.0, limit=limit).step is Step.ROLLED_BACK


def test_a_roll_back_that_the_guards_never_let_through_ends_with_its_reason():
    shrink = to_be_taken_back()
    assert ticks(shrink, 604.0, limit=60).step is Step.ROLL_BACK
    shrink = ticks(shrink, 605.0, limit=60)
    assert shrink.step is Step.SUPERSEDED
    assert shrink.reason == "the container was OOM-killed meanwhile; the old limit was not let through"


@pytest.mark.parametrize("limit", [50, 80, 100, 120])
def test_a_limit_that_something_else_sets_after_the_write_is_neither_waited_for_nor_taken_back(limit):
    shrink = written(hears(begun(), said(ShrinkStage.REACHED, 50), 2.0), 3.0)
    shrink = ticks(shrink, 4.0, limit=limit)
    assert (shrink.step, shrink.ended) == (Step.SUPERSEDED, True)
    assert f"to {limit}.0 MiB" in shrink.reason
    assert superseded(to_be_taken_back(), "a raise", 5.0).step is Step.SUPERSEDED


def test_an_oom_kill_after_the_write_is_rolled_back_and_one_before_ends_it():
    shrink = hears(begun(), said(ShrinkStage.REACHED, 50), 2.0)
    assert hears(shrink, said(ShrinkStage.REACHED, 50, kills=1), 3.0).step is Step.ABANDONED
    assert hears(written(shrink, 3.0), said(ShrinkStage.OBSERVED, 50, kills=1), 4.0).step is Step.ROLL_BACK


def test_kills_before_the_shrink_do_not_count():
    shrink = hears(begun(), said(ShrinkStage.RECLAIMING, 80, kills=3), 1.0)
    assert hears(shrink, said(ShrinkStage.RECLAIMING, 70, kills=3), 2.0).step is Step.ASKED


def test_without_the_agent_nothing_is_written_and_what_was_written_is_seen_by_the_kubelet():
    assert ticks(begun(), 5.0, present=False).step is Step.ABANDONED
    shrink = written(hears(begun(), said(ShrinkStage.REACHED, 50), 2.0), 3.0)
    assert ticks(shrink, 70.0, present=False, limit=60, in_force=60).step is Step.DONE


def test_a_limit_that_somebody_else_sets_ends_it():
    assert ticks(begun(), 5.0, limit=90).reason == "the limit is 90.0 MiB now, set by somebody else"


def test_time_ends_an_ask():
    assert ticks(begun(), 124.0).step is Step.ASKED
    assert ticks(begun(), 126.0).step is Step.ABANDONED


def test_a_report_of_another_shrink_changes_nothing():
    report = ShrinkReport(2, ShrinkStage.REACHED, 1, 1)
    assert hears(begun(), report, 1.0) == begun()


def test_what_is_no_shrink_is_refused():
    with pytest.raises(ValueError, match="no shrink"):
        begun(100)


STAGES = st.sampled_from(list(ShrinkStage))
REPORTS = st.builds(
    ShrinkReport, st.integers(1, 2), STAGES, st.integers(0, 200 * MIB), st.none() | st.integers(0, 200 * MIB),
    st.just("why"), st.integers(0, 2),
)  # fmt: skip
HAPPENS = st.lists(
    st.tuples(st.floats(0, 20), REPORTS | st.sampled_from(["tick", "away", "write", "replace"])), max_size=40
)


@settings(max_examples=200, deadline=None)
@given(HAPPENS)
def test_no_limit_ever_falls_without_fresh_room_and_every_end_is_final(happenings):
    shrink, now = begun(), 0.0
    for passed, event in happenings:
        now += passed
        before = shrink
        if isinstance(event, ShrinkReport):
            shrink = hears(shrink, event, now)
        elif event == "write":
            if may_write(shrink, now, SETTINGS):
                assert shrink.remaining_bytes is not None
                assert shrink.remaining_bytes <= shrink.target_bytes < shrink.from_bytes
                assert now - shrink.heard_seconds <= SETTINGS.fresh_seconds
                shrink = written(shrink, now)
        elif event == "replace":
            shrink = superseded(shrink, "another target", now)
        else:
            in_spec = 60 if before.step in (Step.WRITTEN, Step.ROLL_BACK) else 100
            shrink = ticks(shrink, now, present=event == "tick", limit=in_spec)
        if before.step in ENDED:
            assert shrink == before
        if before.step is Step.WRITTEN:
            assert shrink.step in (Step.WRITTEN, Step.DONE, Step.ROLL_BACK, Step.SUPERSEDED)
        if shrink.step in (Step.ABANDONED, Step.ROLL_BACK, Step.SUPERSEDED):
            assert shrink.reason


def run_towards(usage_mib: float, floor_mib: float, pressure: float = 0.0, target_mib: int = 60) -> tuple:
    """A container whose kernel gives everything above `floor_mib`; a step a second."""
    towards = TowardsTarget(begun(target_mib).request, 0.01, 0.0)
    usage, steps, last = usage_mib * MIB, 0, Towards(0, ShrinkStage.RECLAIMING)
    for second in range(200):
        last = towards.step(TowardsReading(float(second), int(usage), pressure))
        if last.stage is ShrinkStage.STOPPED or (
            last.stage is ShrinkStage.REACHED and not last.reclaim_bytes
        ):
            break
        taken = min(last.reclaim_bytes, max(0.0, usage - floor_mib * MIB))
        assert last.reclaim_bytes <= max(4 * MIB, usage * 0.1)
        usage -= taken
        steps += 1
        towards.settle(last.reclaim_bytes, int(taken))
    return last, usage / MIB, steps


def test_the_agent_takes_by_steps_until_there_is_room_and_some_more():
    last, left, steps = run_towards(100, 10)
    assert last.stage is ShrinkStage.REACHED
    assert 55 <= left <= 56.5
    assert steps >= 5


def test_a_kernel_that_gives_nothing_is_believed_after_three_times():
    last, left, _ = run_towards(100, 80)
    assert (last.stage, last.reason) == (ShrinkStage.STOPPED, "the kernel has nothing more to give")
    assert left == pytest.approx(80)


def test_under_pressure_nothing_is_taken_and_the_time_runs_out():
    last, left, _ = run_towards(100, 10, pressure=0.05)
    assert (last.stage, last.reason, left) == (ShrinkStage.STOPPED, "the time is over", 100)


@pytest.mark.parametrize("reading", [TowardsReading(1.0, None, 0.0), TowardsReading(1.0, MIB, None)])
def test_what_cannot_be_read_stops_it_for_good(reading):
    towards = TowardsTarget(begun().request, 0.01, 0.0)
    assert towards.step(reading).stage is ShrinkStage.STOPPED
    assert towards.step(TowardsReading(2.0, 100 * MIB, 0.0)).reclaim_bytes == 0
