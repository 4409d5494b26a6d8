"""In: samples of a day and more, as a source gives them. Out: class and leak in the ticks."""

import numpy as np
import pytest

from builders.engine import MIB, NOW, ScriptedSource, member
from builders.engine_rows import inside
from plimsoll.recommend.row_policy import RowPolicy
from plimsoll_operator.engine.core import EngineCore
from plimsoll_operator.engine.frames import Sync
from plimsoll_operator.engine.messages import EngineSettings, RestartEvent

HOURS = 72


def engine():
    """Row 0 is flat, row 1 leaks 5 % an hour, row 2 leaks and waits for growth of four weeks."""
    core = EngineCore(EngineSettings(), ScriptedSource())
    patient = RowPolicy(leak_window_hours=672)
    members = [member(row, f"web-5d9-{row}", f"w{row}") for row in (0, 1)]
    core.sync(Sync((*members, member(2, "web-5d9-2", "w2", policy=patient)), ()))
    return core


def live(core, hours, begin=0):
    """Fill the history with 5-minute samples and tick once an hour; returns the ticks."""
    ticks = []
    for bin_ in range(begin * 12, (begin + hours) * 12):
        now = NOW + 300.0 * bin_
        grown = 200 * (1 + 0.05 * max(bin_ / 12 - 30, 0))
        for pod, used in enumerate((200.0, grown, grown)):
            core._source.set(f"web-5d9-{pod}", used * MIB)
        ticks.append(core.tick(now))
    return ticks


def test_class_and_leak_are_found_with_the_hourly_decision():
    core = engine()
    ticks = live(core, HOURS)
    assert {problem for tick in ticks for problem in tick.problems} == set()
    seen = [row for tick in ticks for row in tick.shapes.rows.tolist()]
    assert max(seen.count(row) for row in range(3)) <= HOURS + 1  # no more than once an hour
    last = {}
    for tick in ticks:
        last |= {row: (tick.shapes, place) for place, row in enumerate(tick.shapes.rows.tolist())}
    leaks = {row: bool(shapes.leaks[place]) for row, (shapes, place) in last.items()}
    assert leaks == {0: False, 1: True, 2: False}
    shapes, place = last[1]
    assert abs(shapes.slope[place] * 3600 / MIB - 10) < 1.5
    assert shapes.since_seconds[place] > NOW + 30 * 3600
    told = inside(core, 1)
    assert (told["workload_class"], told["leaks_since_seconds"]) == ("growth", shapes.since_seconds[place])
    assert inside(core, 0)["workload_class"] == "flat"


def test_promises_are_told_by_class_and_add_up_to_those_of_the_rows():
    core = engine()
    told = live(core, HOURS)[-1].kept
    store = core.rows.store(0)
    record = store.history.promises.record(core.rows.places(np.arange(3)))
    assert set(told) == {"flat", "growth"}
    assert told["flat"] == (record.promised[0], record.exceeded[0])
    assert told["growth"] == pytest.approx((record.promised[1:].sum(), record.exceeded[1:].sum()))
    assert told["flat"][0] > 0


def test_a_forgotten_row_starts_afresh():
    core = engine()
    live(core, HOURS)
    core.forget((1,))
    core.sync(Sync((member(1, "web-5d9-1", "another"),), ()))
    told = inside(core, 1)
    assert (told["workload_class"], told["leaks_since_seconds"]) == ("unknown", None)


def test_a_restart_is_told_to_the_detector():
    core = engine()
    live(core, 30)
    core.observe((RestartEvent("uid-web-5d9-1", "app", NOW + 29 * 3600.0),))
    store = core.rows.store(1)
    store = core.rows.store(1)
    assert np.isfinite(store.history.restarts(core.rows.place(1)).seconds).sum() == 1
    live(core, 2, begin=30)
