"""In: pods that are killed, restarted, replaced, rolled out and scaled. Out: which starts a row is told, and
a leak that is seen through them.
"""

import numpy as np
import pytest

from builders.clusters import NOW, furnish, owner, raw_pod, raw_policy
from builders.kubeapi import MemoryApi
from builders.loops import MINUTE, Rig, WholeEngine, rig
from plimsoll_operator.engine.messages import OomEvent, RestartEvent

HOUR, BIN = 3600.0, 300.0
LIFE_BINS = 120  # ten hours: what leaks dies within the day that a leak must last to be told in one life


def starts(made):
    return [(each.pod_uid, each.at_seconds) for each in made.engine.events if isinstance(each, RestartEvent)]


def put(made, *names, at=NOW - 7200):
    for name in names:
        made.api.put("pods", raw_pod(name, uid=f"uid-{name}", started_at=at))


def drop(made, *names):
    for name in names:
        del made.api.objects["pods", "shop", name]


async def test_a_kill_that_is_seen_after_the_restart_is_a_kill_and_a_start():
    made = rig(targets={})
    await made.once(NOW)
    made.api.put("pods", raw_pod(oom_at=NOW + 10, restarts=1, started_at=NOW + 12))
    await made.once(NOW + 20)
    assert [type(each) for each in made.engine.events] == [OomEvent, RestartEvent]
    assert made.engine.events[1] == RestartEvent("uid-web-0", "app", NOW + 12)
    await made.once(NOW + 80)
    assert len(made.engine.events) == 2


async def test_a_kill_that_is_seen_before_the_restart_has_its_start_once_it_is_there():
    made = rig(targets={})
    await made.once(NOW)
    dead = raw_pod(oom_at=NOW + 10)
    status = dead["status"]["containerStatuses"][0]
    status["state"] = status.pop("lastState")
    made.api.put("pods", dead)
    await made.once(NOW + 20)
    assert [type(each) for each in made.engine.events] == [OomEvent]
    made.api.put("pods", raw_pod(oom_at=NOW + 10, restarts=1, started_at=NOW + 50))
    await made.once(NOW + 60)
    assert starts(made) == [("uid-web-0", NOW + 50)]


@pytest.mark.parametrize("beside_seconds", [0.0, 40.0, -40.0], ids=["at once", "beside", "later"])
async def test_a_pod_in_the_place_of_the_only_one_is_a_start(beside_seconds):
    made = rig(raw_pod("a"), targets={})
    await made.once(NOW)
    ended = NOW + 600
    came = ended - beside_seconds
    for at in sorted({came, ended}):
        if at == came:
            put(made, "b", at=came)
        if at == ended:
            drop(made, "a")
        await made.once(at + 10)
    await made.once(NOW + 700)
    assert starts(made) == [("uid-b", came)]
    put(made, "c", at=NOW + 2 * HOUR)
    drop(made, "b")
    await made.once(NOW + 2 * HOUR + 10)
    assert starts(made)[1:] == [("uid-c", NOW + 2 * HOUR)]


async def test_a_pod_that_runs_later_than_it_is_made_begins_when_it_runs():
    made = rig(raw_pod("a"), targets={})
    await made.once(NOW)
    pulling = raw_pod("b", uid="uid-b", phase="Pending")
    pulling["status"]["containerStatuses"][0]["state"] = {"waiting": {"reason": "ContainerCreating"}}
    made.api.put("pods", pulling)
    drop(made, "a")
    await made.once(NOW + MINUTE)
    assert starts(made) == []
    put(made, "b", at=NOW + 110)
    await made.once(NOW + 2 * MINUTE)
    assert starts(made) == [("uid-b", NOW + 110)]


async def test_a_rollout_is_one_start_when_the_last_old_pod_is_gone():
    made = rig(*(raw_pod(f"a{each}", uid=f"uid-a{each}") for each in range(3)), targets={})
    await made.once(NOW)
    for each in range(3):
        put(made, f"b{each}", at=NOW + 50 + each * 100)
        await made.once(NOW + each * 100 + 60)
        drop(made, f"a{each}")
        await made.once(NOW + each * 100 + 90)
        assert starts(made) == ([("uid-b0", NOW + 50)] if each == 2 else [])
    for each in range(3):  # the next one right after it
        put(made, f"c{each}", at=NOW + 400 + each * 100)
        drop(made, f"b{each}")
        await made.once(NOW + 400 + each * 100 + 10)
    assert starts(made)[1:] == [("uid-c0", NOW + 400)]


async def test_more_replicas_and_fewer_again_restart_nothing():
    made = rig(raw_pod("a"), targets={})
    await made.once(NOW)
    put(made, "b", "c", at=NOW + MINUTE)
    await made.once(NOW + 2 * MINUTE)
    drop(made, "c")
    await made.once(NOW + 3 * MINUTE)
    put(made, "d", at=NOW + HOUR)
    await made.once(NOW + HOUR + 10)
    drop(made, "a")  # b has shared in what the row used for hours, and d has not
    await made.once(NOW + 3 * HOUR)
    assert starts(made) == []


async def test_one_of_several_that_is_replaced_restarts_nothing():
    made = rig(raw_pod("a"), raw_pod("b"), targets={})
    await made.once(NOW)
    drop(made, "a")
    put(made, "c", at=NOW + MINUTE)
    await made.once(NOW + 2 * MINUTE)
    assert starts(made) == []


async def test_the_next_run_of_a_job_restarts_nothing():
    nightly = owner("Job", "nightly", "batch/v1")
    made = rig(raw_pod("a", owner=nightly), targets={})
    made.api.put("jobs", {"kind": "Job", "metadata": {"name": "nightly", "namespace": "shop"}})
    await made.once(NOW)
    assert made.engine.members
    drop(made, "a")
    made.api.put("pods", raw_pod("b", owner=nightly, started_at=NOW + MINUTE))
    await made.once(NOW + 2 * MINUTE)
    assert {uid for uid, _ in made.engine.members} == {"uid-b"}
    assert starts(made) == []


# -- a leak through its lives ----------------------------------------------------------------------


def leaking_cluster():
    made = Rig(furnish(MemoryApi(), raw_pod("web-0"), policy=raw_policy(mode="Recommend")), WholeEngine())
    made.noise = np.random.default_rng(1)
    return made


def pod_of(life, ends, begun):
    """The pod as it is in its `life`: killed and restarted, or another one."""
    if ends == "killed":
        killed = {"oom_at": begun - 10, "restarts": life} if life else {}
        return raw_pod("web-0", limit="1Gi", started_at=begun, **killed)
    return raw_pod("web-0", uid=f"uid-{life}", limit="1Gi", started_at=begun)


async def live(made, ends, lives):
    """A loop every five minutes; yields the life and whether a leak is told."""
    begun = NOW // BIN * BIN
    for bin_ in range(lives * LIFE_BINS):
        life, lived = divmod(bin_, LIFE_BINS)
        now = begun + bin_ * BIN
        if lived == 0:
            made.api.put("pods", pod_of(life, ends, now))
        used = (300 + 700 * lived / LIFE_BINS) * made.noise.normal(1, 0.01)
        made.engine.use({"web-0": used})
        await made.once(now + 20)
        group = next(iter(made.membership.groups.values()))
        yield life, made.loop._parts.asks.leak(group.rows["app"]) is not None


@pytest.mark.parametrize("ends", ["killed", "replaced"])
async def test_a_leak_that_dies_within_half_a_day_is_told_in_its_second_and_third_life(ends):
    told = {life for life, leaks in [each async for each in live(leaking_cluster(), ends, 3)] if leaks}
    assert told >= {1, 2}


async def test_a_start_while_no_operator_looked_is_one_where_all_of_the_past_is_older():
    made = leaking_cluster()
    begun = NOW // BIN * BIN
    async for _ in live(made, "replaced", 1):
        pass
    later = begun + (LIFE_BINS + 6) * BIN
    await made.once(later - 4 * BIN)
    made.api.put("pods", pod_of(1, "replaced", later - 20))
    second = Rig(made.api, WholeEngine())
    second.engine.use({"web-0": 300.0})
    await second.once(later)
    assert starts_on_record(second) == [later - 20]
    third = Rig(made.api, WholeEngine())  # the same pod under another operator: told once
    third.engine.use({"web-0": 300.0})
    await third.once(later + 600)
    assert starts_on_record(third) == [later - 20]
    fresh = Rig(furnish(MemoryApi(), pod_of(1, "replaced", later - 20)), WholeEngine())
    fresh.engine.use({"web-0": 300.0})
    await fresh.once(later)
    assert starts_on_record(fresh) == [], "the first that anybody has seen of it restarts nothing"


def starts_on_record(made):
    core = made.engine.core
    seconds = core.rows.store(0).history.restarts(core.rows.place(0)).seconds
    return seconds[np.isfinite(seconds)].tolist()
