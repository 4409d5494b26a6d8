"""In: an engine that lives, is killed and restored. Out: the rows of which the last hour is known."""

import numpy as np
import pytest

from builders.engine import MIB, NOW, ScriptedSource, member
from plimsoll_operator.engine.core import EngineCore
from plimsoll_operator.engine.coverage import LOOKED_SECONDS
from plimsoll_operator.engine.frames import Sync
from plimsoll_operator.engine.messages import EngineSettings
from plimsoll_operator.observe.backfill import ContainerPast

MINUTE, HOUR = 60.0, 3600.0


def engine():
    source = ScriptedSource()
    source.set("a", 100.0 * MIB)
    core = EngineCore(EngineSettings(interval_seconds=MINUTE), source)
    core.sync(Sync((member(3, "a"),), ()))
    return core


def covered(core, now):
    return core.tick(now).covered.tolist()


def lived(seconds, end=NOW):
    core = engine()
    for at in np.arange(end - seconds, end + 1, MINUTE):
        core.tick(float(at))
    return core


def successor(core):
    made = engine()
    assert made.restore(core.checkpoints((3,))) == ()
    return made


def test_a_row_is_covered_once_it_has_lived_through_an_hour():
    core = engine()
    known = [covered(core, NOW + minute * MINUTE) for minute in range(70)]
    assert known[59] == []
    assert known[60] == [3]


def test_a_restart_that_missed_no_sample_leaves_nothing_in_doubt():
    assert covered(successor(lived(2 * HOUR)), NOW + MINUTE) == [3]


@pytest.mark.parametrize("away", [2 * MINUTE, 4 * MINUTE, 20 * MINUTE, 3 * HOUR])
def test_a_restart_that_missed_samples_settles_for_an_hour(away):
    """Two minutes may lie within one bin, which then has a value from before the gap."""
    core = successor(lived(2 * HOUR))
    back = NOW + away
    known = [covered(core, back + minute * MINUTE) for minute in range(70)]
    assert [] in known[:1]
    assert known[:60] == [[]] * 60
    assert known[66:] == [[3]] * 4


def test_a_checkpoint_of_a_row_that_was_young_does_not_help():
    assert covered(successor(lived(20 * MINUTE)), NOW + MINUTE) == []


def test_a_checkpoint_that_comes_after_samples_leaves_the_gap_unknown():
    core = engine()
    core.tick(NOW + MINUTE)
    core.restore(lived(2 * HOUR).checkpoints((3,)))
    assert [covered(core, NOW + minute * MINUTE) for minute in range(2, 20)] == [[]] * 18


def test_what_came_out_of_prometheus_counts():
    core = engine()
    core.tick(NOW - MINUTE)
    seconds = NOW - np.arange(1, 25) * 300.0
    nothing = np.empty(0)
    past = ContainerPast(seconds, np.full(24, 90.0 * MIB), nothing, nothing)
    core._take_in(3, past, NOW)
    assert covered(core, NOW) == [3]


def test_a_hole_in_what_came_out_of_prometheus_is_a_gap():
    core = engine()
    core.tick(NOW - MINUTE)
    seconds = NOW - np.array([each for each in range(1, 25) if each != 7]) * 300.0
    nothing = np.empty(0)
    past = ContainerPast(seconds, np.full(23, 90.0 * MIB), nothing, nothing)
    core._take_in(3, past, NOW)
    assert covered(core, NOW) == []


def test_a_row_that_is_given_to_another_container_starts_afresh():
    core = successor(lived(2 * HOUR))
    assert covered(core, NOW + MINUTE) == [3]
    core.sync(Sync((member(3, "b", workload="other"),), (("uid-a", "app"),)))
    assert covered(core, NOW + 2 * MINUTE) == []


def test_nobody_asks_any_more_when_time_has_settled_everything():
    core = lived(LOOKED_SECONDS)
    assert covered(core, NOW + MINUTE) == []
