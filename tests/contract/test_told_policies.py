"""Policies by the operator's stream are those an agent would have read itself, word for word.

The two ways on one small cluster, and a real stream: a policy that changes reaches the agent's acts, and the
last word holds while the operator is away.
"""

import pytest

from builders.attending import until
from builders.clusters import NOW, owner, raw_pod, raw_policy
from builders.desks import Desks
from builders.joined import join
from builders.loops import MINUTE, rig
from builders.plainapi import PlainApi, serving
from plimsoll.api.reclaim import ReclaimMode
from plimsoll.coordinate.messages import NodeFacts, PolicySnapshot
from plimsoll.coordinate.session import AgentSession
from plimsoll_nodeagent.control.cluster_policies import ClusterPolicies
from plimsoll_nodeagent.control.told_policies import NOT_TOLD, ToldPolicies
from plimsoll_nodeagent.discover.names import Qos
from plimsoll_nodeagent.discover.tracker import Container

SPECS = [
    {"reclaim": {"mode": "Cold", "maxPressure": 2, "refaultBudget": 0.05}, "importance": "High"},
    {"reclaim": {"mode": "Predictive", "prefetch": True, "hugePages": True}, "placement": {"numa": "Bind"}},
    {"reclaim": {"mode": "Cold"}, "containers": [{"name": "app", "reclaim": {"mode": "Off"}}]},
    {"reclaim": {"mode": "Cold"}, "containers": [{"name": "a*", "mode": "Off"}]},
    {"reclaim": {"mode": "Cold"}, "mode": "Off"},
    {"reclaim": {"mode": "Cold"}, "mode": "Recommend"},
    {"reclaim": {"mode": "Cold", "maxPressure": 400}},
    {"reclaim": {"mode": "Cold"}, "selector": {"matchLabels": {"app": "nobody"}}},
]
PODS = [
    raw_pod(image="shop/web:1"),
    raw_pod(
        "batch-0", labels={"app": "web", "tier": "batch"}, owner=owner(kind="Job", name="batch"), image="b"
    ),
    raw_pod("alone", labels={"app": "other"}, owner=None),
]


del PODS[2]["metadata"]["ownerReferences"]


def container(container_id: str) -> Container:
    return Container(1, container_id, "uid", Qos.BURSTABLE, "", "/sys/fs/cgroup/1")


async def told_by_the_operator(policy) -> ToldPolicies:
    made = Desks(rig(*PODS, policy=policy))
    made.rig.api.put(
        "jobs", {"metadata": {"name": "batch", "namespace": "shop", "uid": "uid-batch"}, "kind": "Job"}
    )
    await made.once(NOW)
    agent = AgentSession(7)
    made.session, welcome = made.attendance.greet("n1", agent.greet(), NOW)
    agent.welcome(welcome)
    made.desk.greeted("n1", NodeFacts("n1", policies_wanted=True), NOW)
    policies = ToldPolicies()
    for each in made.told():
        if isinstance(each, PolicySnapshot):
            policies.hear(each)
    return policies


def read_from_the_cluster(policy) -> ClusterPolicies:
    with serving(PlainApi()) as api:
        api.lists["/api/v1/pods"] = PODS
        api.lists["/apis/plimsoll.dev/v1alpha1/memorypolicies"] = [policy]
        policies = ClusterPolicies(api.connect, "n1", {"plimsoll-system"})
        policies.refresh(NOW)
        policies.wait()
    return policies


@pytest.mark.parametrize("spec", SPECS, ids=str)
async def test_both_ways_say_the_same(spec):
    policy = raw_policy(**spec)
    told, read = await told_by_the_operator(policy), read_from_the_cluster(policy)
    assert told.problem == read.problem == ""
    for pod in PODS:
        one = container(pod["status"]["containerStatuses"][0]["containerID"].rpartition("//")[2])
        assert told.policy_of(one) == read.policy_of(one)
        assert told.class_of(one) == read.class_of(one)
        assert told.shared_class_of(one) == read.shared_class_of(one)


async def test_the_comparison_compares_something():
    told = await told_by_the_operator(raw_policy(**SPECS[0]))
    found = told.policy_of(container("web-0-0"))
    assert (found.mode, found.max_pressure_ratio) == (ReclaimMode.COLD, 0.02)
    assert told.class_of(container("web-0-0"))
    assert told.shared_class_of(container("web-0-0"))


async def test_what_the_operator_says_is_what_the_agent_does(tmp_path):
    async with join(tmp_path, told=True, reclaim={"mode": "Cold"}) as joined:
        policies, (own,) = joined.agent.made.agent.policies, joined.agent.node.discovered()
        await until(lambda: not joined.beside.companion._heard.empty())
        assert policies.problem == NOT_TOLD
        await joined.heed(1)
        assert (policies.policy_of(own).mode, policies.problem) == (ReclaimMode.COLD, "")
        first = policies.version
        joined.rig.api.put("memorypolicies", raw_policy(reclaim={"mode": "Off"}))
        await joined.loop(NOW + MINUTE)
        await until(lambda: not joined.beside.companion._heard.empty())
        await joined.heed(1)
        assert policies.policy_of(own).mode is ReclaimMode.OFF
        assert policies.version > first
        assert joined.beside.companion.report().policies_version == policies.version


async def test_while_the_operator_is_away_its_last_word_holds(tmp_path):
    async with join(tmp_path, told=True, reclaim={"mode": "Cold"}) as joined:
        policies, (own,) = joined.agent.made.agent.policies, joined.agent.node.discovered()
        await until(lambda: not joined.beside.companion._heard.empty())
        await joined.heed(1)
        joined.served.leading = False
        await until(lambda: not joined.beside.link.state.attending)
        joined.agent.tick(200, seconds=60.0)  # hours
        assert (policies.policy_of(own).mode, policies.problem) == (ReclaimMode.COLD, "")
        assert joined.usage_mib() < 64, "it goes on giving back what is cold"
