"""A fleet out of a live cluster: its pods, the history that MemoryProfiles keep, and its kube nodes.

In: a cluster that is only read, the pipeline's settings, a `now`. Out: a `Fleet` and the nodes' allocatable
memory. A profile remembers the largest of its pods in each hour, so each pod counts as the largest. Pods of a
DaemonSet are on every node, so they are taken off each node's room.
"""

import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from plimsoll.pipeline import PipelineSettings
from plimsoll.usage.sample import HOUR_SECONDS
from plimsoll_cli.advice.cluster import subjects_in_cluster, with_kept_history
from plimsoll_cli.advice.judge import Advice, advise
from plimsoll_cli.advice.subject import Subject
from plimsoll_cli.amounts import short
from plimsoll_cli.cluster import Cluster, ForbiddenError
from plimsoll_cli.failure import CommandError
from plimsoll_cli.plan.fleet import HOURS_PER_DAY, Fleet, PodOf, Source, counted, fleet_of
from plimsoll_cli.progress import progress
from plimsoll_operator import parse

DAEMON_SET = "DaemonSet"


@dataclass(frozen=True, slots=True)
class KubeNodes:
    """What the cluster's nodes can give; those that take no pods are left out."""

    allocatable_bytes: tuple[int, ...]

    @property
    def typical_bytes(self) -> int:
        """The node to plan with: of unlike ones the middle, the smaller of two."""
        return statistics.median_low(self.allocatable_bytes)

    @property
    def note(self) -> str:
        """Which node is planned with, where they are unlike; "" where they are not."""
        sizes = sorted(set(self.allocatable_bytes))
        if len(sizes) < 2:
            return ""
        span = f"{short(sizes[0])} to {short(sizes[-1])}"
        return f"kube nodes have {span}: planned with the middle one, {short(self.typical_bytes)}"


def kube_nodes(cluster: Cluster) -> KubeNodes:
    """Read what nodes can give. Raises `CommandError` where none says."""
    try:
        bodies = cluster.items("/api/v1/nodes")
    except ForbiddenError as error:
        raise ForbiddenError(f"{error}; give --node-memory to plan without reading kube nodes") from error
    open_ = [each for each in bodies if not (each.get("spec") or {}).get("unschedulable")]
    found = [parse.kube_node(each).allocatable_bytes for each in open_]
    known = tuple(each for each in found if each)
    if not known:
        raise CommandError("no kube node that takes pods says what it can give; give --node-memory")
    return KubeNodes(known)


def live_fleet(
    cluster: Cluster, namespace: str | None, selector: str, settings: PipelineSettings, now_seconds: float
) -> Fleet:
    """Read pods and profiles, and ask the pipeline about every container."""
    subjects = subjects_in_cluster(cluster, namespace, selector)
    where = f"namespace {namespace}" if namespace else "this cluster"
    if not subjects:
        raise CommandError(f"no pod runs in {where}" + (" with these labels" if selector else ""))
    subjects = with_kept_history(cluster, namespace, subjects)
    with progress("asking the pipeline") as report:
        advice = advise(subjects, settings, now_seconds, report)
    pods = _pods(subjects)
    if not pods:
        raise CommandError(f"only pods of DaemonSets run in {where}: nothing to place")
    source = Source(
        f"{counted(len(pods), 'pod')} of {where}, each on the history of its MemoryProfile",
        # The last whole hour ends when the present one begins: that is the coming one of the loads.
        hour_of_day=int(now_seconds // HOUR_SECONDS) % HOURS_PER_DAY,
        clock="UTC",
        in_force=True,
    )
    return fleet_of(source, advice, pods, _every_node(advice))


def _pods(subjects: Sequence[Subject]) -> list[PodOf]:
    """Pods that may go anywhere, each with its containers."""
    found: dict[str, list[int]] = defaultdict(list)
    for row, each in enumerate(subjects):
        if each.key.workload.kind != DAEMON_SET:
            for pod in each.pods:
                found[f"pod {each.key.workload.namespace}/{pod}"].append(row)
    return [PodOf(name, tuple(rows)) for name, rows in sorted(found.items())]


def _every_node(advice: Sequence[Advice]) -> list[PodOf]:
    """One pod a DaemonSet; where classes of nodes differ, each container as it is where it is largest."""
    largest: dict[tuple[str, str], int] = {}
    for row, each in enumerate(advice):
        key = each.subject.key
        if key.workload.kind == DAEMON_SET:
            at = (str(key.workload), key.container)
            if at not in largest or _size(each) > _size(advice[largest[at]]):
                largest[at] = row
    found: dict[str, list[int]] = defaultdict(list)
    for (workload, _), row in largest.items():
        found[workload].append(row)
    return [PodOf(name, tuple(rows)) for name, rows in sorted(found.items())]


def _size(advice: Advice) -> int:
    return max(advice.seen.peak_bytes or 0, advice.subject.request_bytes or 0)
