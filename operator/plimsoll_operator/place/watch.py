"""Tells a `LoadJudge` every hour what kube nodes were said to use, what they used, what was requested.

In: sums and uses of each loop. Out: a judge that knows whether to be believed. Of each node the moment counts
at which it used most in the hour, with what was said of the very containers that ran then: pods that come and
go do not look like errors. An hour that was seen from its middle on is left out.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from plimsoll.placement.guard import LoadJudge
from plimsoll.placement.lanes import LANES
from plimsoll_operator.engine.messages import NodeUse, RowLoads
from plimsoll_operator.place.kube_nodes import KubeNodes
from plimsoll_operator.place.sums import Sums

logger = logging.getLogger(__name__)

HOUR_SECONDS = 3600.0
LATEST_START_SECONDS = 600.0  # an hour that is first seen later is no whole hour

# Used, foretold, variance, requested: bytes, bytes^2.
_Moment = tuple[float, float, float, float]


class JudgeMemory(Protocol):
    """The fleet's memory, as far as it is asked here (`remembering.Remembered`)."""

    def note_judge(self, document: Mapping[str, object]) -> None:
        """Keep what the judge has learned."""

    async def judge(self) -> Mapping[str, object] | None:
        """What was kept last."""


@dataclass(slots=True)
class NodeWatch:
    """The hour under way, and the judge of those before it."""

    judge: LoadJudge = field(default_factory=LoadJudge)
    memory: JudgeMemory | None = None  # where what was learned outlives the process; None: nowhere
    leads: Callable[[], bool] = lambda: False
    _led: bool | None = None  # None: nothing was asked for yet
    _hour: int = -1
    _whole: bool = False
    _most: dict[str, _Moment] = field(default_factory=dict)

    async def recall(self, now_seconds: float) -> None:
        """At the start, and where we begin to lead: what the leader before has learned, if that is more."""
        leads, before = self.leads(), self._led
        self._led = leads
        if self.memory is None or (before is not None and (before or not leads)):
            return
        document = await self.memory.judge()
        if document is None:
            return
        try:
            kept = LoadJudge.of(document, now_seconds)
        except ValueError as error:
            logger.warning("what placement has learned is not taken over: %s", error)
            return
        if kept.count > self.judge.count:
            self.judge = kept

    def hindcast(self, loads: RowLoads) -> None:
        """What would have been said a day ago, of rows whose first loads these are."""
        if loads.reference > 0:
            self.judge.error += loads.error
            self.judge.reference += loads.reference
            self.judge.judged = True

    def look(self, nodes: KubeNodes, sums: Sums, use: NodeUse, now_seconds: float) -> None:
        """Take in one loop; where it is the first of an hour, the hour before is judged."""
        hour = int(now_seconds // HOUR_SECONDS)
        if hour != self._hour:
            if self._whole and hour == self._hour + 1:
                self._judge()
                if self.memory is not None and self.leads() and self.judge.judged:
                    self.memory.note_judge(self.judge.kept(now_seconds))
            self._whole = now_seconds - hour * HOUR_SECONDS <= LATEST_START_SECONDS
            self._hour = hour
            self._most.clear()
        lane = hour % LANES
        for name, used, members, sampled in zip(
            use.kube_nodes, use.used_bytes.tolist(), use.members.tolist(), use.sampled.tolist(), strict=True
        ):
            place = nodes.place.get(name, -1)
            # Only where what is said and what is seen are of the same containers, all of them.
            if place < 0 or sampled != members or int(sums.containers[place]) != members:
                continue
            if used > self._most.get(name, (-1.0,))[0]:
                said, spread = sums.foretold_bytes[place, lane], sums.variance[place, lane]
                self._most[name] = (used, float(said), float(spread), float(sums.asked_bytes[place]))

    def _judge(self) -> None:
        if self._most:
            came, said, variance, requested = np.array(list(self._most.values())).T
            self.judge.hour(said, variance, requested, came, tuple(self._most))
