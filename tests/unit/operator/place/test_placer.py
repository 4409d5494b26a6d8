"""A pod that is created in a cluster that has looped: where it is told to go, and when it is told nothing.

In: kube nodes, pods, what the engine foretells. Out: the pod as the API server would store it. Real: loop,
membership, placer, admission, patches.
"""

import asyncio

import numpy as np
import pytest

from builders.clusters import MIB, NOW, raw_policy, stamp
from builders.placing import (
    ForetellingEngine,
    new_pod,
    owned,
    placed,
    placing,
    preferred,
    reviewed,
    room_node,
    told,
)
from plimsoll.placement.choose import DEFAULT_BOUND

HOUR = int(NOW // 3600) % 24
TONIGHT = np.where(np.arange(24) == (HOUR + 6) % 24, 3600.0, 500.0)
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def two_nodes(node="Prefer", **more):
    """n1 has more free now and will not tonight; n2 stays as it is. `web` runs on a third, cordoned."""
    nodes = [room_node("n1"), room_node("n2"), room_node("n3", unschedulable=True)]
    pods = [owned("night", "night-0", "n1"), owned("steady", "steady-0", "n2"), owned("web", "web-0", "n3")]
    return placing(nodes, pods, {"night": TONIGHT, "steady": 2000.0, "web": 1000.0}, node, **more)


async def looped(rig, now=NOW):
    await rig.once(now)
    return rig


async def test_a_pod_goes_where_there_will_be_room_though_another_has_more_free_now():
    rig = await looped(two_nodes())
    pod = await reviewed(rig, new_pod())
    assert preferred(pod) == ["n2"]
    assert placed(pod).kube_node == "n2"
    assert told(pod).startswith("n2: chance of being short of memory within a day 0.00% before")
    assert rig.metrics.value("plimsoll_placements_total", outcome="preferred") == 1
    assert rig.metrics.value("plimsoll_placement_trusted") == 1


@pytest.mark.parametrize(
    ("policy", "paused"),
    [
        ({"mode": "InPlace"}, False),
        ({"mode": "InPlace", "placement": {"node": "Off"}}, False),
        ({"mode": "Recommend", "placement": {"node": "Require"}}, False),
        ({"mode": "Off", "placement": {"node": "Require"}}, False),
        ({"mode": "InPlace", "placement": {"node": "Prefer"}}, True),
    ],
)
async def test_nobody_asks_so_nothing_is_computed_sent_or_said(policy, paused):
    rig = two_nodes()
    rig.api.put("memorypolicies", raw_policy(**policy))
    rig.paused = paused
    await looped(rig)
    assert rig.engine.asked == [False]
    assert await reviewed(rig, new_pod()) == new_pod()


async def test_a_policy_that_stops_asking_is_heard_at_the_next_loop():
    rig = await looped(two_nodes())
    rig.api.put("memorypolicies", raw_policy(placement={"node": "Off"}))
    await rig.once(NOW + 60)
    assert rig.engine.asked == [True, False]
    assert await reviewed(rig, new_pod()) == new_pod()


async def test_before_the_first_loop_and_long_after_the_last_there_is_no_opinion():
    rig = two_nodes()
    assert await reviewed(rig, new_pod()) == new_pod()
    await looped(rig)
    rig.now_seconds = NOW + 181
    assert await reviewed(rig, new_pod()) == new_pod()
    assert rig.metrics.value("plimsoll_placements_total", outcome="stale") == 1


async def test_forecasts_that_are_worse_than_requests_are_not_followed():
    rig = two_nodes()
    rig.engine.hindcast = (3.0, 2.0)
    await looped(rig)
    assert await reviewed(rig, new_pod()) == new_pod()
    assert rig.metrics.value("plimsoll_placements_total", outcome="untrusted") == 1


async def test_a_source_that_fails_ends_opinions():
    rig = two_nodes()
    rig.engine.problems = ("metrics-api: no answer",)
    await looped(rig)
    assert await reviewed(rig, new_pod()) == new_pod()
    assert rig.metrics.value("plimsoll_placements_total", outcome="no-usage") == 1


async def test_a_workload_nobody_has_seen_is_left_to_the_scheduler():
    rig = await looped(two_nodes())
    assert await reviewed(rig, new_pod("fresh")) == new_pod("fresh")
    assert rig.metrics.value("plimsoll_placements_total", outcome="unknown") == 1


async def test_of_a_kube_node_that_gives_no_sample_there_is_no_opinion():
    rig = two_nodes()
    rig.engine.silent = {"n1"}
    await looped(rig)
    assert preferred(await reviewed(rig, new_pod())) == ["n2"]
    rig.engine.silent = {"n2"}  # on n1 there is no room
    await rig.once(NOW + 60)
    assert await reviewed(rig, new_pod()) == new_pod()
    assert rig.metrics.value("plimsoll_placements_total", outcome="half-known") == 1
    rig.engine.silent = {"n1", "n2"}
    await rig.once(NOW + 120)
    assert await reviewed(rig, new_pod()) == new_pod()


async def test_what_is_not_known_counts_with_its_request():
    rig = two_nodes()
    rig.api.put("pods", owned("stranger", "stranger-0", "n2", request="2Gi"))
    await looped(rig)
    assert preferred(await reviewed(rig, new_pod())) == ["n1"]  # 2000 + 2048 + 1000 MiB do not fit n2


async def test_a_batch_of_replicas_is_spread_as_the_bound_wants_it():
    nodes = [room_node(f"n{at}") for at in range(4)] + [room_node("home", unschedulable=True)]
    rig = await looped(placing(nodes, [owned("web", "web-0", "home")], {"web": 1200.0}))
    where = [preferred(await reviewed(rig, new_pod(request="64Mi"), uid=f"{at:012}"))[0] for at in range(12)]
    counts = sorted(where.count(f"n{at}") for at in range(4))
    assert counts == [3, 3, 3, 3]  # three of 1200 MiB fit 4096, four do not
    assert rig.metrics.value("plimsoll_placements_total", outcome="preferred") == 12


async def test_a_dry_run_leaves_no_trace():
    nodes = [room_node("n1"), room_node("n2"), room_node("home", unschedulable=True)]
    rig = await looped(placing(nodes, [owned("web", "web-0", "home")], {"web": 3000.0}))
    first = preferred(await reviewed(rig, new_pod(), uid="a1", dryRun=True))
    assert first == preferred(await reviewed(rig, new_pod(), uid="a2"))
    assert first != preferred(await reviewed(rig, new_pod(), uid="a3"))


async def test_the_answer_is_the_same_for_the_same_state():
    one, other = await looped(two_nodes()), await looped(two_nodes())
    assert await reviewed(one, new_pod()) == await reviewed(other, new_pod())


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "DaemonSet"},
        {"nodeName": "n1"},
        {"annotations": {"kubernetes.io/config.mirror": "x"}},
        {"annotations": {"plimsoll.dev/placement": "n1: said before (abc)"}},
        {"schedulerName": "other"},
        {"schedulingGates": [{"name": "example.com/wait"}]},
    ],
)
async def test_pods_whose_node_is_somebody_elses_to_say_are_left_alone(change):
    rig = await looped(two_nodes())
    pod = new_pod()
    if "kind" in change:
        pod["metadata"]["ownerReferences"][0]["kind"] = change["kind"]
    elif "annotations" in change:
        pod["metadata"] |= change
    else:
        pod["spec"] |= change
    assert await reviewed(rig, pod) == pod


async def test_replicas_that_must_be_apart_are_not_sent_where_one_is_or_is_expected():
    nodes = [room_node("n1"), room_node("n2"), room_node("n3")]
    rig = await looped(placing(nodes, [owned("web", "web-0", "n1")], {"web": 100.0}))
    terms = [{"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "web"}}}]
    apart = {"affinity": {"podAntiAffinity": {REQUIRED: terms}}}
    where = [preferred(await reviewed(rig, new_pod(**apart), uid=f"u{at}")) for at in range(3)]
    assert sorted(where[:2]) == [["n2"], ["n3"]]
    assert where[2] == []


async def test_require_excludes_nodes_that_would_be_short_and_no_others():
    rig = await looped(two_nodes("Require"))
    theirs = {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}
    affinity = {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [theirs, {}]}}}
    pod = await reviewed(rig, new_pod(affinity=affinity))
    first, second = pod["spec"]["affinity"]["nodeAffinity"][REQUIRED]["nodeSelectorTerms"]
    assert first["matchExpressions"][0] == theirs["matchExpressions"][0]
    assert first["matchExpressions"][1] == {
        "key": "kubernetes.io/hostname",
        "operator": "NotIn",
        "values": ["n1"],
    }
    assert second == {}  # a term that matches nothing goes on matching nothing
    assert preferred(pod) == ["n2"]
    assert rig.metrics.value("plimsoll_placements_total", outcome="required") == 1


async def test_require_excludes_nothing_where_no_node_keeps_the_bound_and_prefers_the_widest_margin():
    rig = two_nodes("Require")
    rig.engine.day_mib |= {"steady": 3900.0}
    await looped(rig)
    pod = await reviewed(rig, new_pod())
    assert REQUIRED not in pod["spec"]["affinity"]["nodeAffinity"]
    assert preferred(pod) == ["n1"]
    assert rig.metrics.value("plimsoll_placements_total", outcome="preferred-full") == 1


async def test_a_node_that_vanishes_between_decision_and_binding_harms_nothing():
    rig = await looped(two_nodes("Require"))
    pod = await reviewed(rig, new_pod())
    terms = pod["spec"]["affinity"]["nodeAffinity"][REQUIRED]["nodeSelectorTerms"]
    assert [line["operator"] for term in terms for line in term["matchExpressions"]] == ["NotIn"]
    del rig.api.objects["nodes", "", "n2"]
    pod["status"] = {"phase": "Pending"}
    pod["metadata"] |= {"uid": "uid-new", "creationTimestamp": stamp(NOW)}
    rig.api.put("pods", pod)
    await rig.once(NOW + 60)
    # Tonight's 3600 MiB and what is new do not fit n1 either, and nothing else is left: it is not excluded.
    assert preferred(await reviewed(rig, new_pod())) == ["n1"]
    assert rig.metrics.value("plimsoll_placements_total", outcome="preferred-full") == 1


def shown(pod, node="", now=NOW):
    """The stored pod as a watch shows it."""
    made = pod | {"status": {"phase": "Pending"}}
    made["metadata"] = pod["metadata"] | {"creationTimestamp": stamp(now)}
    made["metadata"] |= {"uid": f"uid-{placed(pod).decision}", "name": f"web-{placed(pod).decision}"}
    made["spec"] = pod["spec"] | ({"nodeName": node} if node else {})
    return made


async def test_two_operators_see_what_the_other_has_placed():
    nodes = [room_node("n1"), room_node("n2"), room_node("home", unschedulable=True)]
    one = await looped(placing(nodes, [owned("web", "web-0", "home")], {"web": 3000.0}))
    other = await looped(placing(nodes, [owned("web", "web-0", "home")], {"web": 3000.0}))
    first = await reviewed(one, new_pod(), uid="aaaa")
    # At once, before any watch: both name the same node. The second is an honest mistake of a moment ...
    second = await reviewed(other, new_pod(), uid="bbbb")
    assert preferred(first) == preferred(second)
    record = other.api.put("pods", shown(first))
    other.placer.seen(next(each for each in other.api.world().pods if each.uid == record["metadata"]["uid"]))
    # ... and the third knows of both.
    third = await reviewed(other, new_pod(), uid="cccc")
    assert preferred(third) != preferred(first)


async def test_a_pod_counts_once_from_the_decision_to_the_node_it_got():
    nodes = [room_node("n1"), room_node("n2"), room_node("home", unschedulable=True)]
    rig = await looped(placing(nodes, [owned("web", "web-0", "home")], {"web": 1900.0}))
    first = await reviewed(rig, new_pod(), uid="aaaa")
    (there,) = preferred(first)
    expected = [rig.metrics.value("plimsoll_placement_expected_pods")]
    for later, node in ((60, None), (120, ""), (180, there)):
        if node is not None:
            rig.api.put("pods", shown(first, node))
        await rig.once(NOW + later)
        expected.append(rig.metrics.value("plimsoll_placement_expected_pods"))
        # One more of 1900 MiB fits beside it, two do not.
        dry = preferred(await reviewed(rig, new_pod(), uid="dddd", dryRun=True))
        assert dry == [there], later
    assert expected == [0, 1, 1, 0]


async def test_a_decision_that_no_pod_came_of_is_forgotten():
    nodes = [room_node("n1"), room_node("home", unschedulable=True)]
    rig = await looped(placing(nodes, [owned("web", "web-0", "home")], {"web": 3000.0}))
    await reviewed(rig, new_pod(), uid="aaaa")
    await rig.once(NOW + 60)
    assert rig.metrics.value("plimsoll_placement_expected_pods") == 1
    await rig.once(NOW + 180)
    assert rig.metrics.value("plimsoll_placement_expected_pods") == 0


async def test_a_state_that_cannot_be_found_is_no_opinion_and_ends_no_loop():
    class Broken(ForetellingEngine):
        def _use(self):
            use = super()._use()
            return type(use)(use.kube_nodes, use.used_bytes, use.members, use.sampled[:-1])

    rig = two_nodes()
    broken = Broken(rig.engine.day_mib)
    rig.engine = rig.loop._parts.engine = broken
    await looped(rig)
    assert await reviewed(rig, new_pod()) == new_pod()
    assert not rig.placer.awake


async def test_many_at_once_never_promise_more_than_the_bound():
    nodes = [room_node(f"n{at}", "8Gi") for at in range(6)] + [room_node("home", unschedulable=True)]
    rig = await looped(placing(nodes, [owned("web", "web-0", "home")], {"web": 900.0}))
    pods = await asyncio.gather(*(reviewed(rig, new_pod(request="64Mi"), uid=f"x{at}") for at in range(48)))
    sums = {}
    for pod in pods:
        sums[preferred(pod)[0]] = sums.get(preferred(pod)[0], 0) + 900 * MIB
    assert max(sums.values()) < 8 * 1024 * MIB
    assert all(float(told(each).split("before, ")[1].split("%")[0]) <= 100 * DEFAULT_BOUND for each in pods)
