"""From lessons to weights in use and on disk, by way of the pool, and back after a restart."""

from dataclasses import dataclass, field, replace

import numpy as np

from builders.engine import MIB, NOW, WORKING_SET, ScriptedSource, member
from builders.lessons import lessons_of
from plimsoll.forecast.own import RefitTask
from plimsoll_operator.engine.core import EngineCore
from plimsoll_operator.engine.frames import Sync
from plimsoll_operator.engine.messages import EngineSettings
from plimsoll_operator.forecasters.fits import fit

HOUR = 3600.0
RISKY = lessons_of(100, 20, moved=1.5)


@dataclass
class InlinePool:
    """A pool that works a task off when its answer is asked for, with what a worker process would run."""

    room: int = 8
    depth: int = 0
    replaced: int = 0
    tasks: list = field(default_factory=list)

    def submit(self, task) -> bool:
        self.tasks.append(task)
        return True

    def collect(self) -> list:
        tasks, self.tasks = self.tasks, []
        return [fit(task) for task in tasks]

    def close(self) -> None:
        pass


def core_with(path, pool, **more) -> EngineCore:
    source = ScriptedSource()
    source.set("web-5d9-aaaaa", 500 * MIB)
    core = EngineCore(EngineSettings(own_weights_file=str(path) if path else "", **more), source, pool=pool)
    core.sync(Sync((member(),), ()))
    return core


def desk_of(core: EngineCore):
    return core.rows.stores[WORKING_SET].refits


def full(core: EngineCore) -> None:
    """Write the book as weeks would have."""
    book = desk_of(core).book
    book._done = [RISKY.take(np.arange(len(RISKY)) == index) for index in range(len(RISKY))]


def test_decisions_become_lessons_of_their_workload(tmp_path):
    core = core_with(tmp_path / "own.json", InlinePool())
    for hour in range(8):
        core.tick(NOW + hour * HOUR)
    for step in range(1, 60):
        core.tick(NOW + 7 * HOUR + step * 300)
    assert len(desk_of(core).book) >= 3
    assert len(np.unique(desk_of(core).book.lessons().workload)) == 1


def test_weights_that_pass_are_used_written_and_taken_up_again(tmp_path):
    path = tmp_path / "own.json"
    core = core_with(path, InlinePool())
    full(core)
    assert core.tick(NOW).notices == ()
    notices = core.tick(NOW + 60).notices
    assert any("kept" in each for each in notices)
    assert desk_of(core).own is not None
    assert core.tick(NOW + 120).notices == ()  # said once
    again = core_with(path, InlinePool())
    kept, before = desk_of(again).own, desk_of(core).own
    assert kept.made_seconds == before.made_seconds == NOW
    np.testing.assert_array_equal(kept.layers[0].third, before.layers[0].third)


def test_without_the_setting_and_without_workers_nothing_is_learned(tmp_path, caplog):
    assert desk_of(core_with("", InlinePool())) is None
    assert not caplog.records
    assert desk_of(core_with(tmp_path / "own.json", None)) is None
    assert sum("there are none" in each.message for each in caplog.records) == 1


def test_workers_at_a_redis_refit_too(tmp_path, caplog):
    assert desk_of(core_with(tmp_path / "own.json", InlinePool(), forecast_redis="redis://there")) is not None
    assert not caplog.records


def test_a_damaged_file_is_said_and_the_shipped_weights_forecast(tmp_path, caplog):
    path = tmp_path / "own.json"
    path.write_text("{")
    assert desk_of(core_with(path, InlinePool())).own is None
    assert any("not used" in each.message for each in caplog.records)


def test_a_file_that_cannot_be_written_is_said(tmp_path):
    core = core_with(tmp_path / "nowhere" / "own.json", InlinePool())
    full(core)
    core.tick(NOW)
    assert any("cannot be kept" in each for each in core.tick(NOW + 60).notices)
    assert desk_of(core).own is not None


def test_a_refit_that_raises_is_an_answer():
    broken = replace(RISKY, need=np.array(["x"] * len(RISKY)))
    answer = fit(RefitTask(3, broken))
    assert (answer.ticket, answer.own) == (3, None)
    assert answer.failure
    assert answer.seconds > 0
