"""What the agent's hands do on a real kernel: reclaim and give back, keep off others, leave nothing behind.

The actions run in the agent's own container, by `exec`: with its capabilities, mounts, seccomp profile and
pid namespace, through the same door, actor and journal. Which containers they may touch is said by the test,
as a policy says it otherwise. What happened is read on the node, by root.
"""

import json
import textwrap

import pytest

from builders.e2e.cluster import Cluster, CommandError, Manifest
from builders.e2e.kernel import (
    container_id,
    container_memory,
    kill_9,
    let_swap,
    memory_stat,
    process_status,
)
from builders.e2e.patience import wait_for
from builders.e2e.release import Release
from builders.e2e.workloads import (
    CONTAINER,
    MIB,
    container,
    controller,
    in_pod,
    pod_now,
    restarts,
    running_pod,
    template,
)
from plimsoll_nodeagent.control.kubeapi import TOKEN_DIRECTORY

CAPABILITIES = {19: "SYS_PTRACE", 23: "SYS_NICE", 24: "SYS_RESOURCE"}
JOURNAL = "/run/plimsoll/journal"
# What every script starts with: the door as the agent opens it, and the containers by their ids.
PRELUDE = """
import json, os, sys, time
from pathlib import Path
from plimsoll_nodeagent.act.actor import Actor
from plimsoll_nodeagent.act.journal import Journal
from plimsoll_nodeagent.act.reclaim import Reclaim
from plimsoll_nodeagent.discover.tracker import Tracker
from plimsoll_nodeagent.kernelfs import KernelFs, Mode
MIB = 1 << 20
fs = KernelFs(Path("/"), Mode.ACT)
tracker = Tracker(fs, "/host/cgroup")
tracker.look()
by_id = {each.container_id: each for each in tracker.containers.values()}
actor = Actor(fs, Journal(Path("/state/journal")), time.monotonic)
"""


def test_reclaim_lowers_usage_and_file_pages_come_back_when_they_are_read(cluster, release, namespace):
    pod = workload(cluster, namespace, "files", mib=8, hot_mib=1)
    in_pod(cluster, pod, "dd if=/dev/zero of=/tmp/data bs=1048576 count=24 2>/dev/null && sync")
    before = container_memory(cluster, pod, CONTAINER).current_bytes

    outcome = reclaimed(cluster, release, pod, 20 * MIB, swappiness=0)
    lowered = container_memory(cluster, pod, CONTAINER).current_bytes
    assert outcome["answer"] in ("done", "partial")
    assert lowered <= before - 12 * MIB
    assert outcome["measured"]["usage_bytes"] <= -12 * MIB
    assert outcome["measured"]["swap_bytes"] == 0  # swappiness 0 takes no anonymous page

    in_pod(cluster, pod, "cat /tmp/data >/dev/null")
    restored = container_memory(cluster, pod, CONTAINER).current_bytes
    assert restored >= lowered + 10 * MIB
    assert restarts(pod_now(cluster, pod)) == 0


def test_anonymous_pages_go_to_swap_and_come_back_when_they_are_touched(cluster, release, namespace):
    pod = workload(cluster, namespace, "anonymous", mib=24, hot_mib=24)
    let_swap(cluster, pod, CONTAINER)
    before = container_memory(cluster, pod, CONTAINER)
    refaults_before = memory_stat(cluster, pod, CONTAINER, "workingset_refault_anon")

    outcome = reclaimed(cluster, release, pod, 8 * MIB, swappiness=200)

    assert outcome["answer"] in ("done", "partial")
    refaulted = wait_for(
        lambda: memory_stat(cluster, pod, CONTAINER, "workingset_refault_anon") - refaults_before,
        "pages to be touched again",
        60,
    )
    assert refaulted > 0
    wait_for(
        lambda: container_memory(cluster, pod, CONTAINER).current_bytes >= before.current_bytes * 0.9,
        "usage to be what it was",
        60,
    )
    after = container_memory(cluster, pod, CONTAINER)
    assert (after.oom_kills, restarts(pod_now(cluster, pod))) == (before.oom_kills, 0)


def test_no_container_outside_policy_is_touched(cluster, release, namespace):
    inside = workload(cluster, namespace, "inside", mib=16, hot_mib=1)
    where = inside["spec"]["nodeName"]
    outside = workload(cluster, namespace, "outside", mib=16, hot_mib=1, kube_node=where)
    for pod in (inside, outside):
        let_swap(cluster, pod, CONTAINER)  # both have something that could be taken
    inside_before, outside_before = (
        memory_stat(cluster, pod, CONTAINER, "pgsteal") for pod in (inside, outside)
    )

    answers = in_agent(
        cluster,
        release.agent_on(where),
        f"""
        inside = by_id[{container_id(inside, CONTAINER)!r}]
        outside = by_id[{container_id(outside, CONTAINER)!r}]
        actor.permit([inside])
        done = [actor.act(Reclaim(each, 4 * MIB)).answer for each in (inside, outside)]
        done.append(actor.lease(outside, 4 * MIB, 30).answer)
        print(json.dumps(done))
        """,
    )

    assert answers[0] in ("done", "partial")
    assert answers[1:] == ["refused", "refused"]
    assert memory_stat(cluster, inside, CONTAINER, "pgsteal") > inside_before
    assert memory_stat(cluster, outside, CONTAINER, "pgsteal") == outside_before
    assert container_memory(cluster, outside, CONTAINER).high_bytes is None


def test_advice_moves_pages_of_a_process_of_another_user(cluster, release, namespace):
    pod = workload(cluster, namespace, "advised", mib=16, hot_mib=1)
    let_swap(cluster, pod, CONTAINER)
    found = in_agent(
        cluster,
        release.agent_on(pod["spec"]["nodeName"]),
        f"""
        import numpy as np
        from plimsoll_nodeagent.act.advise import Advise
        from plimsoll_nodeagent.kernelfs import Advice, KernelProcess
        from plimsoll_nodeagent.discover.pids import largest_processes
        from plimsoll_nodeagent.sample.processes import read_mappings
        own = by_id[{container_id(pod, CONTAINER)!r}]
        actor.permit([own])
        outcomes = []
        for pid in largest_processes(fs, own, 64):
            with KernelProcess.open(fs, pid) as process:
                mappings = read_mappings(process)
            big = mappings.anonymous & (mappings.ends - mappings.starts >= np.uint64(MIB))
            ranges = np.column_stack([mappings.starts[big], (mappings.ends - mappings.starts)[big]])
            if len(ranges):
                outcomes.append(actor.act(Advise(own, pid, ranges[:, :2], Advice.PAGEOUT)).as_dict())
        print(json.dumps(outcomes))
        """,
    )
    assert found, "the container has no process with memory of its own"
    moved = [each["measured"]["resident_bytes"] for each in found if each["measured"]]
    assert {each["answer"] for each in found} <= {"done", "partial"}
    assert min(moved) <= -4 * MIB


@pytest.mark.disruptive  # others act through the agent that is killed
def test_kill_9_leaves_nothing_behind(cluster, release, namespace):
    pod = workload(cluster, namespace, "leased", mib=16, hot_mib=1)
    kube_node = pod["spec"]["nodeName"]
    agent = release.agent_on(kube_node)
    held = in_agent(
        cluster,
        agent,
        f"""
        from plimsoll_nodeagent.act.watching import Watching
        from plimsoll_nodeagent.discover.pids import largest_processes
        own = by_id[{container_id(pod, CONTAINER)!r}]
        actor.permit([own])
        high = actor.lease(own, 12 * MIB, 60).answer
        taken = actor.damon.take(1)
        pids = tuple(largest_processes(fs, own, 1))
        watching = actor.damon.start(0, Watching(pids)) if taken == "done" else taken
        print(json.dumps([high, taken, watching]))
        sys.stdout.flush()
        os.execv("/bin/true", ["true"])  # as abrupt as a kill, and kubectl sees no error
        """,
    )
    assert held[0] == "done"
    assert container_memory(cluster, pod, CONTAINER).high_bytes == 12 * MIB
    assert cluster.node_shell(kube_node, f"ls {JOURNAL}").split()

    before = restarts(pod_now(cluster, agent))
    kill_9(cluster, pod_now(cluster, agent), "agent")
    wait_for(lambda: restarts(pod_now(cluster, agent)) > before, "the agent to be started again", 120)

    wait_for(
        lambda: container_memory(cluster, pod, CONTAINER).high_bytes is None,
        "memory.high to be put back",
        120,
    )
    assert cluster.node_shell(kube_node, f"ls {JOURNAL}").split() == []
    if held[1] == "done":  # else somebody else holds DAMON, and it is theirs
        kdamonds = "/sys/kernel/mm/damon/admin/kdamonds/nr_kdamonds"
        assert cluster.node_shell(kube_node, f"cat {kdamonds}").strip() == "0"
    release.wait_ready()


def test_the_agents_run_without_privileged_and_with_three_capabilities(cluster, release):
    for agent in release.agents():
        spec = agent["spec"]
        (running,) = spec["containers"]
        security = running["securityContext"]
        assert "privileged" not in security
        assert security["allowPrivilegeEscalation"] is False
        assert not spec.get("hostNetwork")
        assert token_mounts(running) == ["api-token"]  # and the API server has added none to the other one
        assert [token_mounts(each) for each in spec["initContainers"]] == [[]]
        fields = process_status(cluster, pod_now(cluster, agent), "agent")
        effective = int(fields["CapEff"], 16)
        assert {bit for bit in range(64) if effective >> bit & 1} == CAPABILITIES.keys()
        assert int(fields["CapBnd"], 16) == effective
        assert (fields["Seccomp"], fields["NoNewPrivs"]) == ("2", "1")


def token_mounts(running: Manifest) -> list[str]:
    """Names of a container's mounts at the path of a token for the API server."""
    return [each["name"] for each in running["volumeMounts"] if each["mountPath"] == str(TOKEN_DIRECTORY)]


def test_what_the_kernel_offers_is_found_with_those_rights(cluster, release):
    for agent in release.agents():
        found = in_agent(
            cluster,
            agent,
            """
            from pathlib import Path
            from plimsoll_nodeagent.act.actor import boot_id
            from plimsoll_nodeagent.act.damon import noted
            from plimsoll_nodeagent.act.journal import Journal
            from plimsoll_nodeagent.sample.probe import find_capabilities
            records = Journal.of_another(Path("/state/journal"))
            ours = lambda: noted(fs, records, boot_id(fs))
            print(json.dumps(find_capabilities(fs, "/host/cgroup", ours).as_dict()))
            """,
        )
        levels = {each["engine"]: each["level"] for each in found["engines"]}
        (accesses,) = [
            each["level"]
            for each in cluster.get("nodememory", agent["spec"]["nodeName"])["status"]["capabilities"]
            if each["name"] == "accesses"
        ]
        assert found["observeOnly"] is False, found
        assert levels["pressure"] == "triggers", found
        assert levels["reclaim"].startswith("memory.reclaim"), found
        assert levels["advice"] == "cold pageout willneed collapse", found
        assert levels["compaction"] == "per NUMA node", found
        assert accesses in ("damon", "lru-generations"), found
        assert levels["accesses"] == accesses, "who looks beside the running agent knows its kdamonds"


def workload(
    cluster: Cluster, namespace: str, name: str, *, mib: int, hot_mib: int, kube_node: str = ""
) -> Manifest:
    """A running pod that holds `mib` and touches the first `hot_mib` of them all the time.

    Its kubelet lets no pod swap; `let_swap` does, where a test needs it.
    """
    one = container(cluster, mib=mib, limit="384Mi", request="256Mi")
    one["command"][3] = str(hot_mib)
    more = {"nodeSelector": {"kubernetes.io/hostname": kube_node}} if kube_node else {}
    pod = template(name, one, **more)
    cluster.apply(controller("Deployment", namespace, name, pod, replicas=1))
    running = running_pod(cluster, namespace, name)
    held = (mib - 1) * MIB
    wait_for(
        lambda: container_memory(cluster, running, CONTAINER).current_bytes >= held,
        f"{name} to be filled",
        90,
    )
    return running


def reclaimed(
    cluster: Cluster, release: Release, pod: Manifest, bytes_: int, swappiness: int
) -> dict[str, object]:
    """The outcome of a reclaim by the agent of the pod's node."""
    return in_agent(
        cluster,
        release.agent_on(pod["spec"]["nodeName"]),
        f"""
        own = by_id[{container_id(pod, CONTAINER)!r}]
        actor.permit([own])
        print(json.dumps(actor.act(Reclaim(own, {bytes_}, swappiness={swappiness})).as_dict()))
        """,
    )


def in_agent(cluster: Cluster, agent: Manifest, script: str):
    """What a script prints as JSON in the agent's container, whose seccomp profile lets no process fork."""
    metadata = agent["metadata"]
    where = ("-n", metadata["namespace"], metadata["name"], "-c", "agent")
    program = PRELUDE + textwrap.dedent(script)
    printed = cluster.kube("exec", *where, "--", "python3", "-c", program, seconds=600)
    lines = [line for line in printed.splitlines() if line.startswith(("[", "{"))]
    if not lines:
        raise CommandError(f"the script in {metadata['name']} printed no result: {printed!r}")
    return json.loads(lines[-1])
