"""In: an operator in which things go wrong. Out: one incident of each in its memory, written behind."""

from dataclasses import replace

import fakeredis
import numpy as np
import pytest

from builders.clusters import MIB, NOW, raw_kube_node, raw_pod
from builders.desks import Desks
from builders.learned import shared_memory
from builders.loops import MINUTE, rig
from builders.remembering import Remembering
from plimsoll.coordinate.messages import ShrinkRequest, ShrinkStage
from plimsoll.forecast.prophet import FIT_FAILED
from plimsoll.store.forgetting import forget
from plimsoll.store.incidents import Incident
from plimsoll.store.memory import open_memory
from plimsoll.usage.history import History
from plimsoll.usage.promises import REMEMBERED_HOURS
from plimsoll.usage.sample import Quantity
from plimsoll_operator import incidents
from plimsoll_operator.engine.messages import OomEvent

WEB = "shop/StatefulSet/web:app"
UID = ("uid-web-0", "app")
HOUR = 3600.0


def remembering(made=None, memory=None):
    return Remembering(made or rig(), memory or open_memory())


def killed(made, at=NOW + 10, restarts=1, name="web-0"):
    made.api.put("pods", raw_pod(name, oom_at=at, restarts=restarts))


async def with_a_kill(mine, raised_mib=1536):
    await mine.rig.once(NOW)
    killed(mine.rig)
    mine.rig.engine.raises = {UID: raised_mib}
    await mine.rig.once(NOW + 15)


async def test_a_kill_is_recorded_with_what_was_done():
    mine = remembering(rig(targets={"app": 1024}))
    await with_a_kill(mine)
    assert mine.told() == {}, "the loop writes nothing"
    await mine.round()
    kill = mine.told()["oom-kill"]
    assert (kill.whose, kill.at_seconds, kill.pods) == (WEB, NOW + 10, {"web-0"})
    assert kill.text == "the kernel killed it at its limit of 1.00 GiB"
    assert kill.done == "its limit went from 1.00 GiB to 1.50 GiB (OomKilled)"
    (record,) = mine.memory.tiers.records("incident")
    assert record.provenance.kube_nodes == ("n1",)
    assert mine.count("oom-kill") == 1


async def test_what_was_held_after_a_kill_says_why():
    mine = remembering(rig(targets={"app": 1024}))
    mine.rig.paused = True
    await with_a_kill(mine)
    await mine.round()
    assert mine.told()["oom-kill"].done.startswith("its limit was left at 1.00 GiB (Paused: ")


async def test_a_loop_that_fails_after_it_saw_a_kill_takes_it_out_of_no_memory(monkeypatch):
    mine = remembering(rig(targets={"app": 1024}))
    await mine.rig.once(NOW)
    killed(mine.rig)
    with monkeypatch.context() as broken:
        broken.setattr(mine.rig.engine, "tick", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            await mine.rig.once(NOW + 15)
    await mine.rig.once(NOW + 30)
    await mine.round()
    assert mine.told()["oom-kill"].at_seconds == NOW + 10


@pytest.mark.parametrize("led", [True, False])
async def test_a_leader_that_ends_tells_what_it_saw_though_its_lease_is_given_up(tmp_path, led):
    mine = remembering(memory=open_memory(str(tmp_path / "m.db")))
    if led:
        await mine.rig.once(NOW)
    await mine.round()
    await with_a_kill(mine)
    await mine.rig.leader.release()
    await mine.remembered.close()
    told = open_memory(str(tmp_path / "m.db")).incidents(0.0)
    assert [each.what for each in told] == (["oom-kill"] if led else [])


async def test_a_restart_sees_the_same_kill_and_records_nothing_more(tmp_path):
    mine = remembering(rig(targets={"app": 1024}), open_memory(str(tmp_path / "m.db")))
    await with_a_kill(mine)
    await mine.round()
    again = remembering(mine.rig.restart(), open_memory(str(tmp_path / "m.db")))
    for minute in range(1, 4):
        await again.rig.once(NOW + minute * MINUTE)
        await again.round()
    assert any(isinstance(each, OomEvent) for each in again.rig.engine.events), "it was seen"
    assert (again.count("oom-kill"), again.count("oom-kill", "known")) == (0, 1)
    assert again.told() == mine.told()


async def test_what_was_forgotten_does_not_come_back_with_a_restart(tmp_path):
    mine = remembering(memory=open_memory(str(tmp_path / "m.db")))
    await with_a_kill(mine)
    await mine.round()
    assert forget(mine.memory.tiers, None, "shop/*", NOW + 30).proven
    again = remembering(mine.rig.restart(), open_memory(str(tmp_path / "m.db")))
    await again.rig.once(NOW + MINUTE)
    await again.round()
    assert again.told() == {}
    assert again.count("oom-kill", "forgotten") == 1


async def test_a_standby_records_what_a_leader_that_was_killed_had_not_written_yet():
    server = fakeredis.FakeServer()
    leader = remembering(rig(targets={"app": 1024}), shared_memory(server))
    standby = remembering(memory=shared_memory(server))
    await with_a_kill(leader)  # and it is gone
    api = standby.rig.api
    api.put("leases", _lease_of("leader"))
    await standby.rig.once(NOW)
    killed(standby.rig)
    await standby.rig.once(NOW + 15)
    await standby.round()
    assert standby.told() == {}
    api.put("leases", _lease_of(""))
    standby.rig.monotonic += 60
    await standby.rig.once(NOW + 75)
    await standby.round()
    assert standby.told()["oom-kill"].done == "", "what was done it cannot know"
    await leader.round()  # it was only slow: both have seen the same
    await leader.round()
    third = shared_memory(server)
    assert third.gather(NOW + 200) == ""
    assert [each.what for each in third.incidents(0.0)] == ["oom-kill"]


def _lease_of(holder):
    spec = {"holderIdentity": holder, "leaseDurationSeconds": 15, "renewTime": "x"}
    return {"metadata": {"name": "plimsoll-operator", "namespace": "plimsoll-system"}, "spec": spec}


async def test_a_leak_is_recorded_once_with_the_policys_answer():
    mine = remembering()
    mine.rig.engine.used_mib, mine.rig.engine.leaks_mib_per_hour = 900.0, {"app": 100.0}
    mine.rig.engine.leaks_since_seconds = NOW - 60
    for minute in range(3):
        await mine.rig.once(NOW + minute * MINUTE)
        await mine.round()
    leak = mine.told()["leak"]
    assert "it grows by 100.0 MiB an hour" in leak.text
    assert leak.done == "leak.action Alert: only this is said"
    again = remembering(mine.rig.restart(), mine.memory)
    again.rig.engine.leaks_mib_per_hour = {"app": 100.0}
    again.rig.engine.leaks_since_seconds = NOW + HOUR  # another process tells it since then
    await again.rig.once(NOW + HOUR)
    await again.rig.once(NOW + HOUR + MINUTE)
    await again.round()
    assert (again.count("leak"), again.count("leak", "known")) == (0, 1)


async def test_a_shrink_that_was_taken_back_is_recorded():
    desks = Desks(rig(targets={"app": 700}))
    mine = remembering(desks.rig)
    await desks.once(NOW)
    desks.attend(NOW)
    await desks.once(NOW + MINUTE)
    (request,) = [each for each in desks.told() if isinstance(each, ShrinkRequest)]
    desks.report(request, ShrinkStage.REACHED, 600, NOW + 70)
    await desks.once(NOW + 71)
    desks.report(request, ShrinkStage.OBSERVED, 690, NOW + 73, max_mib=700, kills=1)
    await desks.once(NOW + 74)
    await desks.once(NOW + 75)
    await mine.round()
    back = mine.told()["shrink-rolled-back"]
    why = "the container was OOM-killed meanwhile"
    assert back.text == f"its limit was lowered from 1.00 GiB to 700.0 MiB, and taken back: {why}"
    assert back.done == "the old limit of 1.00 GiB was asked for again"
    assert (back.whose, back.pods, back.kube_nodes) == (WEB, {"web-0"}, {"n1"})


async def test_a_shrink_that_ended_well_is_no_incident():
    desks = Desks(rig(targets={"app": 700}))
    mine = remembering(desks.rig)
    await desks.once(NOW)
    desks.attend(NOW)
    await desks.once(NOW + MINUTE)
    (request,) = desks.told()
    desks.report(request, ShrinkStage.REACHED, 600, NOW + 70)
    await desks.once(NOW + 71)
    desks.report(request, ShrinkStage.OBSERVED, 600, NOW + 73, max_mib=700)
    await desks.once(NOW + 74)
    await mine.round()
    assert mine.rig.metrics.value("plimsoll_shrinks_total", outcome="done") == 1
    assert mine.told() == {}


async def leased(mine, desks, *, room):
    """A container that asks for a lease; without room it is refused."""
    await desks.once(NOW)
    desks.attend(NOW)
    desks.samples(900, NOW)
    if not room:
        desks.rig.api.put("nodes", raw_kube_node(memory="1080Mi"))
    await desks.once(NOW + MINUTE)
    return await desks.asks_for(400, NOW + 61)


@pytest.mark.parametrize(("seconds", "told"), [(4, True), (300, False)])
async def test_a_kill_right_after_a_lease_was_refused_says_so(seconds, told):
    desks = Desks(rig(targets={"app": 1024}))
    mine = remembering(desks.rig)
    assert (await leased(mine, desks, room=False)).limit_bytes == 0
    killed(desks.rig, at=NOW + 61 + seconds)
    await desks.once(NOW + 61 + seconds + 2)
    await mine.round()
    assert "oom-kill" in mine.told()
    assert ("lease-refused" in mine.told()) is told
    if told:
        text = mine.told()["lease-refused"].text
        assert f"{seconds} s after a burst lease was refused: there is room for" in text


@pytest.mark.parametrize(("seconds", "told"), [(30, True), (1000, False)])
async def test_a_kill_after_a_lease_has_ended_says_so(seconds, told):
    desks = Desks(rig(targets={"app": 1024}))
    mine = remembering(desks.rig)
    assert (await leased(mine, desks, room=True)).limit_bytes == 1424 * MIB
    ended = NOW + 61 + 300 + 1
    await desks.once(ended)
    killed(desks.rig, at=ended + seconds)
    await desks.once(ended + seconds + 2)
    await mine.round()
    assert ("lease-expired" in mine.told()) is told
    if told:
        assert f"{seconds} s after its burst lease had ended" in mine.told()["lease-expired"].text


async def test_a_redis_that_is_away_is_recorded_once_and_reaches_it_when_it_is_back():
    server = fakeredis.FakeServer()
    mine = remembering(memory=shared_memory(server))
    await mine.rig.once(NOW)
    await mine.round()
    server.connected = False
    for step in range(1, 5):
        await mine.rig.once(NOW + step * MINUTE)
        mine.memory.set_learning(NOW + step, enabled=True)
        await mine.round()
    away = mine.told()["redis-away"]
    assert away.whose == incidents.MEMORY
    assert "redis: down" in away.text
    assert "read from the file" in away.done
    assert mine.count("redis-away") == 1
    server.connected = True
    for step in range(10, 40, 10):
        await mine.rig.once(NOW + step * MINUTE)
        await mine.round()
    other = shared_memory(server)
    assert other.gather(NOW + HOUR) == ""
    assert [each.what for each in other.incidents(0.0)] == ["redis-away"]


async def test_a_fit_that_failed_is_recorded_and_one_that_is_awaited_is_not():
    mine = remembering()
    mine.rig.engine.stand_in = "the first fit is not done; auto stands in"
    await mine.rig.once(NOW)
    await mine.round()
    assert mine.told() == {}
    mine.rig.engine.stand_in = f"{FIT_FAILED}: no memory; auto stands in"
    for minute in range(1, 4):
        await mine.rig.once(NOW + minute * MINUTE)
        await mine.round()
    assert (
        mine.told()["forecast-failed"].text
        == "its model gave no forecast: the fit failed: no memory; auto stands in"
    )
    assert mine.count("forecast-failed") == 1


@pytest.mark.parametrize(
    ("had", "minutes", "told"), [(True, 17, True), (True, 10, False), (False, 17, False)]
)
async def test_a_forecast_that_broke_off_is_recorded_after_a_quarter_of_an_hour(had, minutes, told):
    mine = remembering(rig(targets={"app": 1024} if had else {}))
    await mine.rig.once(NOW)
    mine.rig.engine.held = "NoFreshSample"
    for minute in range(1, minutes + 1):
        await mine.rig.once(NOW + minute * MINUTE)
        await mine.round()
    assert ("forecast-broken-off" in mine.told()) is told
    if told:
        broken = mine.told()["forecast-broken-off"]
        assert mine.count("forecast-broken-off", "known") == 0, "told once"
        assert (broken.at_seconds, broken.text) == (
            NOW + MINUTE,
            "it has no forecast any more: NoFreshSample",
        )


def kept(hours, promised, exceeded):
    """A checkpoint whose promises were kept so."""
    history = History(Quantity.WORKING_SET, 1)
    rows = history.add_rows(1)
    history.advance(NOW)
    history.append(np.array([rows[0]] * 2), NOW - np.array([300.0, 0.0]), np.full(2, 100.0 * MIB), NOW)
    history.promises.merge(int(rows[0]), np.array([hours, promised, exceeded, 0.1]))
    return history.checkpoint(int(rows[0]))


@pytest.mark.parametrize(("exceeded", "told"), [(0.0, False), (3.0, False), (4.0, True), (9.0, True)])
async def test_promises_that_were_broken_far_too_often_are_recorded(exceeded, told):
    mine = remembering()
    await mine.rig.once(NOW)
    mine.remembered._noted.clear()
    group = next(iter(mine.rig.membership.groups.values()))
    key = replace(mine.rig.engine.members[UID].key)
    for hour in range(3):
        mine.rig.now_seconds = NOW + hour * HOUR
        mine.remembered.note(key, kept(REMEMBERED_HOURS, 0.5, exceeded), None)
        await mine.round()
    assert str(group.ref) in str(key)
    assert ("promise-broken" in mine.told()) is told
    assert mine.count("promise-broken") == float(told), "once a week"
    if told:
        assert (
            f"in 0.5 of the last 336 hours, and were in {exceeded:.1f}" in mine.told()["promise-broken"].text
        )


async def test_while_learning_is_off_nothing_is_recorded():
    mine = remembering()
    mine.memory.set_learning(NOW, enabled=False)
    await with_a_kill(mine)
    await mine.round()
    assert mine.told() == {}
    assert mine.count("oom-kill", "off") == 1


async def test_a_memory_that_fails_keeps_what_was_told_and_the_loop_goes_on(monkeypatch):
    mine = remembering(rig(targets={"app": 1024}))
    with monkeypatch.context() as broken:
        broken.setattr(mine.memory.tiers.file, "_write", lambda *_: 1 / 0)
        await with_a_kill(mine)
        mine.remembered._noted.clear()  # of histories
        await mine.round()
    assert mine.rig.limit() == 1536
    assert mine.count("", "failed") == 1
    await mine.round()
    assert mine.told()["oom-kill"].done.startswith("its limit went")


async def test_a_fault_in_telling_harms_no_loop(monkeypatch):
    mine = remembering(rig(targets={"app": 1024}))
    monkeypatch.setattr(incidents.Incidents, "note", lambda *_: 1 / 0)
    await with_a_kill(mine)
    assert mine.rig.limit() == 1536


def test_noting_is_bounded(monkeypatch):
    monkeypatch.setattr(incidents, "MOST_NOTED", 3)
    mine = remembering()
    for number in range(5):
        mine.incidents.note(Incident("oom-kill", f"demo/Deployment/w{number}:app", NOW, "killed"))
    mine.incidents.note(Incident("oom-kill", "demo/Deployment/w0:app", NOW, "killed", "raised"))
    mine.incidents.note(Incident("oom-kill", "demo/Deployment/w0:app", float("nan"), "killed"))
    mine.rig.now_seconds = NOW
    assert len(mine.incidents._noted) == 3
    assert mine.count("oom-kill", "dropped") == 2


async def test_without_a_memory_nothing_is_told():
    made = rig()
    await made.once(NOW)
    killed(made)
    await made.once(NOW + 15)
    assert made.loop._parts.keeper.memory is None
