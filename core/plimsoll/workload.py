"""What a profile belongs to, and how one of its containers is named.

A container's *history* belongs to the workload, not to the pod: pods come and go, and a new replica
starts with what its siblings have taught. `node_class` keeps DaemonSet pods on unlike nodes apart.
"""

from dataclasses import dataclass

MOST_CLASS_CHARACTERS = 253  # as names on the wire


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


def image_name(image: str) -> str:
    """An image without its version: neither tag nor digest; "" for none."""
    name = image.partition("@")[0]
    path, slash, last = name.rpartition("/")
    return f"{path}{slash}{last.partition(':')[0]}"


def shared_class(image: str, container: str) -> str:
    """What containers on different kube nodes share models by: image without version, and container name.

    "" where the image is not known, or the words are no key: nothing is shared then.
    """
    name = f"{image_name(image)} {container}"
    fits = len(name) <= MOST_CLASS_CHARACTERS and name.isprintable()
    return name if image and fits else ""
