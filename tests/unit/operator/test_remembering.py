"""The operator's memory: what profiles hold outlives them, in a file and in Redis (fakeredis here)."""

import asyncio
from datetime import UTC, datetime
from itertools import count

import fakeredis
import numpy as np
import pytest
from prometheus_client import generate_latest

from builders.clusters import NOW as CLUSTER_NOW
from builders.engine import MIB, ScriptedSource, member
from builders.engine import NOW as ENGINE_NOW
from builders.engine_rows import inside
from builders.loops import rig
from builders.store import NOW
from plimsoll.forecast.registry import model_names
from plimsoll.recommend.row_policy import RowPolicy
from plimsoll.store.content import decode
from plimsoll.store.forgetting import forget
from plimsoll.store.levels.address import parse_redis_address
from plimsoll.store.levels.connect import Link
from plimsoll.store.levels.file import Bounds, FileLevel
from plimsoll.store.levels.shared import SharedLevel
from plimsoll.store.memory import Memory, open_memory
from plimsoll.store.record import Address
from plimsoll.store.tiered import TieredStore
from plimsoll.usage.history import History
from plimsoll.usage.sample import Quantity
from plimsoll.workload import ContainerKey, WorkloadRef
from plimsoll_operator.actuate.api import PROFILES
from plimsoll_operator.engine.core import EngineCore
from plimsoll_operator.engine.frames import Restore, Sync
from plimsoll_operator.engine.kin import kin_of
from plimsoll_operator.engine.messages import EngineSettings
from plimsoll_operator.engine.worker import answer
from plimsoll_operator.remembering import SENDING_SECONDS, Remembered
from plimsoll_operator.serve.metrics import Metrics

KEY = ContainerKey(WorkloadRef("demo", "Deployment", "web"), "app")
OTHER = ContainerKey(WorkloadRef("demo", "Deployment", "api"), "app")
HOURS = 30


def checkpoint(quantity=Quantity.USAGE, mib=100):
    """A day and more of usage, with one OOM kill in it."""
    history = History(quantity, 1)
    rows = history.add_rows(1)
    history.advance(NOW)
    seconds = NOW - 300 * np.arange(12 * HOURS)
    history.append(np.full(len(seconds), rows[0]), seconds, np.full(len(seconds), mib * 2.0**20), NOW)
    history.record_oom(rows, np.array([NOW - 3600]), np.array([mib * 2.0**20]))
    return history.checkpoint(int(rows[0]))


def shared_memory(server, path=":memory:"):
    client = fakeredis.FakeRedis(server=server, protocol=2)
    link = Link(client, lambda _key: client, lambda: None, client.close)
    shared = SharedLevel(parse_redis_address("redis://nowhere"), lambda _: link)
    return Memory(TieredStore(FileLevel(path), shared=shared))


def remembering(memory, quantity=Quantity.USAGE):
    return Remembered(memory, quantity, now=lambda: NOW)


async def test_what_is_noted_is_there_after_a_restart(tmp_path):
    before = remembering(open_memory(str(tmp_path / "m.db")))
    before.note(KEY, b"an older one", 1)
    before.note(KEY, checkpoint(), 200 << 20)
    await before.close()
    after = remembering(open_memory(str(tmp_path / "m.db")))
    found = await after.recall({7: KEY, 8: OTHER})
    assert found == {7: checkpoint()}
    (outlook,) = after.memory.optimize(NOW)
    assert (outlook.limit_bytes, outlook.hours, outlook.oom_kills) == (200 << 20, HOURS + 1, 1)
    await after.close()


async def test_another_operator_learns_it_by_redis():
    server = fakeredis.FakeServer()
    one, other = (remembering(shared_memory(server)) for _ in range(2))
    one.note(KEY, checkpoint(), None)
    await one.write()
    assert await other.recall({1: KEY}) == {1: checkpoint()}


async def test_another_quantity_is_not_mixed_in():
    memory = open_memory()
    one = remembering(memory)
    one.note(KEY, checkpoint(), None)
    await one.write()
    assert await remembering(memory, Quantity.WORKING_SET).recall({1: KEY}) == {}


async def test_while_learning_is_off_nothing_is_written():
    memory = open_memory()
    memory.set_learning(NOW, enabled=False)
    one = remembering(memory)
    one.note(KEY, checkpoint(), None)
    await one.write()
    assert await one.recall({1: KEY}) == {}


async def test_a_memory_that_fails_is_counted_and_holds_nobody_up():
    server = fakeredis.FakeServer()
    memory = shared_memory(server)
    memory.tiers.file = FileLevel(bounds=Bounds(most_records=1))
    one = remembering(memory)
    for number in range(3):
        one.note(ContainerKey(KEY.workload, f"c{number}"), checkpoint(), None)
    await one.write()
    assert one.unwritten == 2
    server.connected = False
    memory.tiers.file = FileLevel()
    one.note(KEY, checkpoint(), None)
    await one.write()
    assert await one.recall({1: KEY}) == {1: checkpoint()}


async def test_a_full_file_refuses_what_is_new_to_it_and_takes_what_has_changed():
    """One workload more than there is room for had kept all others of its half minute from being written."""
    server = fakeredis.FakeServer()
    server.connected = False
    one = remembering(shared_memory(server))
    one.memory.tiers.file = FileLevel(bounds=Bounds(most_records=2))
    known = [ContainerKey(KEY.workload, f"c{number}") for number in range(2)]
    for mib in (100, 200):
        if mib == 200:
            one.note(ContainerKey(KEY.workload, "new"), checkpoint(), None)
        for key in known:
            one.note(key, checkpoint(mib=mib), None)
        one.note_judge({"trust": mib})
        await one.write()
    kept = {key: one.memory.tiers.file.get(Address("history", str(key))) for key in known}
    assert all(decode(each.content)["checkpoint"].tobytes() == checkpoint(mib=200) for each in kept.values())
    assert one.unwritten == 1 + 2, "the new one, and the judge's word of which nothing was there"
    server.connected = True
    one.now = lambda: NOW + 3600.0
    await one.write()
    assert one.memory.tiers.file.counts()["pending"] == 0, "what is full is emptied by sending"


@pytest.mark.parametrize("last", [False, True])
async def test_as_much_is_sent_as_there_is_time_for_and_at_the_end_one_round(monkeypatch, last):
    monkeypatch.setattr("plimsoll.store.sending.SENT_AT_ONCE", 2)
    one, clock = remembering(shared_memory(fakeredis.FakeServer())), count()
    one.monotonic = lambda: next(clock) * SENDING_SECONDS / 2.5
    for number in range(9):
        one.note(ContainerKey(KEY.workload, f"c{number}"), checkpoint(), None)
    await one.write(last=last)
    assert one.memory.tiers.file.counts()["sent"] == (2 if last else 6)
    one.monotonic = lambda: 0.0
    await one.write()
    assert one.memory.tiers.file.counts()["sent"] == 9


async def test_what_was_forgotten_is_not_recalled():
    one = remembering(open_memory())
    one.note(KEY, checkpoint(), None)
    await one.write()
    forget(one.memory.tiers, None, "demo/*", NOW)
    assert await one.recall({1: KEY}) == {}


async def test_noting_is_bounded(monkeypatch):
    monkeypatch.setattr("plimsoll_operator.remembering.MOST_NOTED", 2)
    one = remembering(open_memory())
    for number in range(5):
        one.note(ContainerKey(KEY.workload, f"c{number}"), checkpoint(), None)
    one.note(ContainerKey(KEY.workload, "c1"), checkpoint(mib=50), None)
    await one.write()
    assert [each.address.key for each in one.memory.tiers.records()] != []
    assert sum(1 for _ in one.memory.tiers.records("history")) == 2


async def test_it_writes_until_it_is_ended():
    one = remembering(open_memory())
    task = asyncio.create_task(one.forever())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cluster_built_anew_knows_its_workloads_past():
    """The whole loop: the profiles of the first cluster are gone, its memory is not."""
    memory = open_memory()
    first = rig()
    first.loop._parts.keeper.memory = remembering(memory, Quantity.WORKING_SET)
    await first.once(CLUSTER_NOW)
    await first.loop._parts.keeper.memory.write()
    (record,) = memory.tiers.records("history")
    assert record.address.key == "shop/StatefulSet/web:app"
    assert record.provenance.kube_nodes == ("n1",), "where it was learned"
    second = rig()
    second.loop._parts.keeper.memory = remembering(memory, Quantity.WORKING_SET)
    assert not second.engine.restored
    await second.once(CLUSTER_NOW + 600)
    assert second.engine.restored
    assert second.engine.unsteered == set(second.engine.restored), "another fleet's price may be in it"
    third = second.restart()
    await third.once(CLUSTER_NOW + 1200)
    assert third.engine.restored
    assert not third.engine.unsteered, "what the profiles hold is this fleet's own"


async def test_metrics_tell_what_the_levels_did():
    one = remembering(shared_memory(fakeredis.FakeServer()))
    one.metrics = Metrics("test")
    one.note(KEY, checkpoint(), None)
    await one.write()
    await one.recall({1: KEY})
    await one.write()
    text = generate_latest(one.metrics.registry).decode()
    assert 'plimsoll_memory_outcomes_total{level="redis",outcome="taken"} 1.0' in text
    assert 'plimsoll_memory_outcomes_total{level="process",outcome="hit"}' in text
    assert 'plimsoll_memory_latency_seconds{level="file",operation="put",quantile="0.99"}' in text
    assert "plimsoll_memory_waiting 1.0" in text
    one.memory.tiers.file = FileLevel(bounds=Bounds(most_records=0))
    one.note(OTHER, checkpoint(), None)
    await one.write()
    assert "plimsoll_memory_unwritten_total 1.0" in generate_latest(one.metrics.registry).decode()


async def test_a_redis_that_is_away_is_shown_until_it_is_back():
    server = fakeredis.FakeServer()
    one = remembering(shared_memory(server))
    one.metrics, now = Metrics("test"), [NOW]
    one.now = lambda: now[0]
    for connected in (True, False, True):
        server.connected = connected
        now[0] += 600.0
        one.note(KEY if connected else OTHER, checkpoint(), None)
        await one.write()
        assert one.metrics.value("plimsoll_memory_redis_away") == float(not connected)
        assert bool(one.away()) == (not connected)
    alone = remembering(open_memory())
    alone.metrics = Metrics("test")
    await alone.write()
    assert alone.metrics.value("plimsoll_memory_redis_away") == 0.0
    assert alone.away() == ""


def engine_with_an_ensemble(now, source):
    core = EngineCore(EngineSettings(interval_seconds=60.0), source)
    core.sync(Sync((member(0, "a", policy=RowPolicy(model="ensemble")),), ()))
    core.tick(now)
    return core


def ensemble_weights(core):
    pipeline = core.rows.store(0).pipeline
    rows = core.rows.places(np.array([0], dtype=np.int32))
    return pipeline._models.of(model_names().index("ensemble")).weights(rows)[0]


async def test_an_ensembles_weights_outlive_profiles_and_reach_another_operator_by_redis():
    server, source = fakeredis.FakeServer(), ScriptedSource()
    source.set("a", 100.0 * MIB)
    first = engine_with_an_ensemble(ENGINE_NOW, source)
    for step in range(1, 12 * 12):
        source.set("a", (100.0 + 30.0 * np.sin(step / 12)) * MIB)
        first.tick(ENGINE_NOW + 300 * step)
    learned = ensemble_weights(first)
    assert learned.max() > 1.2 * learned.min()
    one, two = (remembering(shared_memory(server), Quantity.WORKING_SET) for _ in range(2))
    one.note(KEY, first.checkpoints((0,))[0], None)
    await one.write()
    (record,) = one.memory.tiers.records("history")
    assert (record.version, record.schema) == (1, 1), "a record of before is one of now"
    now = ENGINE_NOW + 300 * 12 * 12
    second = engine_with_an_ensemble(now, source)
    assert ensemble_weights(second) == pytest.approx(np.full(4, 0.25))
    assert second.restore(await two.recall({0: KEY})) == ()
    assert ensemble_weights(second) == pytest.approx(learned, rel=1e-3)


async def test_a_price_is_taken_over_from_a_profile_and_never_from_the_shared_memory():
    """Another cluster's fleet drove its price to sixteen times the table's; this one has learned nothing."""
    source, policy = ScriptedSource(), RowPolicy(asked=("slack", 0.2))
    source.set("a", 100.0 * MIB)
    there, recalled, here = (EngineCore(EngineSettings(interval_seconds=60.0), source) for _ in range(3))
    for core in (there, recalled, here):
        core.sync(Sync((member(0, "a", policy=policy),), ()))
    there.tick(ENGINE_NOW)
    hour = ENGINE_NOW // 3600
    there.rows.store(0).pipeline._steering.relearn({"slack": 0.2, "log": float(np.log(16)), "hour": hour})
    past = there.checkpoints((0,))
    assert answer(recalled, Restore(past, steered=False)) == answer(here, Restore(past)) == ()
    for core in (recalled, here):
        core.tick(ENGINE_NOW + 60)
        assert inside(core, 0)["peak_history_bytes"] >= 100 * MIB
    factors = [core.rows.store(0).pipeline.price_factors()["slack:0.2"] for core in (recalled, here)]
    assert factors == pytest.approx([1.0, 16.0])


async def test_a_record_from_before_weights_were_in_it_is_recalled_with_even_ones():
    source = ScriptedSource()
    source.set("a", 100.0 * MIB)
    one = remembering(open_memory(), Quantity.WORKING_SET)
    one.note(KEY, checkpoint(Quantity.WORKING_SET), None)
    await one.write()
    core = engine_with_an_ensemble(NOW + 60, source)
    assert core.restore(await one.recall({0: KEY})) == ()
    assert inside(core, 0)["peak_history_bytes"] >= 100 * MIB
    assert ensemble_weights(core) == pytest.approx(np.full(4, 0.25))


IMAGE = "x"  # of builders.clusters
KIN = "registry.example/shop/api Deployment app"


def long_past(mib=100, hours=60):
    history = History(Quantity.USAGE, 1)
    rows = history.add_rows(1)
    history.advance(NOW)
    seconds = NOW - 300.0 * np.arange(12 * hours)
    history.append(np.full(len(seconds), rows[0]), seconds, np.full(len(seconds), mib * MIB), NOW)
    return history.checkpoint(int(rows[0]))


async def test_what_an_image_did_is_there_for_another_operator_by_redis():
    server = fakeredis.FakeServer()
    one, two = remembering(shared_memory(server)), remembering(shared_memory(server))
    one.note(KEY, long_past(), None, KIN)
    one.note(OTHER, long_past(200), None, KIN)
    await one.write()
    found = await two.relatives({KIN, "registry.example/other Deployment app"})
    assert set(found) == {KIN}
    assert np.unique(np.round(np.exp(found[KIN][:, 0]) / MIB)).tolist() == [100.0, 200.0]
    assert "shop/api" in one.memory.texts()[f"history {KEY}"], "an image can be searched for"


async def test_what_is_remembered_names_the_kube_nodes_it_is_from():
    one = remembering(open_memory())
    one.note(KEY, long_past(), None, KIN, frozenset({"n2", "n1"}))
    one.note(OTHER, long_past(200), None, KIN, frozenset({"n3"}))
    await one.write()
    one.memory.learn(NOW)
    found = {record.address.kind: record.provenance for record in one.memory.tiers.records()}
    names = {
        f"{each.address.kind} {each.address.key}": each.provenance for each in one.memory.tiers.records()
    }
    assert names[f"history {KEY}"].kube_nodes == names[f"pattern {KEY}"].kube_nodes == ("n1", "n2")
    assert found["relatives"].kube_nodes == ("n1", "n2", "n3")
    assert one.memory.analyze(NOW, 3600.0).kube_nodes == 3


async def test_an_image_is_written_once_an_hour():
    clock = [NOW]
    one = Remembered(open_memory(), Quantity.USAGE, now=lambda: clock[0])
    versions = []
    for minutes, mib in ((0, 100), (30, 200), (61, 300)):
        clock[0] = NOW + 60 * minutes
        one.note(KEY, long_past(mib), None, KIN)
        await one.write()
        (record,) = one.memory.tiers.records("relatives")
        versions.append(record.version)
    assert versions == [1, 1, 2]


async def test_an_image_whose_name_is_no_key_keeps_nobody_from_being_remembered():
    one = remembering(open_memory())
    one.note(KEY, long_past(), None, f"{'x' * 600} Deployment app")
    one.note(OTHER, long_past(), None, KIN)
    await one.write()
    assert one.unwritten == 0
    assert len([*one.memory.tiers.records("history")]) == 2
    assert set(await one.relatives({KIN, f"{'x' * 600} Deployment app"})) == {KIN}


async def test_foreign_steps_are_passed_over():
    one = remembering(open_memory())
    one.memory.store("relatives", f"usage {KIN}", {"steps": np.full((99, 2), 1e30)}, NOW)
    assert await one.relatives({KIN}) == {}


async def test_a_workload_that_is_new_everywhere_hears_what_its_image_did_elsewhere():
    """The whole loop: no profile, no past of its own; the memory knows its image."""
    memory = open_memory()
    made = rig()
    keeper = made.loop._parts.keeper
    keeper.memory = remembering(memory, Quantity.WORKING_SET)
    kin = kin_of(IMAGE, "StatefulSet", "app")
    steps = np.full((48, 2), np.log(100 * MIB), np.float32)
    memory.store("relatives", f"working_set {kin}", {"steps": steps, "quantity": "working_set"}, NOW)
    await made.once(CLUSTER_NOW)
    np.testing.assert_array_equal(made.engine.related[Quantity.WORKING_SET][kin], steps)


async def test_a_workload_with_a_past_of_its_own_asks_for_nobody():
    memory = open_memory()
    first = rig()
    first.loop._parts.keeper.memory = remembering(memory, Quantity.WORKING_SET)
    await first.once(CLUSTER_NOW)
    await first.loop._parts.keeper.memory.write()
    kin = kin_of(IMAGE, "StatefulSet", "app")
    steps = np.full((48, 2), 18.0, np.float32)
    memory.store("relatives", f"working_set {kin}", {"steps": steps, "quantity": "working_set"}, NOW)
    second = rig()
    second.loop._parts.keeper.memory = remembering(memory, Quantity.WORKING_SET)
    await second.once(CLUSTER_NOW + 600)
    assert second.engine.restored
    assert second.engine.related == {}


@pytest.mark.parametrize(("hours", "heard"), [(5, True), (49, False)])
async def test_a_young_workload_hears_its_image_again_after_the_operator_was_restarted(hours, heard):
    first = rig()
    await first.once(CLUSTER_NOW)
    (profile,) = (each for key, each in first.api.objects.items() if key[0] == PROFILES.plural)
    made = datetime.fromtimestamp(CLUSTER_NOW - 3600 * hours, UTC)
    profile["metadata"]["creationTimestamp"] = f"{made:%Y-%m-%dT%H:%M:%SZ}"
    memory = open_memory()
    kin = kin_of(IMAGE, "StatefulSet", "app")
    steps = np.full((48, 2), 18.0, np.float32)
    memory.store("relatives", f"working_set {kin}", {"steps": steps, "quantity": "working_set"}, NOW)
    second = first.restart()
    mine = Remembered(memory, Quantity.WORKING_SET, now=lambda: CLUSTER_NOW)
    second.loop._parts.keeper.memory = mine
    await second.once(CLUSTER_NOW)
    assert second.engine.restored
    assert bool(second.engine.related) is heard


async def test_what_the_judge_of_placement_keeps_is_there_for_the_next_process(tmp_path):
    one = Remembered(open_memory(str(tmp_path / "memory.db")), Quantity.USAGE, now=lambda: NOW)
    assert await one.judge() is None
    one.note_judge({"count": 1.0})
    one.note_judge({"count": 2.0})
    await one.close()
    another = Remembered(open_memory(str(tmp_path / "memory.db")), Quantity.USAGE, now=lambda: NOW + 60)
    assert await another.judge() == {"count": 2.0}
    await another.close()
