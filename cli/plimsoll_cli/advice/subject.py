"""What advice is asked about: one container of a workload, its memory values now, and its past.

In: a cluster, Prometheus or trace files (one module each). Out: `Subject`s, each with the samples and OOM
kills that its source knew, or the sentence why it knew none.
"""

from dataclasses import dataclass, field, replace

from plimsoll.usage.sample import Quantity
from plimsoll.workload import ContainerKey
from plimsoll_operator.observe.backfill import ContainerPast


@dataclass(frozen=True, slots=True)
class Subject:
    """One container of a workload. `limit_bytes` and `request_bytes` are in force (None: unset)."""

    key: ContainerKey
    pods: tuple[str, ...] = ()
    limit_bytes: int | None = None
    request_bytes: int | None = None
    quantity: Quantity = Quantity.WORKING_SET  # what past and checkpoint measure
    past: ContainerPast = field(default_factory=ContainerPast)
    checkpoint: bytes = b""  # history that an operator in the cluster has kept
    problem: str = ""  # why its past is not known

    def knowing(self, past: ContainerPast, problem: str = "") -> "Subject":
        """Return this subject with what a source knew of it."""
        return replace(self, past=past, problem=problem)
