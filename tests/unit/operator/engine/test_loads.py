"""Loads of rows for placement: made when they are asked for, aligned by the hour of the day, judged."""

import numpy as np

from builders.engine import MIB, NOW, ScriptedSource, member
from plimsoll.placement.lanes import LANES, PAST_HOURS, loads_of
from plimsoll_operator.engine import loads as engine_loads
from plimsoll_operator.engine.core import EngineCore
from plimsoll_operator.engine.frames import Sync
from plimsoll_operator.engine.loads import LoadDesk
from plimsoll_operator.engine.messages import EngineSettings

HOUR = 3600.0
DAY = np.full(LANES, 100.0) + np.where(np.arange(LANES) == 9, 400.0, 0.0)  # a peak at nine, UTC
ROWS = np.array([3, 8], dtype=np.int32)


def seen(now, hours=24 * 5):
    """Hourly maxima [2, hours] of a daily peak and of a constant; the present hour is not over."""
    clock = (int(now // HOUR) - hours + 1 + np.arange(hours)) % LANES
    return np.stack([DAY[clock], np.full(hours, 50.0)]) * MIB


def made(now, **more):
    desk = LoadDesk()
    desk.look(ROWS, seen(now, **more), np.full(2, 200.0 * MIB), now)
    return desk.take()


def test_the_peak_stands_at_its_hour_of_the_day_whenever_it_was_made():
    for later in range(0, 24, 5):
        loads = made(NOW + later * HOUR)
        assert loads.rows.tolist() == [3, 8]
        assert int(loads.mean_bytes[0].argmax()) == 9
        assert loads.mean_bytes.dtype == np.float32
        assert np.ptp(loads.mean_bytes[1]) < 0.01 * 50 * MIB
    assert loads.variance[0] > loads.variance[1] > 0


def test_what_is_sent_is_what_the_core_says_of_the_hours_that_are_over():
    hourly = seen(NOW)
    hourly[:, -1] = 1e12  # the present hour is not over and does not count
    desk = LoadDesk()
    desk.look(ROWS, hourly, np.full(2, np.nan), NOW)
    told, wanted = desk.take(), loads_of(seen(NOW)[:, -1 - PAST_HOURS : -1])
    hours = (int(NOW // HOUR) + np.arange(LANES)) % LANES
    np.testing.assert_allclose(told.mean_bytes[:, hours], wanted.mean_bytes, rtol=1e-6)
    np.testing.assert_allclose(told.third, wanted.third[:, 0])


def test_first_loads_come_with_what_would_have_been_said_a_day_ago():
    desk, hourly = LoadDesk(), seen(NOW)
    desk.look(ROWS, hourly, np.full(2, 200.0 * MIB), NOW)
    first = desk.take()
    assert 0 < first.error < first.reference
    desk.look(ROWS, hourly, np.full(2, 200.0 * MIB), NOW)
    assert (desk.take().error, len(desk.take().rows)) == (0.0, 0)
    desk.forget(ROWS)
    desk.look(ROWS, hourly, np.full(2, 200.0 * MIB), NOW)
    assert desk.take().error == first.error


def test_a_day_is_too_short_to_be_judged_by():
    loads = made(NOW, hours=LANES + 1)
    assert (loads.error, loads.reference) == (0.0, 0.0)
    assert np.isfinite(loads.mean_bytes).all()


def core():
    source = ScriptedSource()
    made = EngineCore(EngineSettings(interval_seconds=60.0), source)
    made.sync(
        Sync(
            (
                member(7, "a"),
                member(7, "b", kube_node="n2", request_bytes=300 * MIB),
                member(9, "c", workload="db", kube_node="n2"),
            ),
            (),
        )
    )
    for pod, used in (("a", 100.0), ("b", 80.0), ("c", 30.0)):
        source.set(pod, used * MIB)
    return made, source


def test_nothing_is_made_unless_it_is_asked_for_and_then_of_every_row():
    engine, _ = core()
    for hour in range(3):
        tick = engine.tick(NOW + hour * HOUR)
        assert (len(tick.loads.rows), tick.node_use.kube_nodes, "loads" in tick.stages) == (0, (), False)
    asked = engine.tick(NOW + 2 * HOUR + 60, loads=True)
    assert sorted(asked.loads.rows.tolist()) == [7, 9]
    by_row = dict(zip(asked.loads.rows.tolist(), asked.loads.mean_bytes.tolist(), strict=True))
    assert 95 * MIB < max(by_row[7]) < 120 * MIB
    assert len(engine.tick(NOW + 2 * HOUR + 120, loads=True).loads.rows) == 0
    hours = [
        [engine.tick(NOW + (hour + 3) * HOUR + 60 * at, loads=True).loads.rows for at in range(60)]
        for hour in range(2)
    ]
    assert sorted(np.concatenate(hours[1]).tolist()) == [7, 9]


def test_what_kube_nodes_use_is_summed_over_their_own_containers():
    engine, source = core()
    use = engine.tick(NOW, loads=True).node_use
    assert dict(zip(use.kube_nodes, use.used_bytes.tolist(), strict=True)) == {
        "n1": 100.0 * MIB,
        "n2": 110.0 * MIB,
    }
    del source.use["shop", "c", "app"]
    use = engine.tick(NOW + 600, loads=True).node_use
    assert (use.members.tolist(), use.sampled.tolist()) == ([1, 2], [1, 1])
    assert use.used_bytes.tolist() == [100.0 * MIB, 80.0 * MIB]


def test_what_kube_nodes_use_is_what_histories_are_told(monkeypatch):
    engine, _ = core()
    monkeypatch.setattr(engine, "_needed", lambda rows, slots, values, cache, now: 0.75 * values)
    use = engine.tick(NOW, loads=True).node_use
    assert use.used_bytes.tolist() == [0.75 * 100 * MIB, 0.75 * 110 * MIB]


def test_replicas_that_move_together_are_told_of_with_their_loads():
    engine, source = core()
    shares = {}
    for minute in range(0, 30 * 60 + 1, 10):
        wave = 40.0 * np.sin(minute / 100)
        for pod, used in (("a", 100.0 + wave), ("b", 100.0 + wave), ("c", 30.0)):
            source.set(pod, used * MIB)
        tick = engine.tick(NOW + 60 * minute, loads=True)
        shares |= dict(
            zip(tick.loads.rows.tolist(), (tick.loads.common / tick.loads.variance).tolist(), strict=True)
        )
    assert shares[9] == 0.5  # one replica teaches nothing
    assert shares[7] > 0.6


def test_loads_that_fail_hold_nothing(monkeypatch):
    def broken(*_):
        raise ValueError("no such hours")

    engine, _ = core()
    monkeypatch.setattr(engine_loads, "loads_of", broken)
    tick = engine.tick(NOW, loads=True)
    assert tick.problems == ()
    assert "no such hours" in tick.notices[0]
    assert len(tick.recommendations.rows) == 2
