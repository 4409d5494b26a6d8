"""The engine without its process: from samples to recommendations, raises and holds."""

import numpy as np
import pytest

from builders.engine import MIB, NOW, ScriptedSource, member
from builders.engine_rows import inside
from plimsoll.recommend.row_policy import RowPolicy
from plimsoll.usage.sample import Quantity
from plimsoll_operator.engine.core import PAST_PENDING, UNIT_DOUBTED, USAGE_STALE, EngineCore
from plimsoll_operator.engine.frames import Sync
from plimsoll_operator.engine.messages import EngineSettings, LimitChange, OomEvent, RestartEvent

SETTINGS = EngineSettings(interval_seconds=60.0)


def engine(*members, source=None, **use):
    source = source or ScriptedSource()
    for pod, used in use.items():
        source.set(pod, used)
    core = EngineCore(SETTINGS, source)
    core.sync(Sync(tuple(members), ()))
    return core, source


def live(core, seconds, start=NOW, step=300.0):
    """Tick through `seconds`; return the last tick and the time of the next one."""
    tick = None
    now = start
    while now < start + seconds:
        tick = core.tick(now)
        now += step
    return tick, now


def test_recommends_above_use_once_there_is_enough_history():
    core, _ = engine(member(7, "a"), a=100.0 * MIB)
    first = core.tick(NOW)
    assert first.recommendations.rows.tolist() == [7]
    assert not first.recommendations.ready[0]
    live(core, 6 * 3600)
    tick = core.tick(NOW + 6 * 3600, everything=True)
    assert tick.recommendations.ready.tolist() == [True]
    assert 100 * MIB < tick.recommendations.target_bytes[0] < 200 * MIB
    assert tick.problems == ()
    assert tick.usage.current_bytes.tolist() == [100 * MIB]
    assert set(tick.stages) >= {"fetch", "append", "react", "recommend"}


def test_the_largest_replica_counts():
    core, _ = engine(member(0, "a"), member(0, "b"), a=50.0 * MIB, b=120.0 * MIB)
    live(core, 4 * 3600)
    tick = core.tick(NOW + 4 * 3600, everything=True)
    assert tick.recommendations.target_bytes[0] > 120 * MIB


def test_a_row_is_recommended_once_an_hour():
    core, _ = engine(member(0, "a"), a=MIB)
    core.tick(NOW)
    rows = [len(core.tick(NOW + 60 * minute).recommendations.rows) for minute in range(5, 125)]
    assert sum(rows) == 2


def test_an_oom_kill_raises_its_pod_at_once_and_the_row_remembers():
    core, _ = engine(member(0, "a"), member(0, "b"), a=100.0 * MIB, b=100.0 * MIB)
    live(core, 4 * 3600)
    now = NOW + 4 * 3600
    raises = core.observe((OomEvent("uid-a", "app", now, 256 * MIB),))
    assert raises.pods == (("uid-a", "app"),)
    assert raises.limit_bytes[0] >= 1.2 * 256 * MIB
    assert raises.reasons == ("OomKilled",)
    tick = core.tick(now, everything=True)
    assert ("uid-a", "app") in tick.raises.pods
    assert ("uid-b", "app") not in tick.raises.pods
    assert tick.recommendations.target_bytes[0] >= 1.2 * 256 * MIB
    assert core.tick(now + 60).raises.pods == ()
    assert inside(core, 0)["oom_count"] == 1


def test_the_same_kill_told_twice_is_one():
    core, _ = engine(member(0, "a"), a=MIB)
    core.tick(NOW)
    event = OomEvent("uid-a", "app", NOW, 256 * MIB)
    first, second = core.observe((event,)), core.observe((event,))
    assert first.limit_bytes.tolist() == second.limit_bytes.tolist()
    assert inside(core, 0)["oom_count"] == 1


def test_a_kill_that_a_predecessor_has_answered_is_not_answered_again():
    core, source = engine(member(0, "a"), a=100.0 * MIB)
    live(core, 4 * 3600)
    now = NOW + 4 * 3600
    first = core.observe((OomEvent("uid-a", "app", now, 256 * MIB),)).limit_bytes[0]
    again, _ = engine(member(0, "a", limit=int(first)), source=source)
    again.restore({0: core.checkpoints((0,))[0]})
    told_again = again.observe((OomEvent("uid-a", "app", now, int(first)),))
    assert told_again.limit_bytes.tolist() == [first]
    assert inside(again, 0)["oom_count"] == 1
    a_new_one = again.observe((OomEvent("uid-a", "app", now + 60, int(first)),))
    assert a_new_one.limit_bytes[0] > first


def test_an_old_kill_is_remembered_and_raises_nothing():
    core, _ = engine(member(0, "a"), a=MIB)
    core.tick(NOW)
    raises = core.observe((OomEvent("uid-a", "app", NOW - 7200, 256 * MIB),))
    assert raises.pods == ()
    assert inside(core, 0)["oom_count"] == 1


def test_a_climb_raises_the_pod_that_climbs_and_not_its_siblings():
    core, source = engine(member(0, "a"), member(0, "b"), a=100.0 * MIB, b=100.0 * MIB)
    live(core, 4 * 3600)
    source.set("a", 250.0 * MIB)
    tick = core.tick(NOW + 4 * 3600)
    climbing = dict(zip(tick.raises.pods, tick.raises.reasons, strict=True))
    assert "uid-a" in {uid for uid, _ in climbing}
    if climbing["uid-a", "app"] == "Climb":
        assert ("uid-b", "app") not in climbing
    assert tick.raises.limit_bytes.max() > 256 * MIB


def test_a_raised_limit_that_is_in_force_is_not_asked_again():
    core, _ = engine(member(0, "a"), a=250.0 * MIB)
    core.tick(NOW)
    core.observe((LimitChange("uid-a", "app", 1024 * MIB, 1024 * MIB),))
    assert core.tick(NOW + 60).raises.pods == ()


def test_a_source_that_fails_is_a_problem_and_history_stays():
    core, source = engine(member(0, "a"), a=100.0 * MIB)
    live(core, 4 * 3600)
    now = NOW + 4 * 3600
    source.raising = RuntimeError("boom")
    tick = core.tick(now, everything=True)
    assert tick.problems == ("scripted: RuntimeError: boom",)
    assert inside(core, 0)["peak_history_bytes"] == 100 * MIB
    source.raising = None
    assert core.tick(now + 60).problems == ()


def test_half_of_the_series_holds_the_other_half():
    core, source = engine(member(0, "a"), member(1, "b", "other"), a=MIB, b=MIB)
    core.tick(NOW)
    del source.use["shop", "b", "app"]
    core.tick(NOW + 60)
    core.tick(NOW + 120)
    tick = core.tick(NOW + 180)
    assert tick.holds[USAGE_STALE].tolist() == [1]
    assert "1 of 2 containers" in tick.notices[0]
    assert tick.problems == ()


def test_samples_that_lag_by_more_than_two_intervals_are_not_fresh():
    core, source = engine(member(0, "a"), a=MIB)
    source.lag_seconds = 110
    assert USAGE_STALE not in core.tick(NOW).holds
    source.lag_seconds = 130
    core, source = engine(member(0, "a"), source=source)
    assert core.tick(NOW + 60).holds[USAGE_STALE].tolist() == [0]


@pytest.mark.parametrize(("lag_seconds", "stale"), [(55, False), (65, True)])
def test_a_short_interval_does_not_ask_for_fresher_samples_than_kubelets_have(lag_seconds, stale):
    source = ScriptedSource(lag_seconds=lag_seconds)
    source.set("a", MIB)
    core = EngineCore(EngineSettings(interval_seconds=5.0), source)
    core.sync(Sync((member(0, "a"),), ()))
    assert (USAGE_STALE in core.tick(NOW).holds) == stale


@pytest.mark.parametrize("value", [np.nan, -5.0, np.inf, 2.0**60])
def test_garbage_samples_are_counted_and_change_nothing(value):
    core, source = engine(member(0, "a"), a=100.0 * MIB)
    live(core, 4 * 3600)
    before = core.tick(NOW + 4 * 3600, everything=True)
    source.set("a", value)
    after = core.tick(NOW + 4 * 3600 + 60, everything=True)
    assert sum(after.rejected.values()) == 1
    assert after.samples == 0
    assert after.recommendations.target_bytes[0] >= before.recommendations.target_bytes[0] * 0.99
    assert after.raises.pods == ()


@pytest.mark.parametrize("good_hours", [0, 6], ids=["from the first sample", "after six hours"])
def test_samples_in_kibibytes_hold_the_row_for_96_hours(good_hours):
    core, source = engine(member(0, "a", limit=200 * MIB), a=100.0 * MIB)
    if good_hours:
        live(core, good_hours * 3600)
    source.set("a", 100.0 * 1024)
    begun = NOW + good_hours * 3600
    core.tick(begun)
    for half_hour in range(1, 193):
        tick = core.tick(begun + half_hour * 1800, everything=True)
        assert (tick.samples, tick.rejected) == (0, {"unit": 1})
        assert tick.holds[UNIT_DOUBTED].tolist() == [0]
        assert USAGE_STALE not in tick.holds or not len(tick.holds[USAGE_STALE])
        assert not tick.recommendations.ready.any() or tick.recommendations.target_bytes[0] > 100 * MIB
        assert tick.usage.current_bytes[0] != 100 * 1024
    source.set("a", 100.0 * MIB)
    assert UNIT_DOUBTED not in core.tick(begun + 193 * 1800).holds


def test_a_replica_that_stands_by_is_vouched_for_by_the_one_that_leads():
    core, source = engine(member(0, "a"), member(0, "b"), a=200.0 * MIB, b=0.3 * MIB)
    tick, now = live(core, 4 * 3600)
    assert tick.rejected == {"unit": 1}
    assert tick.holds == {}
    assert (tick.usage.current_bytes[0], tick.usage.age_seconds[0]) == (200 * MIB, 0.0)
    source.use.pop(("shop", "a", "app"))
    live(core, 600, start=now)
    assert core.tick(now + 600).holds[UNIT_DOUBTED].tolist() == [0]


def test_duplicates_and_strangers_are_harmless():
    core, source = engine(member(0, "a"), a=[5.0 * MIB, 5.0 * MIB, 3.0 * MIB])
    source.set("stranger", 900.0 * MIB)
    tick = core.tick(NOW)
    assert tick.usage.current_bytes.tolist() == [5 * MIB]
    assert tick.rejected["unknown_container"] == 1


def test_a_container_that_vanished_is_no_longer_spoken_of_and_its_row_remembers():
    core, _ = engine(member(0, "a"), a=100.0 * MIB)
    live(core, 4 * 3600)
    core.sync(Sync((), (("uid-a", "app"), ("uid-nobody", "app"))))
    tick = core.tick(NOW + 4 * 3600, everything=True)
    assert len(tick.usage.rows) == 0
    assert len(tick.recommendations.rows) == 0
    core.observe((OomEvent("uid-a", "app", NOW, None), RestartEvent("uid-a", "app", NOW)))
    core.sync(Sync((member(0, "c"),), ()))
    assert inside(core, 0)["peak_history_bytes"] == 100 * MIB


def test_a_checkpoint_brings_a_new_engine_to_where_the_old_one_was():
    core, source = engine(member(0, "a"), a=100.0 * MIB)
    live(core, 6 * 3600)
    now = NOW + 6 * 3600
    told = core.tick(now, everything=True).recommendations
    again, _ = engine(member(4, "a"), source=source)
    assert again.restore({4: core.checkpoints((0,))[0], 77: b"row of nobody"}) == ()
    restored = again.tick(now, everything=True).recommendations
    # A checkpoint keeps peaks rounded up to a part in a thousand.
    np.testing.assert_allclose(restored.target_bytes, told.target_bytes, rtol=2e-3)
    assert inside(again, 4)["peak_history_bytes"] >= inside(core, 0)["peak_history_bytes"]


def test_a_broken_checkpoint_is_named_and_the_others_are_read():
    core, _ = engine(member(0, "a"), member(1, "b", "other"), a=MIB, b=MIB)
    live(core, 3600)
    good = core.checkpoints((1,))[1]
    again, _ = engine(member(0, "a"), member(1, "b", "other"))
    refused = again.restore({0: b"garbage", 1: good})
    assert "shop/Deployment/web" in refused[0]
    assert inside(again, 1)["peak_history_bytes"] >= MIB
    assert inside(again, 0)["peak_history_bytes"] is None


@pytest.mark.parametrize("jump", [-86_400.0, 90 * 86_400.0, np.nan])
def test_a_clock_that_jumps_holds_everything_and_keeps_the_history(jump):
    core, _ = engine(member(0, "a"), a=100.0 * MIB)
    live(core, 4 * 3600)
    tick = core.tick(NOW + 4 * 3600 + jump)
    assert "the clock" in tick.problems[0]
    after = core.tick(NOW + 4 * 3600 + 60, everything=True)
    assert after.problems == ()
    assert after.recommendations.ready.tolist() == [True]


def test_a_quantity_that_the_source_cannot_measure_is_said_and_holds():
    core, _ = engine(member(0, "a", quantity=Quantity.USAGE), a=MIB)
    core.tick(NOW)
    tick = core.tick(NOW + 180)
    assert "scripted cannot measure usage" in tick.notices
    assert tick.holds[USAGE_STALE].tolist() == [0]


def test_nothing_to_watch_asks_nobody():
    core, source = engine()
    tick = core.tick(NOW)
    assert source.wanted == []
    assert tick.problems == ()
    assert len(tick.recommendations.rows) == 0


def test_a_forgotten_row_is_gone():
    core, _ = engine(member(0, "a"), a=MIB)
    core.tick(NOW)
    core.sync(Sync((), (("uid-a", "app"),)))
    core.forget((0,))
    assert inside(core, 0) == {}
    assert core.checkpoints((0,)) == {}


def test_a_recommendation_says_what_a_kill_was_worth_to_it():
    asks = RowPolicy(oom_price=3.5)
    core, _ = engine(member(0, "a", policy=asks), a=100.0 * MIB)
    live(core, 4 * 3600)
    made = core.tick(NOW + 4 * 3600, everything=True).recommendations
    assert made.oom_price.tolist() == [3.5]
    assert inside(core, 0)["pods"] == [{"uid": "uid-a", "limit_bytes": 256 * MIB, "used_bytes": 100 * MIB}]


def test_without_prometheus_nothing_waits_for_a_past():
    core, _ = engine(member(0, "a"), a=MIB)
    assert PAST_PENDING not in core.tick(NOW).holds


def test_a_forecast_that_trips_is_a_problem_and_the_raise_is_still_told(monkeypatch):
    core, _ = engine(member(0, "a"), a=MIB)
    core.tick(NOW)

    def trip(*_):
        raise ZeroDivisionError("model")

    monkeypatch.setattr(core.rows.store(0).pipeline, "decide_seen", trip)
    core.observe((OomEvent("uid-a", "app", NOW, 256 * MIB),))
    tick = core.tick(NOW + 60, everything=True)
    assert tick.problems == ("engine stage recommend: ZeroDivisionError: model",)
    assert tick.raises.pods == (("uid-a", "app"),)
    assert len(tick.recommendations.rows) == 0
    assert core.tick(NOW + 120).raises.pods == ()


def test_a_policy_that_changes_reaches_the_forecast():
    core, _ = engine(member(0, "a"), a=100.0 * MIB)
    live(core, 4 * 3600)
    now = NOW + 4 * 3600
    before = core.tick(now, everything=True).recommendations
    core.sync(Sync((member(0, "a", policy=RowPolicy(model="windowed", buffer_min_fraction=1.0)),), ()))
    after = core.tick(now + 60, everything=True).recommendations
    assert after.target_bytes[0] >= 2 * (after.target_bytes[0] - after.buffer_bytes[0]) - 1
    assert after.target_bytes[0] > before.target_bytes[0]
    assert after.quantile_bytes[0].tolist() != before.quantile_bytes[0].tolist()


def test_no_container_uses_more_than_its_kube_node_has():
    core, source = engine(member(0, "a", ceiling_bytes=8192 * MIB), member(1, "b"))
    source.set("a", 9000.0 * MIB)
    source.set("b", 9000.0 * MIB)
    tick = core.tick(NOW)
    assert tick.rejected == {"implausible": 1}
    assert np.isnan(tick.usage.current_bytes[0])
    assert tick.usage.current_bytes[1] == 9000 * MIB
