"""A Deployment with mode InPlace: the limit follows usage, in the kernel; nothing is restarted or killed."""

from builders.e2e.kernel import container_memory
from builders.e2e.workloads import CONTAINER, MIB, deployment, hold, pod_now, policy, restarts, running_pod
from builders.waiting import wait_for
from plimsoll.api.quantity import parse_quantity

RISE_SECONDS = 420


def test_usage_rises_and_the_limit_rises_before_the_kill(cluster, release, namespace):
    # 40 MiB a minute: the kubelet measures every ten seconds or so, so it sees the climb several times.
    rising = deployment(
        cluster, namespace, "rises", mib=180, limit="256Mi", request="200Mi", mib_per_minute=40
    )
    cluster.apply(policy(namespace, "rises", "rises"), rising)
    pod = running_pod(cluster, namespace, "rises")
    before = container_memory(cluster, pod, CONTAINER)
    assert before.max_bytes == 256 * MIB

    hold(cluster, pod, 340)

    def holds_it_all() -> bool:
        now = container_memory(cluster, pod, CONTAINER)
        assert now.oom_kills == 0, now.text
        return now.current_bytes >= 340 * MIB

    wait_for(holds_it_all, "the program to hold 340 MiB", RISE_SECONDS)
    after, now = container_memory(cluster, pod, CONTAINER), pod_now(cluster, pod)
    assert after.max_bytes is not None
    assert after.max_bytes > 340 * MIB
    assert restarts(now) == 0
    assert_kernel_has_the_decision(cluster, namespace, "rises", pod)


def assert_kernel_has_the_decision(cluster, namespace: str, name: str, pod) -> None:
    """memory.max is the limit that the operator decided on, and the profile remembers the original one."""

    def agreed() -> bool:
        spec = pod_now(cluster, pod)["spec"]["containers"][0]
        decided = parse_quantity(spec["resources"]["limits"]["memory"])
        return container_memory(cluster, pod, CONTAINER).max_bytes == decided

    wait_for(agreed, "memory.max to be the limit that was decided", 60)
    profile = cluster.get("memoryprofile", f"deployment-{name}", "-n", namespace)
    (container,) = profile["status"]["containers"]
    assert container["originalResources"]["limit"] == "256Mi"
