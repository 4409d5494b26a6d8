"""Who speaks for a workload: the four tiers, ties, protected namespaces, policies that cannot be read."""

import pytest

from builders.policies import body, cluster_policy, memory_policy, targeting
from plimsoll.api.effective import Mode, PolicyRef
from plimsoll.api.precedence import Conflict, EffectivePolicy, PolicySet, Tier, read_policy
from plimsoll.workload import WorkloadRef

OWN = "plimsoll-system"
WEB = WorkloadRef("shop", "Deployment", "web")
LABELS = {"app": "web"}
APP_WEB = {"matchLabels": {"app": "web"}}

TARGET = targeting("by-target", "web")
SELECTOR = memory_policy("by-selector", selector=APP_WEB)
CLUSTER_SELECTOR = cluster_policy("by-cluster-selector", selector=APP_WEB)
CLUSTER_WIDE = cluster_policy("cluster-wide")
ALL = (CLUSTER_WIDE, CLUSTER_SELECTOR, SELECTOR, TARGET)


def resolve(*policies, workload=WEB, labels=LABELS, namespace_labels=None):
    return PolicySet(policies, {OWN}).resolve(workload, labels, namespace_labels or {})


def speaker(*policies, **where) -> str | None:
    found = resolve(*policies, **where)
    assert found is None or isinstance(found, EffectivePolicy)
    return found and found.ref.name


@pytest.mark.parametrize(
    ("policies", "name"),
    [
        (ALL, "by-target"),
        (ALL[:3], "by-selector"),
        (ALL[:2], "by-cluster-selector"),
        (ALL[:1], "cluster-wide"),
        ((), None),
    ],
)
def test_the_closest_policy_speaks(policies, name):
    assert speaker(*policies) == name


@pytest.mark.parametrize(
    ("policy", "workload", "labels", "speaks"),
    [
        (TARGET, WorkloadRef("shop", "StatefulSet", "web"), LABELS, False),
        (TARGET, WorkloadRef("other", "Deployment", "web"), LABELS, False),
        (TARGET, WorkloadRef("shop", "Deployment", "api"), LABELS, False),
        (TARGET, WEB, {}, True),
        (SELECTOR, WorkloadRef("other", "Deployment", "web"), LABELS, False),
        (SELECTOR, WEB, {"app": "db"}, False),
        (CLUSTER_SELECTOR, WorkloadRef("other", "Deployment", "web"), LABELS, True),
        (CLUSTER_SELECTOR, WEB, {"app": "db"}, False),
        (memory_policy("everything"), WEB, {}, True),
    ],
)
def test_a_policy_speaks_only_for_what_it_points_at(policy, workload, labels, speaks):
    assert (speaker(policy, workload=workload, labels=labels) is not None) is speaks


@pytest.mark.parametrize(
    ("pair", "tier"),
    [
        ((TARGET, targeting("z", "web")), Tier.TARGET_REF),
        ((SELECTOR, memory_policy("z")), Tier.SELECTOR),
        ((CLUSTER_SELECTOR, cluster_policy("z", namespaces=["shop"])), Tier.CLUSTER_SELECTOR),
        ((CLUSTER_WIDE, cluster_policy("z")), Tier.CLUSTER_WIDE),
    ],
)
def test_a_tie_is_a_conflict_that_names_both(pair, tier):
    found = resolve(*reversed(pair))
    assert isinstance(found, Conflict)
    assert found.tier is tier
    assert found.refs == tuple(sorted(each.ref for each in pair))
    assert all(str(each.ref) in found.message for each in pair)
    assert "shop/Deployment/web" in found.message


def test_a_tie_below_is_no_conflict_where_a_closer_policy_speaks():
    assert speaker(TARGET, SELECTOR, memory_policy("z")) == "by-target"


def test_a_tie_above_is_not_settled_by_a_policy_below():
    assert isinstance(resolve(TARGET, targeting("z", "web"), SELECTOR), Conflict)


def test_policies_that_share_no_pod_do_not_conflict():
    assert speaker(SELECTOR, memory_policy("z", selector={"matchLabels": {"app": "db"}})) == "by-selector"


@pytest.mark.parametrize("namespace", ["kube-system", OWN])
@pytest.mark.parametrize(
    ("policy", "speaks"),
    [
        (cluster_policy("wide"), False),
        (cluster_policy("selecting", selector={}), False),
        (cluster_policy("by-namespace", namespaceSelector={}), False),
        (cluster_policy("naming", namespaces=["kube-system", OWN]), True),
    ],
)
def test_protected_namespaces_are_reached_only_by_name(namespace, policy, speaks):
    assert (speaker(policy, workload=WorkloadRef(namespace, "Deployment", "dns")) is not None) is speaks


def test_a_namespaced_policy_names_its_own_namespace():
    inside = memory_policy("dns", namespace="kube-system")
    assert speaker(inside, workload=WorkloadRef("kube-system", "Deployment", "dns")) == "dns"


@pytest.mark.parametrize(
    ("labels", "speaks"), [({"stage": "production"}, True), ({"stage": "test"}, False), ({}, False)]
)
def test_a_namespace_selector_looks_at_the_namespace(labels, speaks):
    policy = cluster_policy("production", namespaceSelector={"matchLabels": {"stage": "production"}})
    assert (speaker(policy, namespace_labels=labels) is not None) is speaks


def test_named_namespaces_and_their_labels_must_both_fit():
    policy = cluster_policy(
        "x", namespaces=["shop"], namespaceSelector={"matchLabels": {"stage": "production"}}
    )
    assert speaker(policy, namespace_labels={}) is None
    assert speaker(policy, namespace_labels={"stage": "production"}) == "x"


def test_cluster_policies_have_no_namespace():
    assert CLUSTER_WIDE.ref == PolicyRef("ClusterMemoryPolicy", "", "cluster-wide")


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"limits": {"max": "lots"}}, "spec.limits.max"),
        ({"limits": {"max": "4096"}}, "spec.limits.max"),
        ({"leak": {"cap": "16383Ki"}}, "spec.leak.cap"),
        ({"containers": [{"name": "a", "limits": {"max": "4096"}}]}, "spec.containers[0].limits.max"),
        ({"limits": {"min": "2Gi", "max": "1Gi"}}, "spec.limits.min"),
        ({"updates": {"window": "10:00-11:00 Mars/Olympus"}}, "spec.updates.window"),
        ({"mode": "Sometimes"}, "spec.mode"),
        ({"containers": [{"name": "a"}, {"name": "a"}]}, "spec.containers[1]"),
        ({"containers": "all"}, "spec.containers"),
    ],
)
def test_a_policy_that_cannot_be_read_keeps_its_place_with_mode_off(wrong, field):
    broken = read_policy(body("broken", targetRef={"kind": "Deployment", "name": "web"}, **wrong))
    found = resolve(broken, SELECTOR)
    assert found.ref.name == "broken"
    assert found.mode is found.container("app").mode is Mode.OFF
    assert "MemoryPolicy shop/broken" in found.problem
    assert field in found.container("app").problem


@pytest.mark.parametrize(
    "spec", [{}, {"selector": "all"}, {"targetRef": {}}, {"targetRef": 7, "selector": None}]
)
def test_a_policy_without_a_readable_target_speaks_for_nothing(spec):
    broken = read_policy(body("broken", **spec))
    assert broken is None or resolve(broken) is None


def test_a_spec_that_is_no_mapping_is_no_policy():
    assert read_policy(body("broken") | {"spec": ["selector"]}) is None
