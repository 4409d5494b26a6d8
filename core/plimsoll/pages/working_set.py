"""How much memory a container needs, out of how long its memory has been idle.

In: an idle-age histogram (bytes by the time since they were last seen touched), what the kernel could put
elsewhere, and how much of what it was asked for it really took. Out: hot, cold and needed bytes, and the
working set for any window. The histogram comes from MGLRU's generations, from DAMON's regions or from
accessed bits: all of them are bytes and edges here. Needed memory is what must stay for pressure to stay
below the policy's bound: the hot set, and what reclaim could not take (no swap, mlocked, shared, given back
on touch).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class IdleAges:
    """Bytes by idle age: bin k holds what was last touched between `edges_seconds[k]` and `[k + 1]` ago.

    `edges_seconds` float64[k + 1] ascending from 0, the last may be infinite; `bytes_` float64[k].
    Raises ValueError where they do not fit together.
    """

    edges_seconds: FloatArray
    bytes_: FloatArray

    def __post_init__(self) -> None:
        edges, amounts = self.edges_seconds, self.bytes_
        if edges.ndim != 1 or amounts.ndim != 1 or len(edges) != len(amounts) + 1 or not len(amounts):
            raise ValueError(f"{len(edges)} edges do not bound {len(amounts)} bins")
        if edges[0] != 0.0 or not bool(np.all(np.diff(edges) > 0)):
            raise ValueError("edges of idle ages must ascend from 0")
        if not bool(np.all(np.isfinite(amounts))) or float(amounts.min()) < 0.0:
            raise ValueError("bytes of an idle age must be finite and not negative")

    @property
    def total_bytes(self) -> float:
        """All of it."""
        return float(self.bytes_.sum())

    def idle_bytes(self, seconds: float) -> float:
        """What surely has been idle for at least so long: bins that begin there or later.

        Within a bin nobody knows: all of it may be as young as its lower edge.
        """
        return float(self.bytes_[self.edges_seconds[:-1] >= seconds].sum())

    def working_set_bytes(self, window_seconds: float) -> float:
        """What may have been touched within the window, to the edge of a bin: the working set, or more."""
        return self.total_bytes - self.idle_bytes(window_seconds)


@dataclass(frozen=True, slots=True)
class Need:
    """A container's memory, told apart. `needed` + what is given up = usage."""

    needed_bytes: int
    hot_bytes: int
    cold_bytes: int
    stuck_bytes: int
    """Cold, but reclaim could not take it."""


def need(
    usage_bytes: int,
    cold_bytes: int,
    file_bytes: int,
    swap_room_bytes: int,
    yield_ratio: float = 1.0,
    *,
    thrashes: bool = False,
) -> Need:
    """Tell a container's memory apart.

    `yield_ratio`: of what was asked for lately, the share the kernel really took. A container that thrashes
    needs all that it has: what is cold by its age is not what it can do without.
    """
    cold = max(0, min(cold_bytes, usage_bytes))
    movable = min(cold, max(0, file_bytes) + max(0, swap_room_bytes))
    given = 0 if thrashes else int(movable * min(1.0, max(0.0, yield_ratio)))
    return Need(usage_bytes - given, usage_bytes - cold, cold, cold - given)
