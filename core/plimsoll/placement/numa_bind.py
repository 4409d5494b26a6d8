"""Whether a container is bound to the NUMA nodes its memory is on (`cpuset.mems`), which keeps new memory
there.

In: what `placement.numa` sees of a container, its `memory.max`, its stalls, a clock. Out: the NUMA nodes to
bind it to, () for none. A bound container that finds no memory there is killed though the machine has some:
so it is bound only where all it may still take has room, and let go as soon as the room is less, its CPUs
leave, or it stalls more than before; after stalls not again for a while that doubles. Memory is moved first,
by `plan_numa`, and what is moved must have lasted; binding moves next to nothing.

Source: the kernel's `admin-guide/cgroup-v2.rst`, "cpuset.mems".
"""

from dataclasses import dataclass, field

import numpy as np

from plimsoll.pages.pauses import DoublingPauses
from plimsoll.placement.numa import (
    FIRST_PAUSE_SECONDS,
    LONGEST_PAUSE_SECONDS,
    RESERVE,
    STALL_NOISE,
    TRIAL_SECONDS,
    WORSE_STALL,
    NumaContainer,
    NumaMachine,
)

STEADY_SECONDS = 600.0  # its CPUs have stayed for so long
LOCAL = 0.9  # of its memory is there already
RUNS_THERE = 0.05  # of its CPU time on a NUMA node makes it one of its own


@dataclass(frozen=True, slots=True)
class _Bound:
    numa_nodes: tuple[int, ...]
    since_seconds: float
    stall_before: float


@dataclass(slots=True)
class NumaBindings:
    """Who is bound to what, and for how long nobody who was let go is bound again."""

    _bound: dict[str, _Bound] = field(default_factory=dict)
    _pauses: DoublingPauses = field(
        default_factory=lambda: DoublingPauses(FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
    )

    def decide(
        self,
        container_id: str,
        machine: NumaMachine,
        container: NumaContainer,
        most_bytes: float,
        stall_share: float,
        now_seconds: float,
    ) -> tuple[int, ...]:
        """Places (in the machine's order) of the NUMA nodes it should be bound to from now on; () for none.

        `most_bytes`: what it may take at most, inf where nothing says. Raises ValueError where the two differ
        in their NUMA nodes.
        """
        if machine.total_bytes.shape != container.bytes_on.shape:
            raise ValueError("the machine and the container must have the same NUMA nodes")
        own = _own(container)
        bound = self._bound.get(container_id)
        if bound is not None:
            worse = _worse(bound, stall_share) and now_seconds - bound.since_seconds >= TRIAL_SECONDS
            if worse:
                self._pauses.begin(container_id, now_seconds)
            if worse or own != bound.numa_nodes or not _has_room(machine, container, own, most_bytes):
                del self._bound[container_id]
                return ()
            return own
        if not self._may(container_id, machine, container, own, most_bytes, now_seconds):
            return ()
        self._bound[container_id] = _Bound(own, now_seconds, stall_share)
        return own

    def undone(self, container_id: str) -> None:
        """It is not bound after all, or no more."""
        self._bound.pop(container_id, None)

    def forget(self, present: frozenset[str]) -> None:
        """Forget containers that are gone."""
        for container_id in self._bound.keys() - present:
            del self._bound[container_id]
        self._pauses.forget(present)

    def _may(
        self,
        container_id: str,
        machine: NumaMachine,
        container: NumaContainer,
        own: tuple[int, ...],
        most_bytes: float,
        now_seconds: float,
    ) -> bool:
        held = container.bytes_on.sum()
        if container.bound or not own or len(own) == len(container.bytes_on) or not held > 0:
            return False
        if container.steady_seconds < STEADY_SECONDS or self._pauses.last(container_id, now_seconds):
            return False
        there = container.bytes_on[list(own)].sum() >= LOCAL * held
        return bool(there) and _has_room(machine, container, own, most_bytes)


def _own(container: NumaContainer) -> tuple[int, ...]:
    """The NUMA nodes whose CPUs it runs on."""
    spent = container.cpu_seconds_on.sum()
    if not spent > 0:
        return ()
    return tuple(np.flatnonzero(container.cpu_seconds_on >= RUNS_THERE * spent).tolist())


def _has_room(
    machine: NumaMachine, container: NumaContainer, own: tuple[int, ...], most_bytes: float
) -> bool:
    """Whether all that it may still take finds room there, beside what is left free for others."""
    at = list(own)
    free = machine.available_bytes[at].sum() - RESERVE * machine.total_bytes[at].sum()
    held = container.bytes_on[at].sum()
    if container.file_bytes_on is not None:  # its own page cache is among what is available
        held -= container.file_bytes_on[at].sum()
    return bool(np.isfinite(most_bytes) and most_bytes - held <= free)


def _worse(bound: _Bound, stall_share: float) -> bool:
    return stall_share > max(bound.stall_before * WORSE_STALL, bound.stall_before + STALL_NOISE)
