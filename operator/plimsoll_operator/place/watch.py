"""Tells a `LoadJudge` every hour what kube nodes were said to use, what they used, what was requested.

In: sums and uses of each loop. Out: a judge that knows whether to be believed. Of each node the moment counts
at which it used most in the hour, with what was said of the very containers that ran then: pods that come and
go do not look like errors. An hour that was seen from its middle on is left out.
"""

from dataclasses import dataclass, field

import numpy as np

from plimsoll.placement.guard import LoadJudge
from plimsoll.placement.lanes import LANES
from plimsoll_operator.engine.messages import NodeUse, RowLoads
from plimsoll_operator.place.kube_nodes import KubeNodes
from plimsoll_operator.place.sums import Sums

HOUR_SECONDS = 3600.0
LATEST_START_SECONDS = 600.0  # an hour that is first seen later is no whole hour

# Used, foretold, variance, requested: bytes, bytes^2.
_Moment = tuple[float, float, float, float]


@dataclass(slots=True)
class NodeWatch:
    """The hour under way, and the judge of those before it."""

    judge: LoadJudge = field(default_factory=LoadJudge)
    _hour: int = -1
    _whole: bool = False
    _most: dict[str, _Moment] = field(default_factory=dict)

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
