"""Kills, starts and changed limits of single pods: recorded, and answered with the raises that they ask for.

In: events of members. Out: raises; histories and the members' limits are changed on the way.
"""

import math
from collections.abc import Iterable

import numpy as np

from plimsoll.guard.limits import GuardSettings, LimitReason
from plimsoll.usage.cache import CacheFloor
from plimsoll_operator.engine.members import UNKNOWN, MemberTable
from plimsoll_operator.engine.messages import Event, LimitChange, OomEvent, RestartEvent
from plimsoll_operator.engine.raises import RaiseList
from plimsoll_operator.engine.rows import RowTable


class EventDesk:
    """Takes events in."""

    def __init__(self, members: MemberTable, rows: RowTable, cache: CacheFloor, guard: GuardSettings) -> None:
        self.members, self.rows, self._cache, self._guard = members, rows, cache, guard
        self._killed_at: dict[int, dict[float, float]] = {}  # by restored row: time of a kill -> its limit

    def take(self, events: Iterable[Event], now_seconds: float) -> RaiseList:
        """Take events in; return the raises they ask for."""
        raises = RaiseList()
        for event in events:
            slot = self.members.slot_of((event.pod_uid, event.container))
            if slot == UNKNOWN:
                continue
            if isinstance(event, OomEvent):
                self._oom(slot, event, raises, now_seconds)
            elif isinstance(event, RestartEvent):
                self._started(slot, event, raises)
            elif isinstance(event, LimitChange):
                for column, value in (
                    (self.members.limit_bytes, event.limit_bytes),
                    (self.members.request_bytes, event.request_bytes),
                ):
                    column[slot] = math.nan if value is None else value
        return raises

    def forget(self, rows: Iterable[int]) -> None:
        """Rows that stand for another container, or nothing."""
        for row in rows:
            self._killed_at.pop(row, None)

    def remember_kills(self, row: int) -> None:
        """Note the kills of a row that was restored: told again, they are the same ones."""
        ooms = self.rows.store(row).history.ooms(self.rows.place(row))
        kills = zip(ooms.seconds[0].tolist(), ooms.limit_bytes[0].tolist(), strict=True)
        self._killed_at[row] = {
            at: limit for at, limit in kills if math.isfinite(at) and math.isfinite(limit)
        }

    def _oom(self, slot: int, event: OomEvent, raises: RaiseList, now_seconds: float) -> None:
        """Record a kill; a recent one raises its pod at once, an older one is only remembered.

        After a restart a kill is told again, with the limit that a predecessor has already raised: the one
        on record counts, so that the same raise is asked for, not another one on top of it.
        """
        row = int(self.members.rows[slot])
        limit = float(event.limit_bytes) if event.limit_bytes else float(self.members.limit_bytes[slot])
        limit = self._killed_at.get(row, {}).get(event.at_seconds, limit)
        asked = self.rows.store(row).pipeline.observe_oom(
            self.rows.place(row), event.at_seconds, np.array([limit])
        )
        self._cache.doubt(np.array([row], dtype=np.int32))
        old = event.at_seconds < now_seconds - self._guard.oom_hold_seconds
        if len(asked.rows) and not old:
            uid = (event.pod_uid, event.container)
            raises.add(row, uid, float(asked.limit_bytes[0]), LimitReason.OOM_KILLED.label)

    def _started(self, slot: int, event: RestartEvent, raises: RaiseList) -> None:
        """Record a start; where such starts have needed more than the pod has, it is raised at once."""
        row = int(self.members.rows[slot])
        store, place = self.rows.store(row), self.rows.place(row)
        if event.first_sight and not store.history.last_seen_seconds(place)[0] < event.at_seconds:
            return
        asked = store.pipeline.observe_start(place, event.at_seconds)
        if len(asked.rows) and self.members.limit_bytes[slot] < asked.limit_bytes[0]:
            uid = (event.pod_uid, event.container)
            raises.add(row, uid, float(asked.limit_bytes[0]), LimitReason.START_UP.label)
