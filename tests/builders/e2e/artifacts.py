"""What a failed end-to-end test leaves behind: objects, events, logs, and the cgroup files of its containers.

In: a namespace. Out: files in a directory. What cannot be had is a line in the file instead, so that one
missing thing never hides the others. Logs of Plimsoll are of every namespace that its pods are in: the
agents may have one of their own.
"""

import subprocess
from collections.abc import Callable
from pathlib import Path

from builders.e2e.cluster import Cluster, CommandError
from builders.e2e.kernel import container_memory

OURS = "memorypolicies,memoryprofiles,clustermemorypolicies,nodememories"
PLIMSOLL = "plimsoll-system"
OURS_ARE = "app.kubernetes.io/name=plimsoll"
NOT_HAD = (CommandError, OSError, LookupError, ValueError, StopIteration, subprocess.TimeoutExpired)
# The kubelet of a kind node is a service of systemd; that of a VM node writes a file.
NODE_LOGS = (
    "journalctl -u kubelet -n 300 --no-pager 2>/dev/null || tail -n 300 /var/log/kubelet.log;"
    " dmesg | tail -n 100"
)


def save_artifacts(cluster: Cluster, namespace: str, directory: Path) -> None:
    """Write everything about a namespace, and about Plimsoll at that time."""
    directory.mkdir(parents=True, exist_ok=True)
    kube = cluster.kube
    wanted: dict[str, Callable[[], str]] = {
        "objects.yaml": lambda: kube("-n", namespace, "get", "all,events", "-o", "yaml"),
        "plimsoll.yaml": lambda: kube("-n", namespace, "get", OURS, "-o", "yaml"),
        "events.txt": lambda: kube("-n", namespace, "get", "events", "--sort-by=.lastTimestamp"),
        "system-pods.yaml": lambda: _of_plimsoll(cluster, "get", "pods,events", "-o", "yaml"),
        "operator.log": lambda: _logs(cluster, "operator"),
        "operator-before.log": lambda: _logs(cluster, "operator", "--previous"),
        "agent.log": lambda: _logs(cluster, "agent"),
        "nodes.yaml": lambda: kube("get", "nodes", "-o", "yaml"),
        "cgroups.txt": lambda: _cgroups(cluster, namespace),
    }
    for name, ask in wanted.items():
        (directory / name).write_text(_text(ask))
    for kube_node in _kube_nodes(cluster, namespace):
        (directory / f"{kube_node}.log").write_text(
            _text(lambda at=kube_node: cluster.node_shell(at, NODE_LOGS))
        )


def _kube_nodes(cluster: Cluster, namespace: str) -> list[str]:
    """The cluster's, and one that a test has added for its pods."""
    try:
        pods = cluster.items("pods", "-n", namespace)
    except NOT_HAD:
        pods = []
    return sorted({*cluster.nodes, *(each["spec"].get("nodeName", "") for each in pods)} - {""})


def _text(ask: Callable[[], str]) -> str:
    try:
        return ask()
    except NOT_HAD as error:
        return f"could not be had: {error}\n"


def _logs(cluster: Cluster, component: str, *more: str) -> str:
    chosen = ("-l", f"{OURS_ARE},app.kubernetes.io/component={component}")
    return _of_plimsoll(cluster, "logs", *chosen, *more, "--tail=2000", "--prefix", "--all-containers")


def _of_plimsoll(cluster: Cluster, *asked: str) -> str:
    """The same of each namespace where Plimsoll has pods."""
    pods = cluster.items("pods", "--all-namespaces", "-l", OURS_ARE)
    where = sorted({PLIMSOLL, *(each["metadata"]["namespace"] for each in pods)})
    return "\n".join(f"# {name}\n{_text(lambda at=name: cluster.kube('-n', at, *asked))}" for name in where)


def _cgroups(cluster: Cluster, namespace: str) -> str:
    texts = []
    for pod in cluster.items("pods", "-n", namespace):
        status = pod["status"]
        for container in status.get("initContainerStatuses", []) + status.get("containerStatuses", []):
            name = f"{pod['metadata']['name']}/{container['name']}"
            texts.append(
                f"== {name}\n{_text(lambda p=pod, c=container: container_memory(cluster, p, c['name']).text)}"
            )
    return "\n".join(texts)
