"""Whether the forecasts of kube nodes' loads are worth following: judged by what came, hour by hour.

In: what each node was said to use at most in the hour that is over, what it used, and what its pods' requests
would have told. Out: how much wider than promised the sums are (`inflation`, of each node `inflation_of`),
and whether to have an opinion at all (`trusted`). What replicas deviate by together is within the sums
already (`together`): inflation is for what is left, such as workloads that call each other. The scheduler
places by requests; forecasts that tell the use of nodes (or, a day back, of pods) worse than requests do are
not followed, and pods go where the scheduler alone would put them.

What is said is a little more than what comes, by its making: the hourly peaks of pods are added up, which do
not all fall into the same moment, and a row is told the largest of its replicas. Forecasts are held against
what came on their scale of the hours before, as requests are, but only downwards and only so far: whoever
says too little is wrong.

Source: the mean squared error skill score of weather forecasts (Murphy 1988) with requests as the
reference, on the scale of the hours before; the inflation is the variance of standardised errors, pulled
towards 1 as long as few were seen, and of one node towards that of all.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from plimsoll.forecast.window import quantile_of_seen
from plimsoll.placement.lanes import FloatArray
from plimsoll.recommend.past import REQUEST_LEVEL
from plimsoll.usage.sample import HOUR_SECONDS

FADE = 0.5 ** (1 / 24)  # half-life of a day
PRIOR_HOURS = 24.0  # node hours that the promise itself is worth
NODE_PRIOR_HOURS = 12.0  # hours of one node that the inflation of all is worth
MOST_INFLATION = 16.0
# Of what was said, that may always be too much: room is left that nobody uses, and no node is short of it.
# What goes beyond counts as an error, for by it nodes are relieved that need not be.
MOST_TOO_MUCH = 0.1
KEPT = ("squares", "count", "error", "reference", "came", "requested", "said")
FORGOTTEN_HOURS = 0.01  # a node of which so little is left is gone


@dataclass(slots=True)
class LoadJudge:
    """Remembers errors of the last days, over all nodes."""

    squares: float = 0.0  # of standardised errors, faded
    count: float = 0.0
    error: float = 0.0  # squared, of the forecast
    reference: float = 0.0  # squared, of what requests tell
    came: float = 0.0  # bytes used and requested in the hours so far, faded: the scale of requests
    requested: float = 0.0
    said: float = 0.0  # of the same hours: by how much more is said than comes
    judged: bool = False  # whether anything was
    # By node: squares of its standardised errors, and hours of it, faded.
    nodes: dict[str, tuple[float, float]] = field(default_factory=dict)

    def kept(self, now_seconds: float) -> dict[str, object]:
        """What must outlive the process, in plain values; of single nodes nothing."""
        return {"seconds": now_seconds, "judged": self.judged} | {name: getattr(self, name) for name in KEPT}

    @classmethod
    def of(cls, document: Mapping[str, object], now_seconds: float) -> "LoadJudge":
        """The judge that was kept, faded by the time since. Raises ValueError where it is none."""
        numbers = {name: document.get(name) for name in (*KEPT, "seconds")}
        known = {
            name: float(each)
            for name, each in numbers.items()
            if isinstance(each, int | float) and math.isfinite(each) and each >= 0
        }
        if len(known) < len(numbers) or document.get("judged") not in (True, False):
            raise ValueError(f"no judge of placement: {sorted(numbers.keys() - known.keys())}")
        fade = FADE ** max((now_seconds - known["seconds"]) / HOUR_SECONDS, 0.0)
        faded = {name: fade * known[name] for name in KEPT}
        return cls(**faded, judged=bool(document["judged"]))

    def hour(
        self,
        said_mean_bytes: FloatArray,
        said_variance: FloatArray,
        requested_bytes: FloatArray,
        came_bytes: FloatArray,
        names: Sequence[str] = (),
    ) -> None:
        """Take in an hour of N nodes: said before it began, requested, used in it; NaN is left out.

        Without `names` [N] it counts for all of them alone.
        """
        known = np.isfinite(said_mean_bytes) & np.isfinite(came_bytes) & (said_variance > 0)
        self.squares, self.count = self.squares * FADE, self.count * FADE
        self.error, self.reference = self.error * FADE, self.reference * FADE
        self._fade_nodes()
        if not known.any():
            return
        told, came = said_mean_bytes[known], came_bytes[known]
        said = told * self._usual(told, came)
        squares = (came - said) ** 2 / said_variance[known]
        self.squares += float(squares.sum())
        self.count += int(known.sum())
        if names:
            self._count_nodes([names[each] for each in np.flatnonzero(known).tolist()], squares)
        asked = requested_bytes[known]
        # By hindsight requests would tell the total of the very hour: of a single node they would never err.
        scale = self.came / self.requested if self.requested > 0 else _scale(asked, came)
        self._compare(said, asked, came, scale)
        self.came = self.came * FADE + float(came.sum())
        self.requested = self.requested * FADE + float(asked.sum())
        self.said = self.said * FADE + float(told.sum())

    def hindcast(
        self,
        said_mean_bytes: FloatArray,
        requested_bytes: FloatArray,
        came_bytes: FloatArray,
        before_bytes: FloatArray,
    ) -> None:
        """Take in what would have been said of n pods a day ago, [n, lanes]; requested [n].

        `before_bytes` [n, hours] is what was seen by then. A request that stands now may have been set since,
        by the very day that is told: where what nine in ten hours before it needed tells that day worse, the
        request of that day is taken to have been no better (decision 0373).
        So that an opinion that is wrong of the pods is never had, however few nodes have been watched.
        """
        requested = np.broadcast_to(requested_bytes[:, None], came_bytes.shape)
        asked = np.broadcast_to(quantile_of_seen(before_bytes, REQUEST_LEVEL)[:, None], came_bytes.shape)
        known = np.isfinite(said_mean_bytes) & np.isfinite(came_bytes) & np.isfinite(requested)
        if not known.any():
            return
        came = came_bytes[known]
        self.error += _squared(came, said_mean_bytes[known])
        stands, then = requested[known], np.where(np.isfinite(asked), asked, requested)[known]
        self.reference += max(_squared(came, _scale(each, came) * each) for each in (stands, then))
        self.judged = True

    def _compare(self, said: FloatArray, requested: FloatArray, came: FloatArray, scale: float) -> None:
        self.error += _squared(came, said)
        self.reference += _squared(came, scale * requested)
        self.judged = True

    def _usual(self, said: FloatArray, came: FloatArray) -> float:
        """What usually comes of what is said, where that is less; in the first hour, what comes of it."""
        usual = self.came / self.said if self.said > 0 else _scale(said, came)
        return min(max(usual, 1.0 - MOST_TOO_MUCH), 1.0)

    def _fade_nodes(self) -> None:
        self.nodes = {
            name: (squares * FADE, hours * FADE)
            for name, (squares, hours) in self.nodes.items()
            if hours * FADE > FORGOTTEN_HOURS
        }

    def _count_nodes(self, names: Sequence[str], squares: FloatArray) -> None:
        for name, square in zip(names, squares.tolist(), strict=True):
            before, hours = self.nodes.get(name, (0.0, 0.0))
            self.nodes[name] = before + square, hours + 1.0

    def inflation_of(self, names: Sequence[str]) -> FloatArray:
        """[N] the same of single nodes, pulled towards that of all."""
        everywhere = self.inflation
        seen = np.array([self.nodes.get(name, (0.0, 0.0)) for name in names]).reshape(-1, 2)
        own = (seen[:, 0] + NODE_PRIOR_HOURS * everywhere) / (seen[:, 1] + NODE_PRIOR_HOURS)
        return np.clip(own, 1.0, MOST_INFLATION)

    @property
    def inflation(self) -> float:
        """Realised variance of nodes' sums over the promised, at least 1."""
        seen = (self.squares + PRIOR_HOURS) / (self.count + PRIOR_HOURS)
        return min(max(seen, 1.0), MOST_INFLATION)

    @property
    def trusted(self) -> bool:
        """False where requests are the better forecast, and before anything was judged."""
        return self.judged and self.error <= self.reference


def _squared(came: FloatArray, told: FloatArray) -> float:
    return float(((came - told) ** 2).sum())


def _scale(requested: FloatArray, came: FloatArray) -> float:
    """Requests are on a scale of their own: what they tell is each one's share of what is used in all."""
    total = float(requested.sum())
    return float(came.sum()) / total if total > 0 else 0.0
