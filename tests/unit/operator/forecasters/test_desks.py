"""Tasks and answers between the engine and a pool: nothing waits, and each answer finds its row."""

from dataclasses import dataclass, field, replace

import numpy as np

from builders.engine import MIB, NOW, ScriptedSource, member
from builders.engine_rows import inside
from builders.seasons import daily
from plimsoll.forecast.prophet import FitAnswer, FitTask
from plimsoll.forecast.prophet_desk import TOO_SHORT, WAITING
from plimsoll.forecast.protocol import LEVELS
from plimsoll.recommend.row_policy import RowPolicy
from plimsoll.usage.sample import Quantity
from plimsoll_operator.engine.core import EngineCore
from plimsoll_operator.engine.frames import Sync
from plimsoll_operator.engine.messages import EngineSettings
from plimsoll_operator.forecasters.desks import NOT_TAKEN, SWITCHED_OFF, FitReport

HOUR = 3600.0
PROPHET = RowPolicy(model="prophet", holidays=("CH",))
SAID = 2000.0 * MIB


@dataclass
class HandPool:
    """A pool whose answers come when the test says so."""

    room: int = 8
    replaced: int = 0
    tasks: list[FitTask] = field(default_factory=list)
    answers: list[FitAnswer] = field(default_factory=list)
    closed: bool = False
    takes: bool = True

    @property
    def depth(self) -> int:
        return len(self.tasks)

    def submit(self, task: FitTask) -> bool:
        if not self.takes:
            return False
        self.tasks.append(task)
        return True

    def collect(self) -> list[FitAnswer]:
        answers, self.answers = self.answers, []
        return answers

    def work(self, **changes) -> None:
        """Answer everything: a peak of SAID at every level."""
        values = np.full((36, 2, len(LEVELS)), SAID, dtype=np.float32)
        for task in self.tasks:
            made = FitAnswer(task.ticket, task.last_hour + 1, values, seconds=0.25)
            self.answers.append(replace(made, **changes))
        self.tasks = []

    def close(self) -> None:
        self.closed = True


def core_with(pool: HandPool | None, policy: RowPolicy = PROPHET) -> EngineCore:
    source = ScriptedSource()
    source.set("web-5d9-aaaaa", 500 * MIB)
    core = EngineCore(EngineSettings(), source, pool=pool)
    core.sync(Sync((member(0, limit=4096 * MIB, policy=policy),), ()))
    history = core.rows.stores[Quantity.WORKING_SET].history
    history.advance(NOW)
    hours = NOW - HOUR * np.arange(500, 0, -1) + 60
    history.append(np.zeros(500, dtype=np.int64), hours, daily(500), NOW)
    return core


def pass_hours(core: EngineCore, hours: int) -> float:
    """Tick every half hour (a clock that jumps further is not believed); the time then."""
    for step in range(2 * hours):
        core.tick(NOW + (step + 1) * HOUR / 2)
    return NOW + hours * HOUR


def median(core: EngineCore, now: float) -> float:
    made = core.tick(now, everything=True).recommendations
    return float(made.quantile_bytes[0, 0])


def test_a_tick_asks_and_a_later_one_uses_the_answer():
    pool = HandPool()
    core = core_with(pool)
    auto = median(core, NOW + 60)
    assert auto < 0.5 * SAID
    assert [task.holidays for task in pool.tasks] == [("CH",)]
    assert median(core, NOW + 120) == auto  # not there yet: nothing waits
    pool.work()
    assert median(core, NOW + 180) > 0.9 * SAID
    known = inside(core, 0)["prophet"]
    assert (known.state, known.asked_seconds, known.remarks) == ("", NOW + 60, ())
    assert median(core, pass_hours(core, 11) + 60) > 0.9 * SAID
    assert median(core, pass_hours(core, 13) + 60) < 0.5 * SAID  # the pool has died, say


def test_with_a_recommendation_comes_why_another_model_made_it():
    pool = HandPool()
    core = core_with(pool)
    assert core.tick(NOW + 60, everything=True).stand_ins == {0: WAITING}
    pool.work()
    assert core.tick(NOW + 120, everything=True).stand_ins == {}
    young = core_with(HandPool(), RowPolicy(model="prophet", history_hours=24))
    young.tick(NOW + 60)
    assert young.tick(NOW + 120, everything=True).stand_ins == {0: TOO_SHORT}
    other = core_with(HandPool(), RowPolicy(model="windowed"))
    assert other.tick(NOW + 60, everything=True).stand_ins == {}


def test_the_report_counts_fits_failures_and_replaced_workers():
    pool = HandPool()
    core = core_with(pool)
    assert core.tick(NOW + 60).fits == FitReport(depth=1, rows={"Waiting": 1})
    pool.work()
    assert core.tick(NOW + 120).fits == FitReport(seconds=(0.25,), rows={"Fitted": 1})
    now = pass_hours(core, 7)
    assert core.tick(now + 60).fits.depth == 1
    pool.work(failure="no answer within 180 s")
    pool.replaced = 1
    assert core.tick(now + 120).fits == FitReport(failed=1, replaced=1, rows={"Failed": 1})
    assert core.tick(now + 180).fits == FitReport(rows={"Failed": 1})
    assert "no answer within 180 s" in inside(core, 0)["prophet"].state


def test_holidays_that_nobody_knows_are_a_notice_once():
    pool = HandPool()
    core = core_with(pool)
    core.tick(NOW + 60)
    pool.work(remarks=("XX: Country XX not available",))
    assert "holidays: XX: Country XX not available" in core.tick(NOW + 120).notices
    assert core.tick(NOW + 180).notices == ()


def test_without_room_nothing_is_asked():
    pool = HandPool(room=0)
    core = core_with(pool)
    core.tick(NOW + 60)
    assert pool.tasks == []
    pool.room = 1
    core.tick(NOW + 120)
    assert len(pool.tasks) == 1


def test_what_a_pool_does_not_take_after_all_is_a_failure_that_its_desk_hears_of():
    pool = HandPool(takes=False)
    core = core_with(pool)
    assert core.tick(NOW + 60).fits == FitReport(failed=1, rows={"Failed": 1})
    assert NOT_TAKEN in inside(core, 0)["prophet"].state
    pool.takes = True
    core.tick(pass_hours(core, 7) + 60)
    assert len(pool.tasks) == 1  # it is asked again, as after any failure


def test_an_answer_for_a_container_that_went_is_not_the_next_one_s():
    pool = HandPool()
    core = core_with(pool)
    core.tick(NOW + 60)
    core.forget((0,))
    core.sync(Sync((member(0, workload="other", limit=4096 * MIB, policy=PROPHET),), ()))
    pool.work()
    core.tick(NOW + 120)
    assert core.rows.stores[Quantity.WORKING_SET].prophet.book.fresh(0) is None


def test_a_policy_that_asks_for_another_model_lets_the_answer_go():
    pool = HandPool()
    core = core_with(pool)
    core.tick(NOW + 60)
    pool.work()
    core.tick(NOW + 120)
    core.sync(Sync((member(0, limit=4096 * MIB, policy=RowPolicy(model="windowed")),), ()))
    assert median(core, NOW + 180) < 0.5 * SAID
    assert inside(core, 0)["prophet"] is None


def test_without_workers_rows_say_why_and_auto_stands_in():
    core = core_with(None)
    assert median(core, NOW + 60) < 0.5 * SAID
    assert inside(core, 0)["prophet"].state == SWITCHED_OFF
    assert core.tick(NOW + 90, everything=True).stand_ins == {0: SWITCHED_OFF}
    assert core.tick(NOW + 120).fits == FitReport(rows={"Unavailable": 1})


def test_closing_the_engine_ends_the_pool():
    pool = HandPool()
    core_with(pool).close()
    assert pool.closed
