"""A recorded access pattern: how hot each part of a container's memory was, epoch by epoch.

In: what a node agent sampled. Out: the same as arrays that fit together, with the figures that reports show:
the working set, what has been idle for how long; `recording_replay` lets page policies work on it. Parts are
address ranges (DAMON, page traces) or, where no addresses are known, idle ages (MGLRU): `axis` says which.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from plimsoll.pages.survival import SurvivalModel
from plimsoll.pages.working_set import IdleAges

FloatArray = npt.NDArray[np.float64]
VERSION = 1


class Axis(StrEnum):
    """What the parts are."""

    ADDRESS = "address"
    IDLE_AGE = "idle-age"


@dataclass(frozen=True)
class Recording:
    """`heat` float32[e, r]: by address the share of looks at which the part was accessed (0 to 1), by idle
    age bytes. `seconds` float64[e]: since the start, at the end of each epoch. `edges` float64[r + 1]: bytes
    (offsets without the holes between mappings) or seconds. `usage_bytes`, `limit_bytes`, `swap_bytes`
    float64[e]: NaN is not known, infinity no limit. `reclaimed_bytes` float64[e]: what was ever reclaimed
    from it by the end of each epoch, counted from anywhere; NaN (or None for all) is not known.

    Raises ValueError where the shapes do not fit.
    """

    axis: Axis
    seconds: FloatArray
    edges: FloatArray
    heat: npt.NDArray[np.float32]
    usage_bytes: FloatArray
    limit_bytes: FloatArray
    swap_bytes: FloatArray
    name: str = ""
    reclaimed_bytes: FloatArray | None = None

    def __post_init__(self) -> None:
        epochs, parts = self.heat.shape
        if len(self.edges) != parts + 1 or not bool(np.all(np.diff(self.edges) > 0)):
            raise ValueError(f"{len(self.edges)} edges do not bound {parts} parts")
        for name in ("seconds", "usage_bytes", "limit_bytes", "swap_bytes", "reclaimed_bytes"):
            column = getattr(self, name)
            if column is not None and column.shape != (epochs,):
                raise ValueError(f"{name} has {len(column)} epochs, heat {epochs}")
        if epochs and not bool(np.all(np.diff(self.seconds) > 0)):
            raise ValueError("epochs must follow each other in time")

    @property
    def sizes_bytes(self) -> FloatArray:
        """float64[r]: bytes of each part; only by address."""
        return np.diff(self.edges)

    def working_set_bytes(self) -> FloatArray:
        """float64[e]: what was touched in each epoch (by address), or was idle for less than a minute."""
        if self.axis is Axis.ADDRESS:
            touched: FloatArray = (self.heat > 0) @ self.sizes_bytes
            return touched
        young = self.edges[:-1] < 60.0
        recent: FloatArray = self.heat[:, young].sum(axis=1).astype(np.float64)
        return recent

    def idle_tail(self) -> tuple[FloatArray, FloatArray]:
        """Idle ages in seconds, ascending, and the bytes idle for at least so long, at the end."""
        if self.axis is Axis.IDLE_AGE:
            amounts = self.heat[-1].astype(np.float64)
            return self.edges[:-1], np.cumsum(amounts[::-1])[::-1]
        hot = self.heat > 0
        ever = hot.any(axis=0)
        last = np.where(ever, len(hot) - 1 - np.argmax(hot[::-1], axis=0), -1)
        end = float(self.seconds[-1])
        idle = np.where(ever, end - self.seconds[np.maximum(last, 0)], end)
        # What was never touched while it was recorded may not exist; it is not called idle.
        order = np.argsort(idle[ever], kind="stable")
        ages, sizes = idle[ever][order], self.sizes_bytes[ever][order]
        return ages, np.cumsum(sizes[::-1])[::-1]


def idle_ages(recording: Recording, epoch: int, edges_seconds: FloatArray) -> IdleAges:
    """The idle-age histogram at the end of an epoch; `edges_seconds` float64[k] ascending from 0."""
    edges = np.append(edges_seconds, np.inf)
    if recording.axis is Axis.IDLE_AGE:
        ages, amounts = recording.edges[:-1], recording.heat[epoch].astype(np.float64)
    else:
        hot = recording.heat[: epoch + 1] > 0
        ever = hot.any(axis=0)
        last = epoch - np.argmax(hot[::-1], axis=0)
        ages = (recording.seconds[epoch] - recording.seconds[last])[ever]
        amounts = recording.sizes_bytes[ever]
    bins = np.searchsorted(edges, ages, side="right") - 1
    found = np.bincount(bins, weights=amounts, minlength=len(edges_seconds)).astype(np.float64)
    return IdleAges(edges, found)


def learnt(recording: Recording, model: SurvivalModel) -> SurvivalModel:
    """Teach a survival model a recording, epoch by epoch; returns it.

    One by address tells accesses alone: nothing that was reclaimed is missing in it. One by idle age teaches
    only between looks of which it knows what was reclaimed.
    """
    before = None
    for epoch, second in enumerate(recording.seconds):
        ends = recording.seconds[epoch] - recording.seconds[epoch::-1]
        edges = recording.edges[:-1] if recording.axis is Axis.IDLE_AGE else ends
        after = idle_ages(recording, epoch, edges)
        if before is not None:
            elapsed = float(second - recording.seconds[epoch - 1])
            model.observe(before, after, elapsed, _reclaimed(recording, epoch))
        before = after
    return model


def _reclaimed(recording: Recording, epoch: int) -> float | None:
    """Bytes reclaimed in an epoch, as far as they are missing in its histogram."""
    if recording.axis is Axis.ADDRESS:
        return 0.0
    totals = recording.reclaimed_bytes
    return None if totals is None else float(totals[epoch] - totals[epoch - 1])
