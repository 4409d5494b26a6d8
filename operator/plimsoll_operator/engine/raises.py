"""From raises of rows to raises of pods: which of a workload's replicas are raised now.

In: what an event or `LimitPipeline.react` asks for a row. Out: pods, each at most once with its highest
limit. A climb raises the pods that climb (and the row's largest one, whose use set off the alarm); a new
peak of the forecast concerns every replica, for they share it.
"""

import numpy as np

from plimsoll.guard.limits import GuardSettings, LimitReason, Raises, after_climb
from plimsoll_operator.engine.members import MemberTable, SlotArray
from plimsoll_operator.engine.messages import PodContainer, PodRaises
from plimsoll_operator.engine.rows import RowArray


class RaiseList:
    """Raises by pod; the highest limit asked for a pod wins."""

    def __init__(self) -> None:
        self._asked: dict[PodContainer, tuple[int, float, str]] = {}

    def add(self, row: int, uid: PodContainer, limit_bytes: float, reason: str) -> None:
        """Ask for one pod's raise."""
        known = self._asked.get(uid)
        if known is None or known[1] < limit_bytes:
            self._asked[uid] = (row, limit_bytes, reason)

    def extend(self, other: "RaiseList") -> None:
        """Take over what another list asks."""
        for uid, (row, limit_bytes, reason) in other.items():
            self.add(row, uid, limit_bytes, reason)

    def items(self) -> list[tuple[PodContainer, tuple[int, float, str]]]:
        """Return (pod and container, (row, limit in bytes, reason))."""
        return list(self._asked.items())

    def add_rows(self, rows: RowArray, asked: Raises, members: MemberTable, guard: GuardSettings) -> None:
        """Ask for the pods behind raises of rows; `rows` [m] are the main process's ids of `asked`."""
        for row, limit, code in zip(rows.tolist(), asked.limit_bytes.tolist(), asked.reason, strict=True):
            reason = LimitReason(int(code))
            for slot in _concerned(row, limit, reason, members, guard).tolist():
                self.add(row, members.uid_of(slot), limit, reason.label)

    def build(self) -> PodRaises:
        """Return the columns."""
        asked = self.items()
        return PodRaises(
            rows=np.array([row for _, (row, _, _) in asked], dtype=np.int32),
            pods=tuple(uid for uid, _ in asked),
            limit_bytes=np.array([limit for _, (_, limit, _) in asked], dtype=np.float64),
            reasons=tuple(reason for _, (_, _, reason) in asked),
        )


def _concerned(
    row: int, limit_bytes: float, reason: LimitReason, members: MemberTable, guard: GuardSettings
) -> SlotArray:
    """Return the slots of the row's pods that this raise is for."""
    slots = np.flatnonzero(members.rows == row)
    lower = slots[members.limit_bytes[slots] < limit_bytes]  # NaN, no limit: nothing to raise
    if reason is not LimitReason.CLIMB or len(lower) < 2:
        return lower
    used = members.last_bytes(lower)
    if np.isnan(used).all():
        return lower
    close = after_climb(used, np.full(len(used), np.nan), members.limit_bytes[lower], guard)
    concerned: SlotArray = lower[np.isfinite(close) | (used == np.nanmax(used))]
    return concerned
