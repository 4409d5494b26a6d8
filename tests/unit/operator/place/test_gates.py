"""In: nodes without room for a new pod, others that could leave, a sweeper. Out: the pod is held, room is
made, and it is let go: also where the leader is not the one that held it, and in every fault. Real: loop,
placer, reliever, gate keeper, admission, fence.
"""

import copy

import pytest

from builders.clusters import NOW, raw_pod, raw_policy, stamp
from builders.placing import new_pod, owned, placed, placing, preferred, reviewed, room_node
from plimsoll_operator.actuate.api import ApiError, PodRef
from plimsoll_operator.parse import pod as parsed
from plimsoll_operator.place.gate import GATE, GATE_ANNOTATION, GATE_SECONDS, LONGEST_SECONDS, told
from plimsoll_operator.place.gating import MOST_GATED

RECREATE = "InPlaceOrRecreate"
EVICT = {"node": "Prefer", "relief": "Evict"}
UID = "uid-new"


def sweeper():
    """A sweeper's pod that is ready."""
    labels = {"app.kubernetes.io/component": "sweeper"}
    return raw_pod("sweeper-0", "plimsoll-system", labels=labels, node="home")


def cluster(node="Prefer", *, relief="Evict", gates=True, nodes=("4Gi", "4Gi"), **settings):
    """`web` needs 2000 MiB and fits nowhere: of each node 2500 are spoken for; `small` could leave."""
    kube_nodes = [room_node(f"n{at + 1}", memory=memory) for at, memory in enumerate(nodes)]
    pods = [
        owned("base", "base-0", "n1"),
        owned("base", "base-1", "n2"),
        owned("small", "small-0", "n1"),
        owned("small", "small-1", "n2"),
        owned("web", "web-0", "home"),
    ]
    day = {"base": 1800.0, "small": 700.0, "web": 2000.0}
    rig = placing(
        [*kube_nodes, room_node("home", unschedulable=True)], pods, day, placement_gates=gates, **settings
    )
    rig.api.put("memorypolicies", raw_policy(mode=RECREATE, placement={"node": node, "relief": relief}))
    rig.api.put("pods", sweeper())
    return rig


async def looped(rig, **more):
    for now in (NOW, NOW + 60):
        await rig.once(now, **more)
    return rig


async def made(rig, uid="11112222-3333", **review):
    """A pod that is created and stored as the webhook answered; returns it."""
    pod = await reviewed(rig, new_pod(), uid=uid, **review)
    pod = copy.deepcopy(pod)
    pod["status"] = {"phase": "Pending"}
    pod["metadata"] |= {
        "uid": f"uid-{uid}",
        "name": f"web-{uid}",
        "creationTimestamp": stamp(rig.now_seconds),
    }
    rig.api.put("pods", pod)
    rig.placer.seen(parsed(pod))
    return pod


def held(rig, pod):
    """Whether our gate is on the stored pod."""
    spec = rig.api.get("pods", "shop", pod["metadata"]["name"])["spec"]
    return [each["name"] for each in spec.get("schedulingGates", ())] == [GATE]


async def test_a_pod_waits_until_those_who_leave_are_gone():
    rig = await looped(cluster())
    pod = await made(rig)
    assert held(rig, pod)
    (there,) = preferred(pod)
    assert "once room is made" in pod["metadata"]["annotations"]["plimsoll.dev/placement"]
    assert parsed(pod).gate.until_seconds == rig.now_seconds + GATE_SECONDS
    keep_terminating(rig)

    assert await rig.keeper_of_gates.once() == 1
    assert rig.api.evicted == [f"small-{int(there[1]) - 1}"]
    rig.now_seconds += 1
    await rig.keeper_of_gates.once()
    assert held(rig, pod)  # it is terminating

    del rig.api.objects["pods", "shop", rig.api.evicted[0]]
    rig.now_seconds += 1
    await rig.keeper_of_gates.once()
    assert not held(rig, pod)
    assert rig.metrics.value("plimsoll_gates_total", outcome="made") == 1
    assert await rig.keeper_of_gates.once() == 0


def keep_terminating(rig):
    """Evicted pods stay for their grace period, as they do in a cluster."""

    async def evict(pod: PodRef, *, dry_run=False):
        assert not dry_run  # of a single one
        rig.api.evicted.append(pod.name)
        rig.api.get("pods", pod.namespace, pod.name)["metadata"]["deletionTimestamp"] = stamp(rig.now_seconds)

    rig.api.evict = evict


async def test_it_is_let_go_when_its_time_is_over_though_they_linger():
    rig = await looped(cluster())
    pod = await made(rig)
    keep_terminating(rig)
    await rig.keeper_of_gates.once()
    rig.now_seconds += GATE_SECONDS
    await rig.keeper_of_gates.once()
    assert not held(rig, pod)
    assert rig.metrics.value("plimsoll_gates_total", outcome="late") == 1


def packed(**settings):
    """For `web` (2000 MiB) both `small` and `other` (800 each) must leave n1; n3 has room for both."""
    nodes = [room_node("n1"), room_node("n3", memory="1900Mi"), room_node("home", unschedulable=True)]
    pods = [
        owned(name, f"{name}-{at}", where)
        for name in ("base", "small", "other")
        for at, where in enumerate(("n1", "home"))
    ]
    pods.append(owned("web", "web-0", "home"))
    day = {"base": 1500.0, "small": 800.0, "other": 800.0, "web": 2000.0}
    rig = placing(nodes, pods, day, placement_gates=True, **settings)
    policy = raw_policy(mode=RECREATE, placement=EVICT)
    policy["spec"]["updates"] = {"budget": {"evictionsPerHour": 10}}
    rig.api.put("memorypolicies", policy)
    stays = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "base"}
    rig.api.put("memorypolicies", raw_policy("stays", targetRef=stays, placement={"node": "Prefer"}))
    rig.api.put("pods", sweeper())
    return rig


async def test_all_who_stand_in_the_way_leave_together():
    rig = await looped(packed())
    pod = await made(rig)
    await rig.keeper_of_gates.once()
    assert sorted(rig.api.evicted) == ["other-0", "small-0"]
    await rig.keeper_of_gates.once()
    assert not held(rig, pod)
    assert rig.metrics.value("plimsoll_gates_total", outcome="made") == 1


async def test_two_replicas_of_one_workload_never_leave_for_one_pod():
    rig = packed()
    for name in ("other-0", "other-1"):
        del rig.api.objects["pods", "shop", name]
    rig.api.put("pods", owned("small", "small-2", "n1"))
    await looped(rig)
    assert not held(rig, await made(rig))
    assert rig.api.evicted == []


@pytest.mark.parametrize("grace", [None, 30, 6, "5", True, -1])
async def test_nobody_is_held_for_room_that_cannot_be_there_in_time(grace):
    rig = cluster()
    for at in range(2):
        pod = owned("small", f"small-{at}", f"n{at + 1}", grace=None)
        if grace is not None:
            pod["spec"]["terminationGracePeriodSeconds"] = grace
        rig.api.put("pods", pod)
    await looped(rig)
    assert not held(rig, await made(rig))
    assert rig.api.evicted == []


async def test_nobody_is_held_where_the_evictions_of_the_hour_do_not_suffice():
    rig = await looped(packed(relief_evictions_per_hour=1))
    assert not held(rig, await made(rig))


async def test_where_one_may_not_leave_nobody_does():
    rig = await looped(packed())
    pod = await made(rig)
    rig.api.fail("evict_dry_run", ApiError(429, "TooManyRequests", "budget"))
    await rig.keeper_of_gates.once()
    assert (rig.api.evicted, held(rig, pod)) == ([], False)
    assert rig.metrics.value("plimsoll_gates_total", outcome="no-room") == 1


async def test_room_that_is_made_by_half_is_not_told_as_made():
    rig = await looped(packed())
    pod = await made(rig)
    evict = rig.api.evict

    async def once(pod, *, dry_run=False):
        if rig.api.evicted and not dry_run:
            raise ApiError(429, "TooManyRequests", "a budget that both share")
        await evict(pod, dry_run=dry_run)

    rig.api.evict = once
    await rig.keeper_of_gates.once()
    assert len(rig.api.evicted) == 1
    assert not held(rig, pod)
    assert rig.metrics.value("plimsoll_gates_total", outcome="partly") == 1
    assert rig.metrics.value("plimsoll_gates_total", outcome="made") == 0


async def test_require_is_held_too():
    rig = await looped(cluster("Require"))
    assert held(rig, await made(rig))
    assert rig.metrics.value("plimsoll_placements_total", outcome="held") == 1


def no_sweeper(rig):
    del rig.api.objects["pods", "plimsoll-system", "sweeper-0"]


def unready_sweeper(rig):
    rig.api.get("pods", "plimsoll-system", "sweeper-0")["status"]["conditions"] = []


def ending_sweeper(rig):
    rig.api.get("pods", "plimsoll-system", "sweeper-0")["metadata"]["deletionTimestamp"] = stamp(NOW)


def somebody_elses_sweeper(rig):
    no_sweeper(rig)
    rig.api.put("pods", raw_pod("fake", "shop", labels={"app.kubernetes.io/component": "sweeper"}))


def silent(rig):
    rig.engine.silent = {"n1", "n2"}


def untrusted(rig):
    rig.engine.hindcast = (3.0, 2.0)


def failing(rig):
    rig.engine.problems = ("metrics-api: no answer",)


def single_replicas(rig):
    for name in ("small-1", "base-1"):
        del rig.api.objects["pods", "shop", name]


@pytest.mark.parametrize(
    "fault",
    [
        no_sweeper,
        unready_sweeper,
        ending_sweeper,
        somebody_elses_sweeper,
        silent,
        untrusted,
        failing,
        single_replicas,
    ],
)
async def test_nobody_is_held_where_it_could_do_harm_or_no_good(fault):
    rig = cluster()
    fault(rig)
    await looped(rig)
    pod = await made(rig)
    assert not held(rig, pod)


@pytest.mark.parametrize(
    "settings",
    [
        {"gates": False},
        {"relief": "Propose"},
        {"settle": "1h"},
        {"nodes": ("4Gi", "8Gi")},
        {"nodes": ("3Gi", "3Gi")},
    ],
    ids=str,
)
async def test_nobody_is_held_where_nobody_asks_for_it_or_room_is_there_or_cannot_be_made(settings):
    rig = await looped(cluster(**settings))
    assert not held(rig, await made(rig))


async def test_a_loop_that_is_old_holds_nobody():
    rig = await looped(cluster())
    rig.now_seconds += 181
    assert not held(rig, await made(rig))


async def test_the_sweeper_that_ends_is_heard_of_at_once():
    rig = await looped(cluster())
    ending_sweeper(rig)
    rig.placer.seen(parsed(rig.api.get("pods", "plimsoll-system", "sweeper-0")))
    assert not held(rig, await made(rig))


async def test_few_are_held_at_the_same_time():
    rig = await looped(cluster())
    for at in range(MOST_GATED):
        waiting = gated(f"waits-{at}")
        rig.placer.seen(parsed(waiting))
    assert not held(rig, await made(rig))


def many(count=12):
    """As many pairs of nodes: on each one pod of `web` fits where `small` leaves, and one place to go to."""
    names = [f"n{at}" for at in range(count)]
    nodes = [room_node(name) for name in names] + [room_node("home", unschedulable=True)]
    nodes += [room_node(f"spare-{at}", memory="800Mi") for at in range(count)]
    pods = [owned("base", f"base-{at}", name) for at, name in enumerate(names)]
    pods += [owned(f"small-{at}", f"small-{at}-0", name) for at, name in enumerate(names)]
    pods += [owned(f"small-{at}", f"small-{at}-1", "home") for at in range(count)]
    pods.append(owned("web", "web-0", "home"))
    day = {"base": 1800.0, "web": 2000.0} | {f"small-{at}": 700.0 for at in range(count)}
    rig = placing(nodes, pods, day, placement_gates=True)
    rig.api.put("memorypolicies", raw_policy(mode=RECREATE, placement=EVICT))
    rig.api.put("pods", sweeper())
    return rig


async def holds(rig, uid, **review):
    """Whether a pod that is created is held; no watch shows it."""
    pod = await reviewed(rig, new_pod(), uid=uid, **review)
    return [each["name"] for each in pod["spec"].get("schedulingGates", ())] == [GATE]


async def test_a_rollout_faster_than_the_watch_is_held_no_further():
    rig = await looped(many())
    assert all([await holds(rig, f"{at:04}dddd", dryRun=True) for at in range(MOST_GATED + 1)])
    found = [await holds(rig, f"{at:04}aaaa") for at in range(MOST_GATED + 2)]
    assert found == [True] * MOST_GATED + [False] * 2
    rig.now_seconds += LONGEST_SECONDS  # none of them came
    assert await holds(rig, "0099aaaa")


async def test_what_the_watch_shows_counts_once():
    rig = await looped(many())
    for at in range(MOST_GATED - 1):
        assert held(rig, await made(rig, f"{at:04}aaaa"))
    assert await holds(rig, "0098aaaa")
    assert not await holds(rig, "0099aaaa")


def gated(name, until=NOW + 66, placement="n1: said (abc)"):
    """A stored pod with our gate."""
    pod = new_pod()
    pod["status"] = {"phase": "Pending"}
    pod["metadata"] |= {"uid": f"uid-{name}", "name": name, "creationTimestamp": stamp(NOW)}
    pod["metadata"]["annotations"] = {"plimsoll.dev/placement": placement, GATE_ANNOTATION: told(until)}
    pod["spec"]["schedulingGates"] = [{"name": GATE}]
    return pod


async def test_of_two_operators_the_one_that_leads_makes_room_for_what_the_other_holds():
    leads = await looped(cluster())
    stands_by = leads.restart()
    stands_by.engine = leads.engine
    stands_by.engine.hindcast = (1.0, 2.0)
    # Its placer is a new process' own, and looks at the same cluster.
    other = type(leads)(leads.api, leads.engine, **leads.settings.model_dump())
    await looped(other, leading=False)
    pod = await made(other)
    assert held(other, pod)
    assert await other.keeper_of_gates.once() == 1
    assert leads.api.evicted == []
    leads.placer.seen(parsed(pod))
    leads.now_seconds = other.now_seconds
    await leads.keeper_of_gates.once()
    assert len(leads.api.evicted) == 1
    await leads.keeper_of_gates.once()
    assert not held(leads, pod)


async def test_two_that_decide_at_once_evict_no_more_than_the_budgets_let_them():
    rig = await looped(cluster(nodes=("4Gi", "4Gi", "1800Mi")))  # room for both of `small`, not for `web`
    first, second = await made(rig, "aaaa"), await made(rig, "bbbb")
    assert held(rig, first)
    assert held(rig, second)
    assert preferred(first) != preferred(second)
    await rig.keeper_of_gates.once()
    await rig.keeper_of_gates.once()
    # Of `small` one pod is left, and nobody evicts a single replica: the second waits for nothing.
    assert len(rig.api.evicted) == 1
    assert not held(rig, first)
    assert not held(rig, second)


async def test_a_node_that_vanishes_between_decision_and_bind_lets_the_pod_go_at_once():
    rig = await looped(cluster())
    pod = await made(rig)
    del rig.api.objects["nodes", "", preferred(pod)[0]]
    await rig.once(NOW + 62)
    await rig.keeper_of_gates.once()
    assert not held(rig, pod)
    assert rig.api.evicted == []
    assert rig.metrics.value("plimsoll_gates_total", outcome="no-room") == 1


async def test_samples_that_fall_silent_meanwhile_move_nobody():
    rig = await looped(cluster())
    pod = await made(rig)
    rig.engine.silent = {"n1", "n2"}
    await rig.once(NOW + 62)
    await rig.keeper_of_gates.once()
    assert not held(rig, pod)
    assert rig.api.evicted == []


async def test_a_disruption_budget_that_refuses_lets_the_pod_go():
    rig = await looped(cluster())
    pod = await made(rig)
    rig.api.fail("evict", ApiError(429, "TooManyRequests", "budget"))
    await rig.keeper_of_gates.once()
    assert not held(rig, pod)


async def test_a_gate_that_somebody_forged_is_lifted_and_moves_nobody():
    rig = await looped(cluster())
    for forged in (gated("a", until=NOW + 9e9), gated("b", placement="n1: said (abc)")):
        rig.api.put("pods", forged)
        await rig.keeper_of_gates.once()
        assert not held(rig, forged)
    assert rig.api.evicted == []


async def test_an_operator_that_has_just_started_lets_everybody_go():
    rig = await looped(cluster())
    pod = await made(rig)
    fresh = rig.restart()
    fresh.now_seconds = NOW + 61
    await fresh.leader.renew()
    await fresh.keeper_of_gates.once()
    assert not held(rig, pod)


async def test_a_write_that_fails_is_tried_again():
    rig = await looped(cluster())
    rig.api.put("pods", forged := gated("a"))
    rig.api.fail("lift_gate", ApiError(0, "NoAnswer", ""))
    await rig.keeper_of_gates.once()
    assert held(rig, forged)
    rig.now_seconds += LONGEST_SECONDS
    await rig.keeper_of_gates.once()
    assert not held(rig, forged)


async def test_the_record_knows_what_the_successor_needs_though_the_pod_is_held():
    pod = gated("x")
    pod["metadata"]["ownerReferences"][0]["uid"] = "uid-of-its-own"
    assert parsed(pod).needs is not None
    assert placed(pod).kube_node == "n1"
