"""Needed memory in the engine: what agents say is what histories are told, and nothing else is guessed."""

import math
from dataclasses import replace

import numpy as np
import pytest

from builders.engine import MIB, NOW, ScriptedSource, member
from builders.engine_rows import inside
from plimsoll.pipeline import LimitPipeline
from plimsoll.recommend.row_policy import RowPolicy
from plimsoll.usage.needed import Basis
from plimsoll_operator.engine.core import NEED_UNKNOWN, EngineCore
from plimsoll_operator.engine.frames import Sync
from plimsoll_operator.engine.messages import EngineSettings, Needs, OomEvent

NEEDED = RowPolicy(needed=True)
STEP = 900.0
HOUR = 3600.0


def engine(*members, **use):
    source = ScriptedSource()
    for pod, used in use.items():
        source.set(pod, used * MIB)
    core = EngineCore(EngineSettings(interval_seconds=60.0), source)
    core.sync(Sync(members, ()))
    return core, source


def says(core, now_seconds, needed_mib, pod="a", used_mib=500.0, usage_mib=520.0, unsure_mib=math.nan):
    """An agent's word; an older one's says of nothing that it is unsure."""
    columns = (np.array([each * MIB]) for each in (usage_mib, used_mib, needed_mib, unsure_mib))
    core.tell_needs(Needs(((f"uid-{pod}", "app"),), np.array([now_seconds]), *columns))


def lives(core, seconds, start=NOW, **said):
    """Ticks every quarter of an hour, each after the agent's word."""
    tick = None
    for step in range(int(seconds // STEP)):
        now = start + step * STEP
        if said:
            says(core, now, **said)
        tick = core.tick(now)
    return tick, start + seconds


def within_a_search(used_mib, unsure_mib):
    """At the agent's first word, by which so much of what is used may turn out not to be needed."""
    core, source = engine(member(0, "a", limit=192 * MIB, policy=NEEDED), a=used_mib)
    core.tick(NOW)
    says(core, NOW + 60.0, used_mib, used_mib=used_mib, usage_mib=used_mib, unsure_mib=unsure_mib)
    core.tick(NOW + 60.0)
    return core, source


def basis(tick):
    return [Basis(code) for code in tick.bases.codes.tolist()]


def test_a_limit_is_made_for_what_is_needed_and_falls_by_it():
    core, _ = engine(member(0, "a", limit=512 * MIB, policy=NEEDED), a=500.0)
    plain, _ = engine(member(0, "a", limit=512 * MIB), a=500.0)
    lives(core, 30 * HOUR, needed_mib=200.0)
    lives(plain, 30 * HOUR)
    now = NOW + 30 * HOUR
    says(core, now, 200.0)
    tick, other = core.tick(now, everything=True), plain.tick(now, everything=True)
    assert basis(tick) == [Basis.NEEDED]
    assert tick.bases.needed_bytes.tolist() == [200.0 * MIB]
    assert 200 * MIB < tick.recommendations.target_bytes[0] < 300 * MIB
    assert other.recommendations.target_bytes[0] >= 500 * MIB
    assert basis(other) == []
    assert tick.usage.current_bytes.tolist() == [500.0 * MIB]  # the guards see what is used


def test_a_word_that_jumps_asks_for_no_more_than_use_alone_does():
    """A container that suffers every three hours needs a fifth of its memory, and then all of it."""
    core, _ = engine(member(0, "a", limit=1024 * MIB, policy=NEEDED), a=500.0)
    plain, _ = engine(member(0, "a", limit=1024 * MIB), a=500.0)
    for step in range(48 * 4):
        now = NOW + step * STEP
        says(core, now, 100.0 if step % 12 else 520.0)
        tick, other = core.tick(now), plain.tick(now)
        assert len(tick.raises.rows) <= len(other.raises.rows)
    now += STEP
    says(core, now, 100.0)
    needed, used = (each.tick(now, everything=True).recommendations.target_bytes[0] for each in (core, plain))
    assert needed <= used * 1.0001
    # What was needed alone would ask for more: that is what the bound is for.
    store = core.rows.store(0)
    alone = LimitPipeline.decide_seen(store.pipeline, store.pipeline.look(core.rows.place(0), now), now)
    assert alone.target_bytes[0] > 2.0 * used


def test_with_usage_in_its_past_a_limit_falls_once_need_has_been_known_for_a_day():
    core, _ = engine(member(0, "a", limit=512 * MIB), a=500.0)
    _, now = lives(core, 6 * HOUR)
    core.sync(Sync((member(0, "a", limit=512 * MIB, policy=NEEDED),), ()))
    _, now = lives(core, 12 * HOUR, now, needed_mib=200.0)
    says(core, now, 200.0)
    assert core.tick(now, everything=True).recommendations.target_bytes[0] >= 500 * MIB
    _, now = lives(core, 15 * HOUR, now, needed_mib=200.0)
    says(core, now, 200.0)
    assert core.tick(now, everything=True).recommendations.target_bytes[0] < 300 * MIB


def test_an_agent_that_falls_silent_leaves_usage_and_nothing_moves_on_the_forecast():
    core, _ = engine(member(0, "a", limit=512 * MIB, policy=NEEDED), a=500.0)
    _, now = lives(core, 6 * HOUR, needed_mib=200.0)
    tick = core.tick(now, everything=True)
    assert basis(tick) == [Basis.STALE]
    assert tick.holds[NEED_UNKNOWN].tolist() == [0]
    assert inside(core, 0)["present_bytes"] == 500.0 * MIB
    assert tick.raises.limit_bytes[0] > 512 * MIB  # by usage, which is close to the limit


def test_without_any_agent_usage_is_the_basis_and_nothing_holds():
    core, _ = engine(member(0, "a", limit=512 * MIB, policy=NEEDED), a=400.0)
    tick, _ = lives(core, HOUR)
    assert basis(tick) == [Basis.UNTOLD]
    assert NEED_UNKNOWN not in tick.holds
    assert inside(core, 0)["present_bytes"] == 400.0 * MIB


def test_an_old_agent_that_knows_no_need_leaves_usage():
    core, _ = engine(member(0, "a", limit=512 * MIB, policy=NEEDED), a=400.0)
    tick, _ = lives(core, HOUR, needed_mib=math.nan)
    assert basis(tick) == [Basis.UNTOLD]
    assert inside(core, 0)["present_bytes"] == 400.0 * MIB


def test_a_kill_makes_all_that_is_used_count_for_a_day():
    core, _ = engine(member(0, "a", limit=512 * MIB, policy=NEEDED), a=400.0)
    _, now = lives(core, HOUR, needed_mib=200.0)
    core.observe((OomEvent("uid-a", "app", now, 512 * MIB),))
    says(core, now, 200.0)
    assert basis(core.tick(now)) == [Basis.KILLED]
    assert inside(core, 0)["present_bytes"] == 400.0 * MIB
    tick, _ = lives(core, 2 * STEP, now + 86_500.0, needed_mib=200.0)
    assert basis(tick) == [Basis.NEEDED]


def test_refaults_above_budget_raise_the_basis_and_with_it_the_limit():
    core, _ = engine(member(0, "a", limit=300 * MIB, policy=NEEDED), a=295.0)
    _, now = lives(core, HOUR, needed_mib=200.0, used_mib=295.0, usage_mib=299.0)
    says(core, now, 299.0, used_mib=295.0, usage_mib=299.0)  # it thrashes: it needs all that it has
    tick = core.tick(now)
    assert tick.raises.pods == (("uid-a", "app"),)
    assert tick.raises.limit_bytes[0] > 300 * MIB
    calm, _ = engine(member(0, "a", limit=300 * MIB, policy=NEEDED), a=295.0)
    tick, _ = lives(calm, HOUR, needed_mib=200.0, used_mib=295.0, usage_mib=299.0)
    assert tick.raises.pods == ()  # a cache that fills its limit is no climb


def restarted(core, source, policy=NEEDED):
    again = EngineCore(EngineSettings(interval_seconds=60.0), source)
    again.sync(Sync((member(0, "a", limit=512 * MIB, policy=policy),), ()))
    again.restore(core.checkpoints((0,)))
    return again


def test_after_a_restart_the_word_is_awaited_before_usage_counts():
    core, source = engine(member(0, "a", limit=512 * MIB, policy=NEEDED), a=500.0)
    _, now = lives(core, 30 * HOUR, needed_mib=200.0)
    again = restarted(core, source)
    tick = again.tick(now)
    assert basis(tick) == [Basis.AWAITED]
    assert tick.raises.pods == ()
    assert tick.holds[NEED_UNKNOWN].tolist() == [0]
    assert tick.rejected == {}
    says(again, now + 60.0, 200.0)
    tick = again.tick(now + 60.0, everything=True)
    assert basis(tick) == [Basis.NEEDED]
    assert tick.recommendations.target_bytes[0] < 300 * MIB


def test_a_word_that_never_comes_after_a_restart_ends_in_usage():
    core, source = engine(member(0, "a", limit=512 * MIB, policy=NEEDED), a=500.0)
    _, now = lives(core, 6 * HOUR, needed_mib=200.0)
    again = restarted(core, source)
    again.tick(now)
    tick = again.tick(now + 180.0)
    assert basis(tick) == [Basis.UNTOLD]
    assert tick.raises.limit_bytes[0] > 512 * MIB


def test_a_new_pod_of_a_known_row_is_waited_for_and_the_others_words_still_count():
    core, source = engine(member(0, "a", limit=512 * MIB, policy=NEEDED), a=500.0)
    _, now = lives(core, HOUR, needed_mib=200.0)
    core.sync(Sync((member(0, "b", limit=512 * MIB, policy=NEEDED),), ()))
    source.set("b", 480.0 * MIB)
    says(core, now, 200.0)
    tick = core.tick(now)
    assert basis(tick) == [Basis.AWAITED]
    assert inside(core, 0)["present_bytes"] == 200.0 * MIB
    assert tick.holds[NEED_UNKNOWN].tolist() == [0]
    says(core, now + 330.0, 200.0)
    tick = core.tick(now + 330.0)
    assert basis(tick) == [Basis.UNTOLD]
    assert inside(core, 0)["present_bytes"] == 480.0 * MIB


def test_a_slot_that_another_pod_takes_over_has_no_word():
    core, source = engine(member(0, "a", limit=512 * MIB, policy=NEEDED), a=500.0)
    core.tick(NOW)
    says(core, NOW + 60.0, 200.0)
    core.sync(Sync((member(1, "b", workload="api", limit=512 * MIB, policy=NEEDED),), (("uid-a", "app"),)))
    source.set("b", 300.0 * MIB)
    tick = core.tick(NOW + 60.0)
    assert tick.bases.rows.tolist() == [1]
    assert basis(tick) == [Basis.AWAITED]


def history(core):
    """The highest that the last hour's bins hold, MiB; NaN for nothing."""
    store = core.rows.store(0)
    return float(np.fmax.reduce(store.history.five_minute(core.rows.place(0), 12)[0])) / MIB


def test_until_its_agent_speaks_nothing_is_told_and_nothing_moves():
    core, _ = engine(member(0, "a", limit=192 * MIB, policy=NEEDED), a=170.0)
    for second in range(0, 300, 60):
        tick = core.tick(NOW + second)
        assert basis(tick) == [Basis.AWAITED]
        assert tick.holds[NEED_UNKNOWN].tolist() == [0]
        assert math.isnan(history(core))
    assert basis(core.tick(NOW + 360.0)) == [Basis.UNTOLD]
    assert history(core) == 170.0


def test_growth_before_the_first_word_counts_at_once():
    core, source = engine(member(0, "a", limit=192 * MIB, policy=NEEDED), a=170.0)
    core.tick(NOW)
    source.set("a", 180.0 * MIB)
    tick = core.tick(NOW + 60.0)
    assert history(core) == 180.0
    assert tick.raises.limit_bytes[0] > 192 * MIB


def test_while_it_is_found_out_the_history_is_told_what_is_needed_in_any_case():
    core, source = engine(member(0, "a", limit=192 * MIB, policy=NEEDED), a=170.0)
    core.tick(NOW)
    for minute, needed in enumerate((170.0, 160.0, 140.0, 110.0), 1):
        now = NOW + 60.0 * minute
        source.set("a", needed * MIB)
        says(core, now, needed, used_mib=needed, usage_mib=needed, unsure_mib=needed - 34.0)
        tick = core.tick(now)
        assert basis(tick) == [Basis.NEEDED]
        assert tick.bases.sought.tolist() == [True]
        assert history(core) == 34.0
    assert tick.raises.pods == ()


def test_how_much_seems_cold_may_move_up_and_down_meanwhile():
    core, _ = engine(member(0, "a", limit=192 * MIB, policy=NEEDED), a=170.0)
    for step in range(40):
        now, cold = NOW + 10.0 * step, 24.0 * (step % 3 == 1)
        used = 170.0 - 0.5 * step
        says(core, now, used - cold, used_mib=used, usage_mib=used, unsure_mib=used - 34.0 - cold)
        tick = core.tick(now)
    assert tick.bases.sought.tolist() == [True]
    assert history(core) == 34.0


def test_its_own_growth_counts_at_once_while_it_is_found_out():
    core, source = within_a_search(used_mib=170.0, unsure_mib=20.0)
    source.set("a", 185.0 * MIB)  # after the word
    tick = core.tick(NOW + 70.0)
    assert history(core) == 185.0
    assert tick.raises.limit_bytes[0] > 192 * MIB


def test_who_goes_before_it_was_found_out_needed_all_that_was_left():
    core, _ = within_a_search(used_mib=140.0, unsure_mib=106.0)
    assert history(core) == 34.0
    core.sync(Sync((), (("uid-a", "app"),)))
    core.tick(NOW + 120.0)
    assert history(core) == 140.0


def test_what_has_been_found_out_is_told_whole_and_decided_at_once():
    core, _ = engine(member(0, "a", limit=192 * MIB, policy=NEEDED), a=140.0)
    decided = []
    for minute in range(14):
        now = NOW + 60.0 * minute
        said = 170.0 if minute < 2 else 140.0
        says(core, now, said, used_mib=140.0, usage_mib=said, unsure_mib=said - 34.0)
        tick = core.tick(now)
        assert history(core) == (34.0 if minute < 12 else 140.0)
        decided += [minute] * len(tick.recommendations.rows)
    assert tick.bases.sought.tolist() == [False]
    assert 12 in decided


def test_an_operator_that_starts_finds_what_was_known_and_searches_no_more():
    core, source = engine(member(0, "a", limit=512 * MIB, policy=NEEDED), a=500.0)
    _, now = lives(core, 6 * HOUR, needed_mib=200.0)
    again = restarted(core, source)
    says(again, now, 200.0, unsure_mib=150.0)
    tick = again.tick(now)
    assert tick.bases.sought.tolist() == [False]
    assert inside(again, 0)["present_bytes"] == 200.0 * MIB


@pytest.mark.parametrize("needed", [True, False])
def test_what_a_policy_asks_crosses_the_pipe(needed):
    kept = member(0, "a", policy=replace(NEEDED, needed=needed))
    make, arguments = kept.__reduce__()
    assert make(*arguments) == kept


def test_words_go_in_parts_and_none_is_left_out():
    count = 10
    columns = (np.arange(count, dtype=np.float64) + shift for shift in (0.0, 100.0, 200.0, 300.0, 400.0))
    whole = Needs(tuple((f"uid-{number}", "app") for number in range(count)), *columns)
    parts = list(whole.parts(4))
    assert [len(each.uids) for each in parts] == [4, 4, 2]
    assert sum((each.uids for each in parts), ()) == whole.uids
    for name in ("heard_seconds", "usage_bytes", "working_set_bytes", "needed_bytes", "unsure_bytes"):
        np.testing.assert_array_equal(
            np.concatenate([getattr(each, name) for each in parts]), getattr(whole, name)
        )
    assert list(Needs().parts(4)) == []
