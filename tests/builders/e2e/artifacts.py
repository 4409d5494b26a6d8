"""What a failed end-to-end test leaves behind: objects, events, logs, and the cgroup files of its containers.

In: a namespace. Out: files in a directory. What cannot be had is a line in the file instead, so that one
missing thing never hides the others.
"""

import subprocess
from collections.abc import Callable
from pathlib import Path

from builders.e2e.cluster import Cluster, CommandError
from builders.e2e.kernel import container_memory

OURS = "memorypolicies,memoryprofiles,clustermemorypolicies,nodememories"
PLIMSOLL = "plimsoll-system"
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
        "system-pods.yaml": lambda: kube("-n", PLIMSOLL, "get", "pods,events", "-o", "yaml"),
        "operator.log": lambda: _logs(cluster, "operator"),
        "operator-before.log": lambda: _logs(cluster, "operator", "--previous"),
        "agent.log": lambda: _logs(cluster, "agent"),
        "nodes.yaml": lambda: kube("get", "nodes", "-o", "yaml"),
        "cgroups.txt": lambda: _cgroups(cluster, namespace),
    }
    for name, ask in wanted.items():
        (directory / name).write_text(_text(ask))
    for kube_node in cluster.nodes:
        (directory / f"{kube_node}.log").write_text(
            _text(lambda at=kube_node: cluster.node_shell(at, NODE_LOGS))
        )


def _text(ask: Callable[[], str]) -> str:
    try:
        return ask()
    except (CommandError, OSError, LookupError, StopIteration, subprocess.TimeoutExpired) as error:
        return f"could not be had: {error}\n"


def _logs(cluster: Cluster, component: str, *more: str) -> str:
    selector = f"app.kubernetes.io/component={component}"
    where = ("-n", PLIMSOLL, "logs", "-l", selector, *more)
    return cluster.kube(*where, "--tail=2000", "--prefix", "--all-containers")


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
