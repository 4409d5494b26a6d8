"""What a profile belongs to, and how one of its containers is named.

A container's *history* belongs to the workload, not to the pod: pods come and go, and a new replica
starts with what its siblings have taught. `node_class` keeps DaemonSet pods on unlike nodes apart.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class WorkloadRef:
    """The owner at the top of a pod's owner chain, or the bare pod itself."""

    namespace: str
    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.kind}/{self.name}"


@dataclass(frozen=True, slots=True, order=True)
class ContainerKey:
    """One named container of a workload; the unit that has a history, a forecast and a limit."""

    workload: WorkloadRef
    container: str
    node_class: str = ""

    def __str__(self) -> str:
        suffix = f"@{self.node_class}" if self.node_class else ""
        return f"{self.workload}{suffix}:{self.container}"
