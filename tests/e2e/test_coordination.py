"""Agents and operator joined, on a real kernel: a limit that falls after the cache was given back, a burst
that is lent room before it meets the limit; beside each the same without.

In: the release with `coordination.enabled`, for this file alone, so these tests run by themselves. Out: what
the kernel holds, and what was counted. What a model learned on node A is worth on node B is asked in
test_shared_memory.py, beside tests/contract/test_shared_models.py and `make bench-share`.
"""

import json
from collections.abc import Iterator
from statistics import median
from typing import Any

import pytest

from builders.e2e.cluster import Cluster, Manifest
from builders.e2e.evidence import undone_by
from builders.e2e.figures import note
from builders.e2e.kernel import container_memory, pod_oom_kills
from builders.e2e.patience import wait_for
from builders.e2e.release import Release, cluster_values
from builders.e2e.workloads import (
    CONTAINER,
    MIB,
    cache_heavy,
    deployment,
    hold,
    in_pod,
    pod_now,
    policy,
    profile_of,
    resized,
    restarts,
    running_pod,
)

pytestmark = pytest.mark.disruptive

HELD_MIB, CACHE_MIB, LIMIT_MIB, FALLS_TO_MIB = 24, 130, 192, 112  # the limit falls by 42 %
FEW = [float(HELD_MIB)] * 24 * 4
FALL_SECONDS = 600
# Reads of 64 KiB all over a file of 8 MiB: the 99th percentile in seconds, and the pages that were read back.
READ_COUNT = 8000
READS = f"""
import os, time
def refaults():
    with open("/sys/fs/cgroup/memory.stat") as stat:
        return next(int(line.split()[1]) for line in stat if line.startswith("workingset_refault_file "))
fd, took, before = os.open("/tmp/hot", os.O_RDONLY), [], refaults()
for number in range({READ_COUNT}):
    at = time.perf_counter()
    os.pread(fd, 65536, number * 7919 % 128 * 65536)
    took.append(time.perf_counter() - at)
print(sorted(took)[int(len(took) * 0.99)], refaults() - before)
"""
WINDOWS = 5
KEEPS_READING = "(while cat /tmp/hot; do sleep 2; done) >/dev/null 2>&1 </dev/null &"


@pytest.fixture(scope="module")
def joined(cluster: Cluster, release: Release, prometheus_url: str) -> Iterator[Release]:
    """The release with coordination, until the file's end; its agents are told policies, and read nothing."""
    values = cluster_values(cluster, prometheus_url)
    agent = {**values["agent"], "act": {**values["agent"]["act"], "policiesFrom": "operator"}}
    with undone_by(lambda: release.install_or_upgrade(values)):
        release.install_or_upgrade({**values, "agent": agent, "coordination": {"enabled": True}})
        wait_for(lambda: release.attending() >= len(cluster.nodes), "every node's agent to attend", 180)
        yield release


@pytest.mark.past("caches", FEW)
def test_a_cache_heavy_containers_limit_falls_after_the_cache_was_given_back(
    cluster, joined, namespace, record_property
):
    sizes = {"held_mib": HELD_MIB, "cache_mib": CACHE_MIB, "limit_mib": LIMIT_MIB}
    pod, plain = (cache_heavy(cluster, namespace, name, **sizes) for name in ("caches", "plain"))
    for each in (pod, plain):  # what nobody reads meanwhile is cold: its first reads are the disk's
        in_pod(cluster, each, KEEPS_READING)
    calm = [hot_reads(cluster, pod)[0] for _ in range(WINDOWS)]
    done_before = joined.counted("plimsoll_shrinks_total", outcome="done")
    limits = {"basis": "needed", "min": f"{FALLS_TO_MIB}Mi"}
    cluster.apply(policy(namespace, "caches", "caches", limits=limits, reclaim={"mode": "Cold"}))

    def fallen() -> bool:
        now = container_memory(cluster, pod, CONTAINER)
        assert now.oom_kills == 0, now.text
        return (now.max_bytes or 0) <= 0.6 * LIMIT_MIB * MIB

    wait_for(fallen, "the limit to have fallen by 40 %", FALL_SECONDS)
    after, beside, read_back = [], [], []  # beside: of the one whose limit has not moved, in the same minutes
    for _ in range(WINDOWS):
        p99_seconds, pages = hot_reads(cluster, pod)
        after.append(p99_seconds)
        read_back.append(pages)
        beside.append(hot_reads(cluster, plain)[0])
    memory = container_memory(cluster, pod, CONTAINER)
    told = {"calm": calm, "after": after, "beside": beside}
    record_property("p99_seconds", json.dumps(told))
    record_property("pages_read_back", json.dumps(read_back))
    note("shrink.limit_fell", 100.0 * (1.0 - (memory.max_bytes or 0) / (LIMIT_MIB * MIB)), "%")
    note("shrink.oom_kills", memory.oom_kills, "kills")
    note("shrink.pages_read_back", median(read_back), f"pages of {READ_COUNT:,} reads, median window")
    for when, seconds in told.items():
        note(f"shrink.p99.{when}", 1e6 * median(seconds), "us, median window")
    assert memory.current_bytes <= (memory.max_bytes or 0)
    assert (memory.oom_kills, restarts(pod_now(cluster, pod))) == (0, 0)
    assert joined.counted("plimsoll_shrinks_total", outcome="done") > done_before
    # By the kernel's count: fewer than one read in a hundred can have met a page that was gone.
    assert median(read_back) < 0.01 * READ_COUNT, read_back
    # By the clock: an emulated processor is its neighbours' too, and what windows of an unchanged limit
    # differ by is no doing of the limit's.
    assert median(after) <= 1.05 * max(calm + beside), told

    resized(cluster, plain, limits=f"{FALLS_TO_MIB}Mi")
    wait_for(lambda: told_why(cluster, plain), "the kubelet to say what is in the way", 120)
    stalled = container_memory(cluster, plain, CONTAINER)
    note("shrink.plain_resize_done", float(stalled.max_bytes != LIMIT_MIB * MIB), "of 1 resize")
    assert stalled.max_bytes == LIMIT_MIB * MIB, "the same amount, asked for plainly, is not done"


@pytest.mark.parametrize("mib_per_second", [20, 50, 100])
def test_a_burst_lease_saves_a_container_that_is_killed_without_it(
    cluster, joined, namespace, mib_per_second, record_property
):
    """It starts above half of its limit and would meet it in three seconds; it goes 30 % beyond."""
    limit_mib = round(3 * mib_per_second / 0.45)
    first, last = round(0.55 * limit_mib), round(1.3 * limit_mib)
    granted_before = joined.counted("plimsoll_leases_total", outcome="granted")
    raises_before = raises(joined)
    cluster.apply(policy(namespace, "lent", "lent", limits={"max": f"{2 * limit_mib}Mi"}))
    # Each on a node of its own: what one of them takes is no room for the other's lease.
    lent, alone = (
        bursting(cluster, namespace, name, first, limit_mib, mib_per_second, **cluster.standing_on(kube_node))
        for name, kube_node in zip(("lent", "alone"), cluster.nodes, strict=False)
    )
    wait_for(lambda: seen_by_a_loop(cluster, namespace, "lent"), "the operator to have seen it", 120)
    for pod in (lent, alone):
        hold(cluster, pod, last)
    wait_for(lambda: pod_oom_kills(cluster, alone) > 0, "the one without a policy to be killed", 90)

    def held() -> bool:
        now = container_memory(cluster, lent, CONTAINER)
        assert now.oom_kills == 0, now.text
        return now.current_bytes >= last * MIB

    wait_for(held, f"the one with a lease to hold {last} MiB", 90)
    memory = container_memory(cluster, lent, CONTAINER)
    record_property("limit_bytes", json.dumps([limit_mib * MIB, memory.max_bytes]))
    assert (memory.oom_kills, restarts(pod_now(cluster, lent))) == (0, 0)
    assert (memory.max_bytes or 0) > limit_mib * MIB
    assert joined.counted("plimsoll_leases_total", outcome="granted") > granted_before
    count, seconds = wait_for(lambda: raises_since(joined, raises_before), "the agent to tell", 60)
    # By the agent's own clock: from its request to its own look at memory.max, four times a second.
    note(f"lease.{mib_per_second}_mib_per_second.request_to_memory_max", seconds / count, "s")
    note(f"lease.{mib_per_second}_mib_per_second.killed_with_it", memory.oom_kills, "kills")
    note(f"lease.{mib_per_second}_mib_per_second.killed_without", pod_oom_kills(cluster, alone), "kills")
    note(f"lease.{mib_per_second}_mib_per_second.limit", (memory.max_bytes or 0) / MIB, "MiB")


def raises(release: Release) -> tuple[float, float]:
    """Raises of memory.max after a lease was asked for, and their seconds from the request on, of all."""
    told = [each for pod in release.agents() for each in release.agent_samples(pod)]
    names = ("plimsoll_agent_lease_raises_total", "plimsoll_agent_lease_raise_seconds_total")
    count, seconds = (sum(each.value for each in told if each.name == name) for name in names)
    return count, seconds


def raises_since(release: Release, before: tuple[float, float]) -> tuple[float, float] | None:
    """How many have come since, and their seconds; None for none."""
    count, seconds = raises(release)
    return (count - before[0], seconds - before[1]) if count > before[0] else None


def bursting(
    cluster: Cluster,
    namespace: str,
    name: str,
    first_mib: int,
    limit_mib: int,
    mib_per_second: int,
    **standing: Any,
) -> Manifest:
    """A running pod that holds so much, and will go on at that rate when it is told to."""
    made = deployment(
        cluster, namespace, name, mib=first_mib, limit=f"{limit_mib}Mi", request="64Mi",
        mib_per_minute=60 * mib_per_second, **standing,
    )  # fmt: skip
    cluster.apply(made)
    pod = running_pod(cluster, namespace, name)
    wait_for(
        lambda: container_memory(cluster, pod, CONTAINER).current_bytes >= 0.95 * first_mib * MIB,
        f"{name} to hold {first_mib} MiB",
        90,
    )
    return pod


def seen_by_a_loop(cluster: Cluster, namespace: str, name: str) -> bool:
    """True once its profile names what it uses: its agent's roster has it by then, too."""
    profile = profile_of(cluster, namespace, f"deployment-{name}")
    return bool(profile.get("status", {}).get("containers"))


def hot_reads(cluster: Cluster, pod: Manifest) -> tuple[float, int]:
    """The 99th percentile of reads of what is hot, in seconds; and the pages that were read back."""
    p99_seconds, pages = in_pod(cluster, pod, f"python3 -c '{READS}'").split()
    return float(p99_seconds), int(pages)


def told_why(cluster: Cluster, pod: Manifest) -> str:
    """What the kubelet says of a resize that it has not done; "" while it says nothing."""
    conditions = pod_now(cluster, pod)["status"].get("conditions", [])
    under_way = (each for each in conditions if each["type"].startswith("PodResize"))
    return next((each.get("message", "") for each in under_way if each["status"] == "True"), "")
