"""OOM kills: answered with a raise, remembered over an operator's restart, and never a loop."""

import pytest

from builders.e2e.cluster import CommandError
from builders.e2e.kernel import container_memory, pod_oom_kills
from builders.e2e.patience import slowness, wait_for
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
)

MOST_KILLS = 2
LOOP_MIB_PER_MINUTE = 300  # 64 MiB in 13 s: the operator's interval and the kubelet's back-off are as long
PACED_SLOWNESS = 3.0  # up to which that pace leaves a kubelet the time for a resize
RAISED_BYTES = 164 * MIB  # 64 MiB and the step of 100 that follows a kill


@pytest.mark.disruptive
def test_a_kill_raises_and_is_remembered_by_the_next_operator(cluster, release, namespace):
    cluster.apply(
        policy(namespace, "killed", "killed"),
        deployment(cluster, namespace, "killed", mib=24, limit="64Mi", request="32Mi"),
    )
    pod = running_pod(cluster, namespace, "killed")
    wait_for(lambda: profile_of(cluster, namespace, "deployment-killed"), "a profile", 90)
    hold(cluster, pod, 120)  # at once: no loop can be as fast as that

    wait_for(lambda: limit_now(cluster, pod) >= RAISED_BYTES, "a raise after the kill", 150)
    assert restarts(pod_now(cluster, pod)) == 1
    wait_for(lambda: oom_of(cluster, namespace, "deployment-killed").get("count") == 1, "the kill noted", 60)

    release.scale_operator(0)
    release.scale_operator(1)
    cluster.kube("-n", namespace, "delete", "pod", pod["metadata"]["name"])
    new = running_pod(cluster, namespace, "killed")

    wait_for(lambda: limit_now(cluster, new) >= RAISED_BYTES, "the raise for a new pod", 120)
    assert limit_now(cluster, new) < RAISED_BYTES + 100 * MIB  # the same kill is not answered twice
    assert restarts(pod_now(cluster, new)) == 0
    assert oom_of(cluster, namespace, "deployment-killed")["count"] == 1


def test_a_crash_loop_ends_within_two_kills(cluster, release, namespace):
    cluster.apply(
        policy(namespace, "loops", "loops"),
        # Killed some 13 s after its start, later on slower nodes: a resize takes an emulated kubelet up to
        # half a minute, a real one a second, and a program killed at once would have been started three times
        # meanwhile. Much later than that it would be raised before it is killed at all.
        deployment(
            cluster,
            namespace,
            "loops",
            mib=110,
            limit="64Mi",
            request="32Mi",
            mib_per_minute=round(LOOP_MIB_PER_MINUTE / max(1.0, slowness() / PACED_SLOWNESS)),
            first_mib=1,
        ),
    )

    def stands() -> bool:
        pods = live_pods(cluster, namespace, "loops")
        if not pods or not pods[0]["status"].get("containerStatuses"):
            return False
        assert restarts(pods[0]) <= MOST_KILLS, pods[0]["status"]
        if "running" not in pods[0]["status"]["containerStatuses"][0]["state"]:
            return False
        return memory_holds(cluster, pods[0], 110)

    wait_for(stands, "the program to hold 110 MiB", 300)
    (pod,) = live_pods(cluster, namespace, "loops")
    assert limit_now(cluster, pod) >= RAISED_BYTES
    assert 1 <= pod_oom_kills(cluster, pod) <= MOST_KILLS
    assert restarts(pod) <= MOST_KILLS


def limit_now(cluster, pod) -> int:
    """memory.max; 0 while its container is not there."""
    now = pod_now(cluster, pod)
    if (
        not now["status"].get("containerStatuses")
        or "running" not in now["status"]["containerStatuses"][0]["state"]
    ):
        return 0
    try:
        return container_memory(cluster, now, CONTAINER).max_bytes or 0
    except CommandError:  # killed between the two looks
        return 0


def memory_holds(cluster, pod, mib: int) -> bool:
    """True where the container uses at least `mib`."""
    try:
        return container_memory(cluster, pod, CONTAINER).current_bytes >= mib * MIB
    except CommandError:  # killed between the two looks
        return False


def oom_of(cluster, namespace: str, name: str):
    """What a profile remembers of kills."""
    containers = profile_of(cluster, namespace, name).get("status", {}).get("containers", [])
    return containers[0].get("oom", {}) if containers else {}
