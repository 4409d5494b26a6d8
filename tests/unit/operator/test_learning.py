"""In: an operator's memory, who leads, a clock. Out: patterns by the leader alone, what is told of them."""

import asyncio

import pytest

from builders.learned import past, patterns
from builders.loops import rig
from builders.store import NOW
from plimsoll.store.memory import open_memory
from plimsoll.usage.sample import Quantity
from plimsoll.workload import ContainerKey, WorkloadRef
from plimsoll_operator import learning
from plimsoll_operator.degraded import degraded
from plimsoll_operator.learning import Learner
from plimsoll_operator.remembering import Remembered
from plimsoll_operator.serve.metrics import Metrics

HOUR = 3600.0


def key(name):
    return ContainerKey(WorkloadRef("demo", "Deployment", name), "app")


class Operator:
    """One replica's memory, in a file that its successor opens too."""

    def __init__(self, path=":memory:", leads=True):
        self.leads, self.now = leads, NOW
        self.metrics, memory = Metrics("test"), open_memory(str(path))
        learner = Learner(memory, lambda: self.leads, self.metrics)
        self.memory = memory
        self.remembered = Remembered(memory, Quantity.USAGE, lambda: self.now, self.metrics, learner=learner)

    async def round(self, *names, mib=100.0):
        """What `forever` does each half minute; these containers' profiles were written before."""
        for name in names:
            document = past(mib, self.now)
            self.remembered.note(key(name), document["checkpoint"].tobytes(), 200 << 20)
        await self.remembered.write()
        await self.remembered.learn()

    def count(self, outcome):
        return self.metrics.value("plimsoll_memory_patterns_total", outcome=outcome)


async def test_the_leader_learns_what_its_profiles_hold_without_anybodys_asking():
    one = Operator()
    await one.round("web", "api")
    assert set(patterns(one.memory)) == {"web:app", "api:app"}
    assert (one.count("changed"), one.count("failed")) == (2, 0)
    assert one.metrics.value("plimsoll_memory_learned_timestamp_seconds") == NOW
    one.now += HOUR
    await one.round("web", mib=300.0)
    assert one.count("changed") == 3
    assert one.metrics.value("plimsoll_memory_learned_timestamp_seconds") == NOW + HOUR


async def test_a_standby_learns_nothing_and_shows_what_the_leader_did(tmp_path):
    leader, standby = Operator(tmp_path / "m.db"), Operator(tmp_path / "m.db", leads=False)
    await standby.round()
    assert standby.metrics.value("plimsoll_memory_learned_timestamp_seconds") == 0
    await leader.round("web")
    await standby.round()
    assert standby.count("changed") == 0
    assert standby.metrics.value("plimsoll_memory_learned_timestamp_seconds") == NOW


async def test_a_restart_and_a_change_of_leader_learn_nothing_twice(tmp_path, monkeypatch):
    monkeypatch.setattr("plimsoll.store.learning.learn_some.__defaults__", (None, 2))
    first, second = Operator(tmp_path / "m.db"), Operator(tmp_path / "m.db", leads=False)
    await first.round("a", "b", "c")
    first.leads, second.leads = False, True  # in the midst of a pass
    second.now = NOW + 30
    for operator in (first, second, second):
        await operator.round()
    assert (first.count("changed"), second.count("changed")) == (2, 1)
    assert second.count("same") == 0
    third = Operator(tmp_path / "m.db")
    third.now = NOW + 60
    await third.round()
    assert third.metrics.value("plimsoll_memory_learn_steps_total", outcome="done") == 0


async def test_the_switch_stops_it_and_starts_it_again(tmp_path):
    one, person = Operator(tmp_path / "m.db"), open_memory(str(tmp_path / "m.db"))
    await one.round("web")
    person.set_learning(NOW, enabled=False)
    one.now += HOUR
    await one.round("web", "api", mib=300.0)
    assert set(patterns(one.memory)) == {"web:app"}
    assert [each.address.key for each in one.memory.tiers.records("history")] == [str(key("web"))]
    assert one.metrics.value("plimsoll_memory_learning_off") == 1
    person.set_learning(one.now, enabled=True)
    await one.round("api")
    assert set(patterns(one.memory)) == {"web:app", "api:app"}
    assert one.metrics.value("plimsoll_memory_learning_off") == 0


async def test_a_step_that_fails_is_told_and_tried_again_and_ends_nobody(monkeypatch):
    one, made = Operator(), rig()
    made.loop._parts.keeper.memory = one.remembered

    def fails(*_):
        raise RuntimeError("no room")

    with monkeypatch.context() as broken:
        broken.setattr(learning, "learn_some", fails)
        await one.round("web")
    assert one.metrics.value("plimsoll_memory_learn_steps_total", outcome="failed") == 1
    assert degraded(made.loop._parts, NOW) == "patterns are not learned (no room)"
    await one.round()
    assert set(patterns(one.memory)) == {"web:app"}
    assert degraded(made.loop._parts, NOW) == ""


async def test_histories_that_give_no_pattern_are_told_until_they_do(monkeypatch):
    one = Operator()
    with monkeypatch.context() as broken:
        broken.setattr("plimsoll.store.learning.outlooks", lambda *_: 1 / 0)
        await one.round("web")
    assert one.count("failed") == 1
    assert one.remembered.unlearned().startswith("of 1 of 1 histories, the last demo/Deployment/web:app")
    one.now += HOUR
    await one.round()
    assert (one.count("changed"), one.remembered.unlearned()) == (1, "")


async def test_it_learns_as_often_as_it_writes(monkeypatch):
    one = Operator()
    one.remembered.note(key("web"), past()["checkpoint"].tobytes(), None)
    monkeypatch.setattr("plimsoll_operator.remembering.SECONDS_BETWEEN", 0.0)
    task = asyncio.create_task(one.remembered.forever())
    async with asyncio.timeout(30):
        while not patterns(one.memory):  # noqa: ASYNC110 -- nobody tells of a round
            await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
