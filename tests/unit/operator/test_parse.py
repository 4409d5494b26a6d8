"""In: objects as API servers hold them, sane and not. Out: records; nothing here may raise."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.clusters import GIB, MIB, NOW, raw_kube_node, raw_pod, raw_policy, resize_condition
from plimsoll.guard.state import ResizeStatus
from plimsoll_operator import parse


def test_a_pod():
    record = parse.pod(raw_pod(limit="1Gi", request="512Mi"))
    only = record.containers[0]
    assert (only.spec.limit_bytes, only.spec.request_bytes) == (GIB, 512 * MIB)
    assert (only.actual_limit_bytes, only.reported, only.running) == (GIB, True, True)
    assert (record.qos, record.kube_node, record.live, record.ready) == ("Burstable", "n1", True, True)
    assert record.requested_bytes == 512 * MIB


def test_replicas_share_what_is_the_same():
    one, two = (
        parse.pod(raw_pod(f"web-{n}", labels={"app": "web", "pod-template-hash": str(n)})) for n in (1, 2)
    )
    assert one.labels is two.labels
    assert one.owner is two.owner
    assert one.containers[0].spec is two.containers[0].spec


def test_a_limit_without_request_is_a_request_too():
    assert parse.pod(raw_pod(request=None)).containers[0].spec.request_bytes == GIB


def test_native_sidecars_count_and_other_init_containers_do_not():
    raw = raw_pod()
    raw["spec"]["initContainers"] = [
        {"name": "proxy", "restartPolicy": "Always", "resources": {"limits": {"memory": "64Mi"}}},
        {"name": "migrate", "resources": {"limits": {"memory": "4Gi"}}},
    ]
    found = {each.spec.name: each.spec.sidecar for each in parse.pod(raw).containers}
    assert found == {"app": False, "proxy": True}


@pytest.mark.parametrize(
    ("cpu", "same"),
    [
        ({"limits": {"cpu": "1"}, "requests": {"cpu": "1"}}, True),
        ({"requests": {"cpu": "1"}}, False),
        ({}, False),
    ],
)
def test_whether_cpu_is_guaranteed(cpu, same):
    assert parse.container_spec({"name": "a", "resources": cpu}, init=False).cpu_guaranteed is same


def test_restart_on_resize_is_read_for_memory_only():
    policies = [{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]
    assert not parse.container_spec({"name": "a", "resizePolicy": policies}, init=False).restarts_on_resize
    policies[0]["resourceName"] = "memory"
    assert parse.container_spec({"name": "a", "resizePolicy": policies}, init=False).restarts_on_resize


def test_a_kill_is_the_same_before_and_after_its_restart():
    dead, back = raw_pod(restarts=0), raw_pod(oom_at=NOW, restarts=1)
    ended = back["status"]["containerStatuses"][0]["lastState"]
    dead["status"]["containerStatuses"][0]["state"] = ended
    first, second = (parse.pod(each).containers[0].oom for each in (dead, back))
    assert first == second
    assert first.at_seconds == NOW


def test_an_end_for_another_reason_is_no_kill():
    raw = raw_pod(oom_at=NOW, restarts=1)
    raw["status"]["containerStatuses"][0]["lastState"]["terminated"]["reason"] = "Error"
    assert parse.pod(raw).containers[0].oom is None


@pytest.mark.parametrize(
    ("kind", "reason", "status"),
    [
        ("PodResizePending", "Deferred", ResizeStatus.DEFERRED),
        ("PodResizePending", "Infeasible", ResizeStatus.INFEASIBLE),
        ("PodResizeInProgress", "", ResizeStatus.IN_PROGRESS),
        ("PodResizeInProgress", "Error", ResizeStatus.ERROR),
    ],
)
def test_resize_conditions(kind, reason, status):
    resize = parse.pod(raw_pod(conditions=[resize_condition(kind, reason, "why", NOW)])).resize
    assert (resize.status, resize.message, resize.since_seconds) == (status, "why", NOW)


def test_a_quota_that_is_not_counted_yet_has_no_room():
    raw = {
        "metadata": {"name": "q", "namespace": "shop"},
        "spec": {"hard": {"limits.memory": "4Gi", "memory": "2Gi"}},
    }
    record = parse.quota(raw)
    assert (record.limits_used_bytes, record.requests_used_bytes) == (4 * GIB, 2 * GIB)
    assert parse.quota({"metadata": {}, "spec": {"hard": {"pods": "5"}}}) is None


def test_limit_ranges_without_memory_are_left_out():
    item = {"type": "Container", "max": {"memory": "1Gi"}, "maxLimitRequestRatio": {"memory": "4"}}
    cpu = {"type": "Container", "max": {"cpu": "1"}}
    record = parse.limit_range(
        {"metadata": {"name": "r", "namespace": "shop"}, "spec": {"limits": [item, cpu]}}
    )
    assert [(each.max_bytes, each.max_ratio) for each in record.ranges] == [(GIB, 4.0)]
    assert parse.limit_range({"metadata": {}, "spec": {"limits": [cpu]}}) is None


def test_only_hpas_on_memory_count():
    def raw(name):
        metrics = [{"type": "Resource", "resource": {"name": name}}]
        return {
            "metadata": {"name": "h", "namespace": "shop"},
            "spec": {"metrics": metrics, "scaleTargetRef": {"kind": "Deployment", "name": "web"}},
        }

    assert parse.hpa(raw("memory")).target == "web"
    assert parse.hpa(raw("cpu")) is None


def test_kube_nodes():
    record = parse.kube_node(raw_kube_node(labels={"node.kubernetes.io/instance-type": "m5"}, swap=GIB))
    assert (record.allocatable_bytes, record.node_class, record.swap_bytes) == (64 * GIB, "m5", GIB)
    named = parse.kube_node(
        raw_kube_node(labels={"plimsoll.dev/node-class": "gpu", "node.kubernetes.io/instance-type": "m5"})
    )
    assert named.node_class == "gpu"


def test_a_policy_that_cannot_be_read_still_holds_its_place():
    record = parse.policy(raw_policy(limits={"min": "-5"}))
    assert record.policy.problem
    assert record.policy.mode == "Off"


@pytest.mark.parametrize(
    ("text", "paused"), [("true", True), ("True ", True), ("false", False), ("yes", False)]
)
def test_only_a_plain_true_pauses(text, paused):
    assert parse.control({"data": {"paused": text}}).paused is paused
    assert parse.control({}).paused is False


@pytest.mark.parametrize("value", ["", "lots", "-1Gi", None, True, 1.5, {}, "1e999"])
def test_a_nonsense_quantity_is_not_known(value):
    assert parse.quantity(value) is None


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
PARTS = ("spec", "status")
KEYS = (
    "containers",
    "initContainers",
    "containerStatuses",
    "conditions",
    "limits",
    "hard",
    "used",
    "metrics",
    "allocatable",
    "nodeInfo",
    "targetRef",
    "resources",
    "lastDecision",
    "oom",
)


@given(
    part=st.sampled_from(PARTS),
    key=st.sampled_from(KEYS),
    value=json,
    read=st.sampled_from(
        [parse.pod, parse.owned, parse.limit_range, parse.quota, parse.hpa, parse.kube_node, parse.profile]
    ),
)
def test_whatever_stands_in_an_object_is_no_exception(part, key, value, read):
    body = {"kind": "X", "metadata": {"name": "a", "namespace": "b"}, "spec": {}, "status": {}}
    body[part][key] = value
    read(body)
