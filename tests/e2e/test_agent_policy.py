"""What a policy makes of the running agent: memory that a container does not need is given back and comes
again when it is needed; of a neighbour without a policy not a page is taken; an agent that is killed on the
way leaves nothing set.

In: two pods alike on one node, one with a policy. Out: what the kernel counts of both, read by root. What
goes to swap is little: the pods' pages hold random words, which zram cannot compress, and of such it is given
no more than 16 MiB.
"""

import pytest

from builders.e2e.cluster import Cluster, Manifest
from builders.e2e.kernel import container_memory, kill_9, let_swap, memory_stat
from builders.e2e.patience import wait_for
from builders.e2e.workloads import (
    CONTAINER,
    MIB,
    cache_heavy,
    container,
    controller,
    in_pod,
    pod_now,
    policy,
    restarts,
    running_pod,
    template,
)

SIZES = {"held_mib": 16, "cache_mib": 96, "limit_mib": 192}
FIRST_MIB, GIVEN_BACK_MIB, AGAIN_MIB = 16, 48, 32
HELD_MIB, HOT_MIB, SWAPPED_MIB = 48, 4, 8  # anonymous: held, of it touched all the time, to be given back
REFAULTED_MIB = SWAPPED_MIB / 4  # were the hot ones taken, all of them would be back within a second
PATIENCE_SECONDS = 900  # a tick each ten seconds; a probe doubles once it has stayed out for a minute
JOURNAL = "/run/plimsoll/journal"


@pytest.mark.disruptive  # an agent is killed
def test_idle_cache_is_given_back_by_policy_and_the_neighbours_is_not(
    cluster, release, namespace, record_property
):
    idle = cache_heavy(cluster, namespace, "idle", **SIZES)
    kube_node = idle["spec"]["nodeName"]
    beside = cache_heavy(cluster, namespace, "beside", **SIZES, **cluster.standing_on(kube_node))
    used, taken_beside = usage_mib(cluster, idle), stolen_mib(cluster, beside)
    cluster.apply(policy(namespace, "idle", "idle", "Recommend", reclaim={"mode": "Cold"}))

    def given_back(mib: int) -> bool:
        return usage_mib(cluster, idle) <= used - mib

    wait_for(lambda: given_back(FIRST_MIB), "the first of the cache to be given back", PATIENCE_SECONDS)
    agent = release.agent_on(kube_node)
    before = restarts(pod_now(cluster, agent))
    kill_9(cluster, pod_now(cluster, agent), "agent")
    wait_for(lambda: restarts(pod_now(cluster, agent)) > before, "the agent to be started again", 120)
    # What the dead one had set is taken back; by then its successor may look by DAMON again.
    assert set(cluster.node_shell(kube_node, f"ls {JOURNAL}").split()) <= {"damon.json"}

    wait_for(lambda: given_back(GIVEN_BACK_MIB), "half of the cache to be given back", PATIENCE_SECONDS)
    memory = container_memory(cluster, idle, CONTAINER)
    record_property("taken_mib", stolen_mib(cluster, idle))
    assert (memory.high_bytes, memory.max_bytes) == (None, SIZES["limit_mib"] * MIB)
    assert stolen_mib(cluster, beside) == taken_beside, "nobody has a say about the neighbour"
    assert container_memory(cluster, beside, CONTAINER).high_bytes is None

    lowest = usage_mib(cluster, idle)
    in_pod(cluster, idle, "cat /tmp/cold >/dev/null")
    assert usage_mib(cluster, idle) >= lowest + AGAIN_MIB, "what is read again is there again"
    for pod in (idle, beside):
        assert (container_memory(cluster, pod, CONTAINER).oom_kills, restarts(pod_now(cluster, pod))) == (
            0,
            0,
        )
    release.wait_ready()


def test_what_is_predicted_to_stay_cold_is_given_back_and_the_hot_and_the_neighbours_is_not(
    cluster, release, namespace, record_property
):
    idle = anonymous(cluster, namespace, "foreseen")
    kube_node = idle["spec"]["nodeName"]
    beside = anonymous(cluster, namespace, "unforeseen", **cluster.standing_on(kube_node))
    used, refaulted, taken_beside = (
        usage_mib(cluster, idle),
        refaulted_mib(cluster, idle),
        stolen_mib(cluster, beside),
    )
    cluster.apply(policy(namespace, "foreseen", "foreseen", "Recommend", reclaim={"mode": "Predictive"}))

    wait_for(
        lambda: usage_mib(cluster, idle) <= used - SWAPPED_MIB,
        "cold pages to be given back",
        PATIENCE_SECONDS,
    )
    came_back = refaulted_mib(cluster, idle) - refaulted
    record_property("taken_mib", stolen_mib(cluster, idle))
    record_property("refaulted_mib", came_back)
    assert came_back <= REFAULTED_MIB, "what is touched all the time stays"
    assert stolen_mib(cluster, beside) == taken_beside, "nobody has a say about the neighbour"
    for pod in (idle, beside):
        memory = container_memory(cluster, pod, CONTAINER)
        assert (memory.high_bytes, memory.max_bytes) == (None, SIZES["limit_mib"] * MIB)
        assert (memory.oom_kills, restarts(pod_now(cluster, pod))) == (0, 0)


def anonymous(cluster: Cluster, namespace: str, name: str, **pod: object) -> Manifest:
    """A running pod that may swap, holds anonymous memory and touches the first of it all the time."""
    limit = f"{SIZES['limit_mib']}Mi"
    one = container(cluster, mib=HELD_MIB, limit=limit, request="48Mi")
    one["command"][3] = str(HOT_MIB)
    cluster.apply(controller("Deployment", namespace, name, template(name, one, **pod), replicas=1))
    running = running_pod(cluster, namespace, name)
    let_swap(cluster, running, CONTAINER)
    wait_for(lambda: usage_mib(cluster, running) >= HELD_MIB - 1, f"{name} to be filled", 90)
    return running


def refaulted_mib(cluster: Cluster, pod: Manifest) -> float:
    """What of its anonymous memory was reclaimed and touched again, since it began."""
    return memory_stat(cluster, pod, CONTAINER, "workingset_refault_anon") * 4096 / MIB


def usage_mib(cluster: Cluster, pod: Manifest) -> float:
    """What the kernel charges the container for."""
    return container_memory(cluster, pod, CONTAINER).current_bytes / MIB


def stolen_mib(cluster: Cluster, pod: Manifest) -> float:
    """What was reclaimed from the container, by whomever, since it began."""
    return memory_stat(cluster, pod, CONTAINER, "pgsteal") * 4096 / MIB
