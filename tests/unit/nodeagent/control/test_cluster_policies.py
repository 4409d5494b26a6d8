from threading import Event

import pytest

from builders.plainapi import PlainApi, serving
from plimsoll.api.effective import Importance
from plimsoll.api.reclaim import ReclaimMode
from plimsoll_nodeagent.control.cluster_policies import (
    REFRESH_SECONDS,
    STALE_SECONDS,
    ClusterPolicies,
    workload_of,
)
from plimsoll_nodeagent.discover.names import Qos
from plimsoll_nodeagent.discover.tracker import Container

NOW = 1_700_000_000.0
OWNER = {"kind": "ReplicaSet", "name": "web-7c9f", "controller": True}


def container(number: int) -> Container:
    return Container(number, f"{number:064x}", "uid", Qos.BURSTABLE, "", f"/sys/fs/cgroup/{number}")


def pod(name: str, number: int, labels=None, owner=OWNER, containers=("app",)) -> dict:
    metadata = {"name": name, "namespace": "shop", "labels": {"pod-template-hash": "7c9f", **(labels or {})}}
    statuses = [
        {"name": each, "containerID": f"containerd://{number + at:064x}"}
        for at, each in enumerate(containers)
    ]
    return {
        "metadata": metadata | ({"ownerReferences": [owner]} if owner else {}),
        "status": {"containerStatuses": statuses},
    }


def policy(name: str, **spec) -> dict:
    return {"metadata": {"name": name, "namespace": "shop"}, "spec": spec}


@pytest.fixture
def api():
    with serving(PlainApi()) as one:
        yield one


def read(api: PlainApi, now: float = NOW) -> ClusterPolicies:
    policies = ClusterPolicies(api.connect, "node-1", {"plimsoll-system"})
    look(policies, now)
    return policies


def look(policies: ClusterPolicies, now: float) -> None:
    policies.refresh(now)
    policies.wait()


WEB = {"targetRef": {"kind": "Deployment", "name": "web"}, "reclaim": {"mode": "Cold", "maxPressure": 2}}


def test_the_policy_of_a_deployment_reaches_its_containers_on_this_node(api):
    api.lists["/api/v1/pods"] = [pod("web-7c9f-a", 1), pod("other", 9, owner=None)]
    api.lists["/apis/plimsoll.dev/v1alpha1/memorypolicies"] = [policy("web", importance="High", **WEB)]
    policies = read(api)
    found = policies.policy_of(container(1))
    assert (found.mode, found.max_pressure_ratio, found.importance) == (
        ReclaimMode.COLD,
        0.02,
        Importance.HIGH,
    )
    assert found.source == "MemoryPolicy shop/web"
    assert policies.class_of(container(1)).endswith("web/app")
    assert policies.policy_of(container(9)).mode is ReclaimMode.OFF
    assert policies.policy_of(container(77)).mode is ReclaimMode.OFF
    assert any("fieldSelector=spec.nodeName%3Dnode-1" in each for each in api.calls)


def test_a_container_may_have_an_override(api):
    api.lists["/api/v1/pods"] = [pod("web-7c9f-a", 1, containers=("app", "proxy"))]
    spec = WEB | {"containers": [{"name": "proxy", "reclaim": {"mode": "Off"}}]}
    api.lists["/apis/plimsoll.dev/v1alpha1/memorypolicies"] = [policy("web", **spec)]
    policies = read(api)
    assert policies.policy_of(container(1)).mode is ReclaimMode.COLD
    assert policies.policy_of(container(2)).mode is ReclaimMode.OFF


@pytest.mark.parametrize(
    "spec", [WEB | {"mode": "Off"}, WEB | {"reclaim": {"mode": "Cold", "maxPressure": 400}}, {"reclaim": 1}]
)
def test_off_and_what_cannot_be_read_reclaim_nothing(api, spec):
    api.lists["/api/v1/pods"] = [pod("web-7c9f-a", 1)]
    api.lists["/apis/plimsoll.dev/v1alpha1/memorypolicies"] = [policy("web", **spec)]
    assert read(api).policy_of(container(1)).mode is ReclaimMode.OFF


def test_two_policies_that_tie_reclaim_nothing(api):
    api.lists["/api/v1/pods"] = [pod("web-7c9f-a", 1)]
    api.lists["/apis/plimsoll.dev/v1alpha1/memorypolicies"] = [policy("a", **WEB), policy("b", **WEB)]
    assert read(api).policy_of(container(1)).mode is ReclaimMode.OFF


def test_what_was_read_is_kept_for_some_minutes_when_the_api_server_is_away(api):
    api.lists["/api/v1/pods"] = [pod("web-7c9f-a", 1)]
    api.lists["/apis/plimsoll.dev/v1alpha1/memorypolicies"] = [policy("web", **WEB)]
    policies = read(api)
    api.failing = 503
    look(policies, NOW + REFRESH_SECONDS)
    assert "503" in policies.problem
    assert policies.policy_of(container(1)).mode is ReclaimMode.COLD
    look(policies, NOW + STALE_SECONDS + REFRESH_SECONDS)
    assert policies.policy_of(container(1)).mode is ReclaimMode.OFF
    api.failing = None
    look(policies, NOW + STALE_SECONDS + 2 * REFRESH_SECONDS)
    assert policies.policy_of(container(1)).mode is ReclaimMode.COLD
    assert policies.problem == ""


def test_it_asks_no_more_often_than_every_half_minute(api):
    policies = read(api)
    calls = len(api.calls)
    look(policies, NOW + 1.0)
    assert len(api.calls) == calls
    look(policies, NOW - 5.0)  # the clock went back
    assert len(api.calls) > calls


def test_an_api_server_that_takes_its_time_keeps_nobody_waiting(api):
    api.lists["/api/v1/pods"] = [pod("web-7c9f-a", 1)]
    api.lists["/apis/plimsoll.dev/v1alpha1/memorypolicies"] = [policy("web", **WEB)]
    answers, connected = Event(), []

    def slow():
        connected.append(answers.wait(30.0))
        return api.connect()

    policies = ClusterPolicies(slow, "node-1", {"plimsoll-system"})
    policies.refresh(NOW)
    assert (policies.policy_of(container(1)).mode, policies.problem) == (ReclaimMode.OFF, "not read yet")
    policies.refresh(NOW + REFRESH_SECONDS)  # the first look is still under way
    answers.set()
    policies.wait()
    assert policies.policy_of(container(1)).mode is ReclaimMode.COLD
    assert connected == [True]


def test_a_look_that_never_ends_keeps_no_policy_alive(api):
    api.lists["/api/v1/pods"] = [pod("web-7c9f-a", 1)]
    api.lists["/apis/plimsoll.dev/v1alpha1/memorypolicies"] = [policy("web", **WEB)]
    answers = Event()
    answers.set()

    def connect():
        answers.wait(30.0)
        return api.connect()

    policies = ClusterPolicies(connect, "node-1", {"plimsoll-system"})
    look(policies, NOW)
    answers.clear()
    policies.refresh(NOW + REFRESH_SECONDS)
    assert policies.policy_of(container(1)).mode is ReclaimMode.COLD
    policies.refresh(NOW + STALE_SECONDS + 1.0)
    assert policies.policy_of(container(1)).mode is ReclaimMode.OFF
    assert "300 s" in policies.problem
    answers.set()
    policies.wait()


def test_a_clock_that_is_set_back_keeps_what_was_read(api):
    api.lists["/api/v1/pods"] = [pod("web-7c9f-a", 1)]
    api.lists["/apis/plimsoll.dev/v1alpha1/memorypolicies"] = [policy("web", **WEB)]
    policies = read(api)
    api.failing = 503
    look(policies, NOW - 3600.0)
    assert policies.policy_of(container(1)).mode is ReclaimMode.COLD
    look(policies, NOW - 3600.0 + STALE_SECONDS + 1.0)
    assert policies.policy_of(container(1)).mode is ReclaimMode.OFF


@pytest.mark.parametrize(
    ("owner", "kind", "name"),
    [
        (OWNER, "Deployment", "web"),
        ({"kind": "StatefulSet", "name": "db", "controller": True}, "StatefulSet", "db"),
        ({"kind": "Job", "name": "report-29384710", "controller": True}, "CronJob", "report"),
        ({"kind": "Job", "name": "once", "controller": True}, "Job", "once"),
        ({"kind": "Node", "name": "n", "controller": False}, "Pod", "x"),
        (None, "Pod", "x"),
    ],
)
def test_the_workload_is_the_owner(owner, kind: str, name: str):
    found = workload_of(pod("x", 1, owner=owner)["metadata"])
    assert (found.kind, found.name) == (kind, name)


@pytest.mark.parametrize(("image", "shared"), [
    ("example.org:5000/shop/web:1.2", "example.org:5000/shop/web app"),
    ("web@sha256:0123", "web app"),
    ("", ""),
    ("x" * 300, ""),
])  # fmt: skip
def test_containers_of_an_image_share_whatever_their_workload_and_version(api, image, shared):
    one = pod("web-7c9f-a", 1)
    one["spec"] = {"containers": [{"name": "app", "image": image}]}
    api.lists["/api/v1/pods"] = [one]
    api.lists["/apis/plimsoll.dev/v1alpha1/memorypolicies"] = [policy("web", **WEB)]
    policies = read(api)
    assert policies.shared_class_of(container(1)) == shared
    assert policies.shared_class_of(container(9)) == ""
