"""What the kernel of a node knows of a container: the files of its cgroup.

In: a pod as the API has it. Out: memory.max and its neighbours, read on the node by root. The directory is
found by the container's id, so both cgroup drivers and every quality of service are found alike.
"""

from dataclasses import dataclass

from builders.e2e.cluster import Cluster, Manifest

FILES = (
    "memory.max memory.high memory.min memory.low memory.current memory.peak memory.swap.max memory.events"
)
UNLIMITED = "max"


@dataclass(frozen=True)
class ContainerMemory:
    """Bytes; None is the kernel's `max`."""

    max_bytes: int | None
    high_bytes: int | None
    low_bytes: int | None
    swap_max_bytes: int | None
    current_bytes: int
    oom_kills: int
    text: str  # all files, for people


def container_memory(cluster: Cluster, pod: Manifest, container: str) -> ContainerMemory:
    """Read a running container's cgroup on its node."""
    text = cluster.node_shell(pod["spec"]["nodeName"], _reading(container_id(pod, container)))
    files: dict[str, list[str]] = {}
    for line in text.splitlines():
        name, _, value = line.partition(":")
        files.setdefault(name, []).append(value)
    events = dict(line.split() for line in files["memory.events"])
    return ContainerMemory(
        _bytes(files["memory.max"][0]),
        _bytes(files["memory.high"][0]),
        _bytes(files["memory.low"][0]),
        _bytes(files["memory.swap.max"][0]),
        int(files["memory.current"][0]),
        int(events["oom_kill"]),
        text,
    )


def memory_stat(cluster: Cluster, pod: Manifest, container: str, key: str) -> int:
    """A number of a container's memory.stat."""
    text = cgroup_file(cluster, pod, container, "memory.stat")
    return int(dict(line.split() for line in text.splitlines())[key])


def anon_bytes_on(cluster: Cluster, pod: Manifest, container: str) -> dict[int, int]:
    """Anonymous memory on each NUMA node, as memory.numa_stat of the container has it."""
    lines = cgroup_file(cluster, pod, container, "memory.numa_stat").splitlines()
    _, *words = next(line.split() for line in lines if line.startswith("anon "))
    pairs = (word.removeprefix("N").partition("=") for word in words)
    return {int(numa_node): int(held) for numa_node, _, held in pairs}


def cgroup_file(cluster: Cluster, pod: Manifest, container: str, name: str) -> str:
    """A file of a container's cgroup, read on the node by root."""
    found = _directory(container_id(pod, container))
    return cluster.node_shell(pod["spec"]["nodeName"], f"cat {found}/{name}")


def pod_oom_kills(cluster: Cluster, pod: Manifest) -> int:
    """How often a container of a pod was killed since the pod began: its cgroup outlives its containers'.

    The kubelet lets a container be killed as a whole. `oom_kill` counts processes then, and the one that was
    chosen a second time if it has not died yet when its group is told; `oom_group_kill` counts the times.
    """
    uid = pod["metadata"]["uid"]
    # systemd's driver writes the id with underscores; a directory's parent is found before what is in it.
    found = _directory(f"pod{uid}", f"pod{uid.replace('-', '_')}")
    text = cluster.node_shell(pod["spec"]["nodeName"], f"cat {found}/memory.events")
    return int(dict(line.split() for line in text.splitlines())["oom_group_kill"])


def let_swap(cluster: Cluster, pod: Manifest, container: str) -> None:
    """Let a container use its node's swap, as root of the node: NoSwap has set memory.swap.max to 0."""
    found = _directory(container_id(pod, container))
    cluster.node_shell(pod["spec"]["nodeName"], f"echo {UNLIMITED} >{found}/memory.swap.max")


def first_pid(cluster: Cluster, pod: Manifest, container: str) -> int:
    """The container's first process, as the node numbers it."""
    found = _directory(container_id(pod, container))
    return min(map(int, cluster.node_shell(pod["spec"]["nodeName"], f"cat {found}/cgroup.procs").split()))


def kill_9(cluster: Cluster, pod: Manifest, container: str) -> None:
    """Kill a container's first process as the kernel's OOM killer does."""
    cluster.node_shell(pod["spec"]["nodeName"], f"kill -9 {first_pid(cluster, pod, container)}")


def kill_a_second_process(cluster: Cluster, pod: Manifest, container: str) -> None:
    """Let the kernel kill, at the container's limit, a process that is not the container's own.

    The kubelet sets memory.oom.group=1: the container and its counter would be gone. Where its managers are
    static it sets all of that once more, at some time of the container's first ten seconds: not there.
    What runs already stands still: a process that asks for a page before the victim has let go of its own
    would be the next victim.
    """
    found = _directory(container_id(pod, container))
    first = "echo 1000 >/proc/self/oom_score_adj; echo $$ >cgroup.procs"
    grow = f"{first}; exec dd if=/dev/zero of=/dev/null bs=256M count=1"
    cluster.node_shell(
        pod["spec"]["nodeName"],
        f"cd {found} && own=$(cat cgroup.procs) && kill -STOP $own && echo 0 >memory.oom.group"
        f" && {{ sh -c '{grow}'; true; }}; kill -CONT $own",
    )


def process_status(cluster: Cluster, pod: Manifest, container: str) -> dict[str, str]:
    """Fields of /proc/PID/status of the container's first process."""
    pid = first_pid(cluster, pod, container)
    status = cluster.node_shell(pod["spec"]["nodeName"], f"cat /proc/{pid}/status")
    pairs = (line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    return {name: value.strip() for name, value in pairs}


def container_id(pod: Manifest, container: str) -> str:
    """Its id in the runtime."""
    statuses = pod["status"].get("containerStatuses", []) + pod["status"].get("initContainerStatuses", [])
    found = next(each for each in statuses if each["name"] == container)
    return found["containerID"].partition("://")[2]


def _directory(*identities: str) -> str:
    """A shell's word for the first directory that has one of these in its name."""
    named = " -o ".join(f"-name '*{each}*'" for each in identities)
    return f'"$(find /sys/fs/cgroup -type d \\( {named} \\) | head -n 1)"'


def _reading(identity: str) -> str:
    return f'cd {_directory(identity)} && grep "" {FILES}'


def _bytes(text: str) -> int | None:
    return None if text == UNLIMITED else int(text)
