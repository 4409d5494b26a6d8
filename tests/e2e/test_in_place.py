"""A Deployment with mode InPlace: the limit follows usage, in the kernel; nothing is restarted or killed."""

import pytest

from builders.e2e.kernel import container_memory
from builders.e2e.patience import slowness, wait_for
from builders.e2e.workloads import CONTAINER, MIB, deployment, hold, pod_now, policy, restarts, running_pod
from plimsoll.api.quantity import parse_quantity

RISE_SECONDS = 600
CLIMB_MIB_PER_MINUTE = 24
FALLEN = [150.0] * 24 * 7 + [60.0] * 24 * 4
"""A week at 150 MiB, then four days at 60, told by Prometheus (a peak binds for a day); 100 to 60 is lived"""


def test_usage_rises_and_the_limit_rises_before_the_kill(cluster, release, namespace):
    # The kubelet measures every ten seconds or so and an emulated resize takes as long: the climb is slow
    # enough (8 MiB a minute on emulated nodes, as their slowness says) to be seen many times on its way.
    pace = max(1, round(CLIMB_MIB_PER_MINUTE / slowness()))
    rising = deployment(
        cluster, namespace, "rises", mib=100, limit="128Mi", request="100Mi", mib_per_minute=pace
    )
    cluster.apply(policy(namespace, "rises", "rises"), rising)
    pod = running_pod(cluster, namespace, "rises")
    before = container_memory(cluster, pod, CONTAINER)
    assert before.max_bytes == 128 * MIB

    hold(cluster, pod, 145)

    def holds_it_all() -> bool:
        now = container_memory(cluster, pod, CONTAINER)
        assert now.oom_kills == 0, now.text
        return now.current_bytes >= 145 * MIB

    wait_for(holds_it_all, "the program to hold 145 MiB", RISE_SECONDS)
    after, now = container_memory(cluster, pod, CONTAINER), pod_now(cluster, pod)
    assert after.max_bytes is not None
    assert after.max_bytes > 145 * MIB
    assert restarts(now) == 0
    assert_kernel_has_the_decision(cluster, namespace, "rises", pod, "128Mi")


def assert_kernel_has_the_decision(cluster, namespace: str, name: str, pod, original: str) -> None:
    """memory.max is the limit that the operator decided on, and the profile remembers the original one."""

    def agreed() -> bool:
        (told,) = cluster.get("memoryprofile", f"deployment-{name}", "-n", namespace)["status"]["containers"]
        decided = parse_quantity(told["lastDecision"]["to"])
        spec = pod_now(cluster, pod)["spec"]["containers"][0]["resources"]["limits"]["memory"]
        return container_memory(cluster, pod, CONTAINER).max_bytes == decided == parse_quantity(spec)

    wait_for(agreed, "memory.max to be the limit that was decided", 60)
    profile = cluster.get("memoryprofile", f"deployment-{name}", "-n", namespace)
    (container,) = profile["status"]["containers"]
    assert container["originalResources"]["limit"] == original


@pytest.mark.past("falls", FALLEN)
def test_usage_has_fallen_and_the_limit_falls(cluster, release, namespace):
    cluster.apply(
        policy(namespace, "falls", "falls"),
        deployment(cluster, namespace, "falls", mib=100, limit="256Mi", request="128Mi"),
    )
    pod = running_pod(cluster, namespace, "falls")
    used = lambda: container_memory(cluster, pod, CONTAINER).current_bytes  # noqa: E731
    wait_for(lambda: used() >= 100 * MIB, "what it was told to hold", 90)
    hold(cluster, pod, 60)
    wait_for(lambda: used() < 80 * MIB, "usage to have fallen", 90)

    wait_for(lambda: container_memory(cluster, pod, CONTAINER).max_bytes < 200 * MIB, "a lower limit", 180)
    memory, now = container_memory(cluster, pod, CONTAINER), pod_now(cluster, pod)
    assert memory.max_bytes >= 128 * MIB  # one decision takes away at most half
    assert memory.oom_kills == 0
    assert restarts(now) == 0
    assert_kernel_has_the_decision(cluster, namespace, "falls", pod, "256Mi")
