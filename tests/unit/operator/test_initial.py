"""In: a pod's body as a webhook gets it, a cluster that has looped a few times. Out: values by container, or
none.
"""

import pytest

from builders.clusters import GIB, MIB, NOW, furnish, owner, raw_kube_node, raw_pod, raw_policy, stamp
from builders.kubeapi import MemoryApi
from builders.loops import Rig, SpokenEngine
from plimsoll.guard.state import ControlState
from plimsoll_operator.actuate.api import MemoryValues
from plimsoll_operator.initial import InitialResources


async def cluster(policy=None, **fields):
    """A Deployment `web` that has been watched for two loops."""
    api = MemoryApi()
    api.put(
        "replicasets",
        {
            "kind": "ReplicaSet",
            "metadata": {
                "name": "web-old",
                "namespace": "shop",
                "ownerReferences": [owner("Deployment", "web")],
            },
            "spec": {"replicas": 1},
        },
    )
    furnish(api, raw_pod(owner=owner("ReplicaSet", "web-old")), policy=policy or raw_policy(mode="Initial"))
    made = Rig(api, SpokenEngine({"app": 2048}), **fields)
    await made.once(NOW)
    await made.once(NOW + 60)
    return made


WEEK = 7 * 86_400.0
ALL_WELL = ControlState()


def asked(made, pod, now=NOW + 120, paused=False, control=ALL_WELL):
    initial = InitialResources(
        world=lambda: made.api.world(paused=paused),
        profile=lambda *key: made.api.world().profiles.get(key),
        membership=made.membership,
        owners=made.loop._parts.owners,
        asks=made.loop._parts.asks,
        now=lambda: now,
        control=lambda: control,
        remembered_seconds=WEEK,
    )
    return initial.values(pod, "shop")


def new_pod(replica_set="web-old", **fields):
    pod = raw_pod("", owner=owner("ReplicaSet", replica_set), **fields)
    pod["metadata"] |= {"generateName": f"{replica_set}-"}
    del pod["status"], pod["metadata"]["name"], pod["metadata"]["uid"]
    return pod


async def test_a_new_replica_starts_with_the_recommendation():
    assert asked(await cluster(), new_pod()) == {"app": MemoryValues(2 * GIB, GIB)}


async def test_a_new_replicaset_is_read_off_its_name():
    made = await cluster()
    labels = {"app": "web", "pod-template-hash": "6d4cf56db6"}
    assert asked(made, new_pod("web-6d4cf56db6", labels=labels))
    assert asked(made, new_pod("stranger-6d4cf56db6", labels=labels)) == {}


async def test_what_the_profile_remembers_serves_until_the_engine_has_spoken():
    made = (await cluster()).restart()
    made.engine.targets = {}
    await made.once(NOW + 120)
    assert asked(made, new_pod())["app"].limit_bytes == 2 * GIB


async def test_what_is_remembered_raises_for_a_week_and_never_lowers():
    made = (await cluster()).restart()
    made.engine.targets = {}
    await made.once(NOW + 120)
    assert asked(made, new_pod(), now=NOW + WEEK)["app"].limit_bytes == 2 * GIB
    assert asked(made, new_pod(), now=NOW + WEEK + 3600) == {}
    assert asked(made, new_pod(limit="4Gi", request="1Gi")) == {}
    assert asked(made, new_pod(limit="1536Mi", request="1200Mi"))["app"] == MemoryValues(
        2 * GIB, 1200 * 2**20
    )


async def test_a_kill_raises_new_pods_before_there_is_a_recommendation():
    api = MemoryApi()
    furnish(api, raw_pod(), policy=raw_policy(mode="InPlace"))
    made = Rig(api, SpokenEngine({}))
    await made.once(NOW)
    api.put("pods", raw_pod(oom_at=NOW + 10, restarts=1))
    made.engine.raises = {("uid-web-0", "app"): 1229}
    await made.once(NOW + 20)
    pod = raw_pod("web-1")
    del pod["status"]
    assert asked(made, pod)["app"].limit_bytes == 1229 * 2**20
    assert asked(made, pod, now=NOW + 90_000) == {}


async def test_what_a_pod_was_evicted_for_its_successor_starts_with():
    api = MemoryApi()
    furnish(api, raw_pod(), policy=raw_policy(mode="InPlace"))
    made = Rig(api, SpokenEngine({}))
    await made.once(NOW)
    status = made.api.profile("statefulset-web")
    status["containers"][0]["moved"] = {"limit": "1200Mi", "time": stamp(NOW)}
    pod = raw_pod("web-1")
    del pod["status"]
    assert asked(made, pod)["app"].limit_bytes == 1200 * MIB
    assert asked(made, pod, now=NOW + 90_000) == {}
    status["containers"][0]["recommendation"] = {"target": "1100Mi"}
    assert asked(made, pod)["app"].limit_bytes == 1200 * MIB
    status["containers"][0]["recommendation"] = {"target": "2Gi"}
    assert asked(made, pod)["app"].limit_bytes == 2 * GIB


async def test_with_a_source_down_only_raises():
    made = await cluster()
    down = ControlState(problems=("metrics-api: no answer",))
    assert asked(made, new_pod(), control=down)["app"].limit_bytes == 2 * GIB
    assert asked(made, new_pod(limit="4Gi", request="1Gi"), control=down) == {}
    assert asked(made, new_pod(limit="4Gi", request="1Gi"))["app"].limit_bytes == 2 * GIB


@pytest.mark.parametrize("control", [None, ControlState(supported=False, version="v1.34.2")])
async def test_unchanged_on_an_old_cluster_and_before_the_first_loop(control):
    assert asked(await cluster(), new_pod(), control=control) == {}


@pytest.mark.parametrize("mode", ["Off", "Recommend"])
async def test_modes_that_admit_nothing(mode):
    assert asked(await cluster(raw_policy(mode=mode)), new_pod()) == {}


async def test_unchanged_where_there_is_no_recommendation_no_policy_or_a_pause():
    made = await cluster()
    assert asked(made, new_pod(), paused=True) == {}
    assert asked(made, new_pod(labels={"app": "other"})) == {}
    assert asked(made, new_pod(labels={})) == {}
    strange = new_pod()
    strange["spec"]["containers"][0]["name"] = "unseen"
    assert asked(made, strange) == {}


async def test_a_restored_workload_starts_with_its_template():
    made = await cluster()
    made.api.get("memoryprofiles", "shop", "deployment-web")["spec"]["restore"] = True
    assert asked(made, new_pod()) == {}


async def test_a_max_of_four_kibibytes_reaches_no_new_pod():
    made = await cluster(raw_policy(mode="InPlace", limits={"max": "4096"}))
    assert asked(made, new_pod()) == {}


async def test_no_pod_is_admitted_below_what_its_fellows_use():
    made = await cluster(raw_policy(mode="Initial", limits={"max": "64Mi"}))
    assert asked(made, new_pod())["app"].limit_bytes == 204 * MIB  # they use 200 MiB


async def test_policy_bounds_hold_at_admission():
    made = await cluster(raw_policy(mode="Initial", limits={"max": "1536Mi"}))
    assert asked(made, new_pod())["app"].limit_bytes == 1536 * 2**20


@pytest.mark.parametrize(
    "body", [{}, {"metadata": {}}, {"metadata": {"labels": None}, "spec": {"containers": None}}]
)
async def test_nonsense_is_unchanged(body):
    assert asked(await cluster(), body) == {}


def two_containers(first, second):
    """A new pod whose second container is a sidecar `proxy` of its own."""
    pod = new_pod(limit=first, request=first)
    values = {"limits": {"memory": second}, "requests": {"memory": second}}
    pod["spec"]["containers"].append({"name": "proxy", "image": "x", "resources": values})
    return pod


async def test_no_pod_is_made_larger_than_the_largest_kube_node():
    made = await cluster()
    made.api.put("nodes", raw_kube_node("n1", "1200Mi"))
    made.api.put("nodes", raw_kube_node("n2", "1500Mi"))
    values = asked(made, new_pod())["app"]
    assert (values.limit_bytes, values.request_bytes) == (1500 * MIB, GIB)
    values = asked(made, two_containers("512Mi", "600Mi"))["app"]
    assert (values.limit_bytes, values.request_bytes) == (1500 * MIB, 900 * MIB)


async def test_what_a_template_asks_for_beyond_every_kube_node_is_left_to_the_scheduler():
    made = await cluster()
    made.api.put("nodes", raw_kube_node("n1", "256Mi"))
    assert asked(made, new_pod()) == {}


async def test_nothing_is_raised_for_kube_nodes_nobody_knows():
    made = await cluster()
    del made.api.objects["nodes", "", "n1"]
    assert asked(made, new_pod()) == {}
