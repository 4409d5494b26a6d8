"""kube-scheduler, as far as it decides by memory alone: what a replay puts pods on nodes with.

In: nodes of some capacity, one pod's request after the other, which nodes are preferred. Out: a node for
each, or NOWHERE. `bench/placement_scheduler.py` compares it with the real one.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from plimsoll.placement.lanes import FloatArray
from plimsoll.placement.preference import nodes_to_score, weights_of

Places = npt.NDArray[np.intp]
NOWHERE = -1
MOST_PODS = 110  # the kubelet's own default
MAX_SCORE = 100
AFFINITY_WEIGHT = 2  # of NodeAffinity against NodeResourcesFit in kube-scheduler's defaults
SCORED_POD_CORES, NODE_CORES = 0.1, 32.0


class KubeScheduler:
    """What kube-scheduler does with bare pods that differ in memory alone.

    Source: kube-scheduler 1.37, default profile: NodeResourcesFit (filter; LeastAllocated, for which a pod
    without a CPU request counts as 100m), NodeResourcesBalancedAllocation (by what is requested, and only by
    how the pod changes the balance), NodeAffinity (weight 2); of many nodes some feasible ones are scored
    (`percentageOfNodesToScore` 0), beginning where it left off.
    """

    def __init__(self, capacity_bytes: FloatArray, rng: np.random.Generator) -> None:
        self.capacity_bytes = capacity_bytes
        self.requested_bytes = np.zeros(len(capacity_bytes))
        self.pods = np.zeros(len(capacity_bytes), dtype=np.int64)
        self._rng = rng
        self._start = 0

    def feasible(self, request_bytes: float) -> npt.NDArray[np.bool_]:
        """[N] nodes that the filter lets through."""
        room = self.requested_bytes + request_bytes <= self.capacity_bytes
        return np.asarray(room & (self.pods < MOST_PODS), dtype=np.bool_)

    def place(
        self,
        request_bytes: float,
        preferred: Sequence[int] = (),
        required: npt.NDArray[np.bool_] | None = None,
    ) -> int:
        """The node with the best score, or NOWHERE; the pod is counted there. `preferred`: best first;
        `required`: [N] nodes that its required affinity leaves, None: all.
        """
        feasible = self.feasible(request_bytes)
        scored = self._scored(feasible if required is None else feasible & required)
        if not len(scored):
            return NOWHERE
        score = self._score(scored, request_bytes) + self._affinity(scored, preferred)
        best = scored[score == score.max()]
        place = int(best[self._rng.integers(len(best))])
        self.requested_bytes[place] += request_bytes
        self.pods[place] += 1
        return place

    def remove(self, place: int, request_bytes: float) -> None:
        """A pod is gone."""
        self.requested_bytes[place] -= request_bytes
        self.pods[place] -= 1

    def _scored(self, feasible: npt.NDArray[np.bool_]) -> Places:
        n = len(feasible)
        order = (self._start + np.arange(n)) % n
        found = np.flatnonzero(feasible[order])[: nodes_to_score(n)]
        enough = len(found) == nodes_to_score(n)
        self._start = (self._start + (int(found[-1]) + 1 if enough else n)) % n
        return np.asarray(order[found], dtype=np.intp)

    def _score(self, scored: Places, request_bytes: float) -> FloatArray:
        before = self.requested_bytes[scored] / self.capacity_bytes[scored]
        memory = before + request_bytes / self.capacity_bytes[scored]
        cpu = np.minimum((self.pods[scored] + 1) * SCORED_POD_CORES / NODE_CORES, 1.0)
        least = np.floor((_points(1 - memory) + _points(1 - cpu)) / 2)
        # Nobody requests CPU here: the balance is off by half of what memory is requested.
        change = _points(1 - memory / 2) - _points(1 - before / 2)
        balanced = MAX_SCORE / 2 + np.floor((MAX_SCORE / 2 + change) / 2)
        return np.asarray(least + balanced)

    def _affinity(self, scored: Places, preferred: Sequence[int]) -> FloatArray:
        raw = np.zeros(len(self.capacity_bytes))
        for place, weight in zip(preferred, weights_of(len(preferred)), strict=True):
            raw[place] = weight
        found = raw[scored]
        highest = found.max(initial=0.0)
        return AFFINITY_WEIGHT * np.floor(MAX_SCORE * found / highest) if highest > 0 else found


def _points(share: FloatArray) -> FloatArray:
    """Whole points of a share; the scheduler counts in integers, so a rounding error must not cost one."""
    return np.floor(MAX_SCORE * share + 1e-9)
