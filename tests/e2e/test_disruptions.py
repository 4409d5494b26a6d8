"""What goes away under the operator: a policy, a namespace, the API server, a node. It holds, and goes on."""

import pytest

from builders.e2e.kernel import container_memory
from builders.e2e.patience import wait_for
from builders.e2e.workloads import (
    CONTAINER,
    MIB,
    deployment,
    hold,
    live_pods,
    pod_now,
    policy,
    profile_of,
    restarts,
    running_pod,
    running_pods,
)

LOADED_MIB = 48  # twice what a pod holds at first


def test_a_policy_deleted_in_the_middle_of_a_resize(cluster, release, namespace):
    pod = climbing(cluster, namespace, "orphan")
    # The spec is changed, the kernel not necessarily yet: the policy goes now. A runtime that stands
    # still would hold the kernel back, and keep the kubelet from measuring too.
    wait_for(lambda: spec_limit(pod_now(cluster, pod)) != "64Mi", "a resize to be asked for", 150)
    cluster.kube("-n", namespace, "delete", "memorypolicy", "orphan")

    now = pod_now(cluster, pod)
    wait_for(lambda: limit_bytes(cluster, pod) > 64 * MIB, "the resize to be brought to its end", 60)
    gone = lambda: ready_of(profile_of(cluster, namespace, "deployment-orphan")).get("reason") == "NoPolicy"  # noqa: E731
    wait_for(gone, "the profile to say that no policy speaks for it", 90)
    assert spec_limit(pod_now(cluster, pod)) == spec_limit(now)
    assert restarts(pod_now(cluster, pod)) == 0


def test_a_namespace_deleted_under_load(cluster, release, namespace):
    cluster.apply(
        policy(namespace, "many", "many"),
        deployment(
            cluster, namespace, "many", mib=24, limit="64Mi", request="32Mi", mib_per_minute=120, replicas=4
        ),
    )
    pods = running_pods(cluster, namespace, "many")
    wait_for(lambda: profile_of(cluster, namespace, "deployment-many"), "a profile", 90)
    for pod in pods:
        hold(cluster, pod, 62)
    # Under load: all of them have grown, by the kernel's word, and the operator is at raising their limits.
    for pod in pods:
        wait_for(lambda: used_bytes(cluster, pod) >= LOADED_MIB * MIB, "its pods to grow", 120)  # noqa: B023
    asked = lambda: [each for each in pods if spec_limit(pod_now(cluster, each)) != "64Mi"]  # noqa: E731
    wait_for(asked, "a resize to be asked for", 150)
    cluster.kube("delete", "namespace", namespace, "--timeout=390s")

    assert namespace not in {each["metadata"]["name"] for each in cluster.items("namespaces")}
    assert_operator_lives(cluster, release)


@pytest.mark.disruptive
def test_api_server_restarted_under_the_operator(cluster, release, namespace):
    operators = {each["metadata"]["uid"] for each in release.pods("operator")}
    pod = climbing(cluster, namespace, "steady", told=0)
    began = api_server_began_seconds(cluster)
    cluster.restart_api_server()
    wait_for(lambda: answers(cluster), "the API server to answer again", 60)
    wait_for(lambda: api_server_began_seconds(cluster) > began, "the answer to be a new API server's", 60)

    hold(cluster, pod, 62)

    wait_for(lambda: limit_bytes(cluster, pod) > 64 * MIB, "a raise after the restart", 180)
    assert restarts(pod_now(cluster, pod)) == 0
    assert {each["metadata"]["uid"] for each in release.pods("operator")} == operators
    assert_operator_lives(cluster, release)


@pytest.mark.disruptive
def test_node_killed_and_back(cluster, release, namespace):
    pod = climbing(cluster, namespace, "comes-back", told=0)
    before = (pod["metadata"]["uid"], restarts(pod))
    kube_node = pod["spec"]["nodeName"]
    cluster.restart_node(kube_node)
    release.wait_ready()

    def back():
        pods = [p for p in live_pods(cluster, namespace, "comes-back") if p["spec"].get("nodeName")]
        ready = [
            p for p in pods if all(s["ready"] for s in p["status"].get("containerStatuses", [{"ready": 0}]))
        ]
        return next((p for p in ready if (p["metadata"]["uid"], restarts(p)) != before), None)

    again = wait_for(back, "a running pod after the node came back", 180)
    hold(cluster, again, 62)
    wait_for(lambda: limit_bytes(cluster, again) > 64 * MIB, "a raise on the node that was away", 180)
    assert container_memory(cluster, pod_now(cluster, again), CONTAINER).oom_kills == 0


def climbing(cluster, namespace: str, name: str, told: int = 62):
    """A pod with a limit of 64 MiB that its policy lets us raise; it climbs to `told` MiB."""
    cluster.apply(
        policy(namespace, name, name),
        deployment(cluster, namespace, name, mib=24, limit="64Mi", request="32Mi", mib_per_minute=120),
    )
    pod = running_pod(cluster, namespace, name)
    wait_for(lambda: profile_of(cluster, namespace, f"deployment-{name}"), "a profile", 90)
    if told:
        hold(cluster, pod, told)
    return pod


def assert_operator_lives(cluster, release) -> None:
    """Its replicas are Ready and none of its containers was started again."""
    release.wait_ready()
    for each in release.pods("operator"):
        assert restarts(each) == 0, each["status"]


def answers(cluster) -> bool:
    """True while the API server is ready."""
    try:
        return cluster.kube("get", "--raw", "/readyz").strip() == "ok"
    except AssertionError:
        return False


def api_server_began_seconds(cluster) -> float:
    """When the process that answers was started, by its own metric."""
    lines = cluster.kube("get", "--raw", "/metrics").splitlines()
    (found,) = (each for each in lines if each.startswith("process_start_time_seconds "))
    return float(found.split()[1])


def limit_bytes(cluster, pod) -> int:
    """memory.max."""
    return container_memory(cluster, pod_now(cluster, pod), CONTAINER).max_bytes or 0


def used_bytes(cluster, pod) -> int:
    """memory.current."""
    return container_memory(cluster, pod_now(cluster, pod), CONTAINER).current_bytes


def spec_limit(pod) -> str:
    """The limit that its spec asks for."""
    return pod["spec"]["containers"][0]["resources"]["limits"]["memory"]


def ready_of(profile):
    """Its condition Ready."""
    conditions = profile.get("status", {}).get("conditions", [])
    return next((each for each in conditions if each["type"] == "Ready"), {})
