"""How likely idle memory is touched again, by how long it has been idle: learnt from histograms alone.

In: two idle-age histograms of the same container, some seconds apart, and what was reclaimed in between. What
was idle for a seconds or more must be idle for a + dt later, unless it was reclaimed or touched: what was not
reclaimed and is missing all the same came back. What was reclaimed shows by refaults whether it comes back.
That gives the hazard of a return for every age without looking at a single page, and with it the refaults
that any threshold would cost before it is tried. Out: the lowest age above which expected returns stay within
a budget. Survival analysis with piecewise constant
hazard, faded in time; where little was seen a class's prior speaks. Tables fit in bytes: `quantised` is what
is kept on disk and handed on.
"""

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from plimsoll.pages.working_set import IdleAges

FloatArray = npt.NDArray[np.float64]

# Ages at which bins begin, in seconds: the last bin has no end.
AGE_EDGES: FloatArray = np.array([0.0, *(5.0 * 2.0**step for step in range(13))])
BINS = len(AGE_EDGES)
MEMORY_SECONDS = 3600.0
# What a container is believed to do before anything was seen: what has been idle for a seconds comes back
# once in about so many times a (Zipf-like reuse). The weight is in byte-seconds of an idle MiB for a minute.
PRIOR_RETURNS_PER_AGE = 0.5
PRIOR_WEIGHT_BYTE_SECONDS = 60.0 * (1 << 20)
MATCH_SECONDS = 1.0  # edges of two histograms so close are the same birth
LEAST_COLD_SECONDS = 20.0  # nothing younger is cold, whatever is learnt
# Counters of reclaim and histograms are not read at one moment: by so much they may differ.
SLACK_BYTES, SLACK_RATIO = 1 << 20, 0.1
_FLOOR, _STEP = math.log(1e-7), math.log(1e-7) / -254.0  # int8: hazards from 1e-7 to 1 a second


def prior_hazard() -> FloatArray:
    """float64[BINS], returns a second: before anything was seen."""
    middle = np.maximum(AGE_EDGES * 1.5, 2.5)
    return PRIOR_RETURNS_PER_AGE / middle


@dataclass(frozen=True, slots=True)
class Returns:
    """What two histograms show, by idle age [BINS]: what was exposed to a return, and what came back."""

    exposed_byte_seconds: FloatArray
    returned_bytes: FloatArray
    reclaimed_bytes: FloatArray = field(default_factory=lambda: np.zeros(BINS))


@dataclass(slots=True)
class SurvivalModel:
    """One container's (or class's) hazard of return by idle age."""

    prior: FloatArray = field(default_factory=prior_hazard)
    returned_bytes: FloatArray = field(default_factory=lambda: np.zeros(BINS))
    idle_byte_seconds: FloatArray = field(default_factory=lambda: np.zeros(BINS))
    out_bytes: FloatArray = field(default_factory=lambda: np.zeros(BINS))
    """Reclaimed and not come back, by the age at which it was: no histogram has it any more."""
    observations: int = 0
    loss: float = math.nan
    """Faded deviance of expected against seen returns, relative to the returns; smaller is better."""

    @property
    def hazard(self) -> FloatArray:
        """float64[BINS], returns a second of a byte in each bin."""
        weight = PRIOR_WEIGHT_BYTE_SECONDS
        return (self.returned_bytes + weight * self.prior) / (self.idle_byte_seconds + weight)

    def observe(
        self,
        before: IdleAges,
        after: IdleAges,
        elapsed_seconds: float,
        reclaimed_bytes: float | None,
        refaulted_bytes: float | None = None,
    ) -> Returns | None:
        """Learn from two histograms; returns what they showed, None for nothing.

        `reclaimed_bytes`: what anybody reclaimed in between; None: unknown, and then nothing is learnt.
        Memory that was freed shows as a return, growth not at all. `refaulted_bytes`: what came back of
        memory that had been reclaimed; None: unknown, and then what is out teaches nothing.
        """
        seen = returns_between(before, after, elapsed_seconds, reclaimed_bytes)
        if seen is None:
            return None
        seen = self._with_what_is_out(seen, elapsed_seconds, refaulted_bytes)
        self._score(seen.exposed_byte_seconds, seen.returned_bytes)
        kept = math.exp(-elapsed_seconds / MEMORY_SECONDS)
        self.returned_bytes = self.returned_bytes * kept + seen.returned_bytes
        self.idle_byte_seconds = self.idle_byte_seconds * kept + seen.exposed_byte_seconds
        self.observations += 1
        return seen

    def threshold_seconds(self, ages: IdleAges, bytes_per_second: float) -> float:
        """The lowest age above which no more than so much is expected back; infinite where there is none."""
        idle = np.array([ages.idle_bytes(float(edge)) for edge in AGE_EDGES])
        in_bin = np.clip(idle - np.append(idle[1:], 0.0), 0.0, None)
        beyond = np.cumsum((in_bin * self.hazard)[::-1])[::-1]  # of all that is idle for an edge or longer
        fits = np.flatnonzero((AGE_EDGES >= LEAST_COLD_SECONDS) & (beyond <= bytes_per_second))
        return float(AGE_EDGES[fits[0]]) if len(fits) else math.inf

    def _with_what_is_out(
        self, seen: Returns, elapsed_seconds: float, refaulted_bytes: float | None
    ) -> Returns:
        """What was reclaimed goes on to be exposed to a return; nobody tells which of it came back."""
        kept = math.exp(-elapsed_seconds / MEMORY_SECONDS)
        exposed, out = self.out_bytes * elapsed_seconds, self.out_bytes + seen.reclaimed_bytes
        if refaulted_bytes is None or not 0.0 <= refaulted_bytes < math.inf:
            self.out_bytes = out * kept
            return seen
        total = float(out.sum())
        back = out * min(1.0, refaulted_bytes / total) if total > 0.0 else out
        self.out_bytes = (out - back) * kept
        return Returns(seen.exposed_byte_seconds + exposed, seen.returned_bytes + back, seen.reclaimed_bytes)

    def _score(self, exposure: FloatArray, returned: FloatArray) -> None:
        expected = exposure * self.hazard
        miss = float(np.abs(expected - returned).sum()) / max(float(returned.sum()), float(1 << 20))
        self.loss = miss if math.isnan(self.loss) else self.loss + 0.05 * (miss - self.loss)


def returns_between(
    before: IdleAges, after: IdleAges, elapsed_seconds: float, reclaimed_bytes: float | None
) -> Returns | None:
    """What came back between two histograms; None where they have nothing to compare.

    What was reclaimed is taken to have been the oldest. Where more was reclaimed than is missing, it was
    other memory at least in part (younger, or read in since): how much of what is missing was touched then,
    nobody can tell.
    """
    if not 0.0 < elapsed_seconds <= MEMORY_SECONDS:
        return None
    if reclaimed_bytes is None or not 0.0 <= reclaimed_bytes < math.inf:
        return None
    starts, was, stayed = _matched(before, after, elapsed_seconds)
    if not len(starts):
        return None
    missing, slack = float(was[0] - stayed[0]), SLACK_RATIO * reclaimed_bytes + SLACK_BYTES
    if reclaimed_bytes > max(0.0, missing) + slack:
        return None
    bins = np.searchsorted(AGE_EDGES, starts, side="right") - 1
    all_, was = was, np.clip(was - reclaimed_bytes, 0.0, None)
    taken = all_ - was
    gone = np.clip(was - stayed, 0.0, was)  # from that age on
    back = np.clip(gone - np.append(gone[1:], 0.0), 0.0, None)
    returned = np.bincount(bins, back, minlength=BINS).astype(np.float64)
    in_bin = np.bincount(bins, was - np.append(was[1:], 0.0), minlength=BINS).astype(np.float64)
    reclaimed = np.bincount(bins, taken - np.append(taken[1:], 0.0), minlength=BINS).astype(np.float64)
    return Returns(in_bin * elapsed_seconds, returned, reclaimed)


def deviance(hazard: FloatArray, seen: Returns) -> float:
    """How badly a table [BINS] foretold what came back: its Poisson deviance, in MiB.

    0 for one that foretold every bin; it judges a table alone, whatever else has been learned since.
    """
    expected = np.maximum(hazard * seen.exposed_byte_seconds, 1.0) / (1 << 20)
    came = seen.returned_bytes / (1 << 20)
    terms = expected - came
    some = came > 0
    terms[some] += came[some] * np.log(came[some] / expected[some])
    return float(2.0 * np.maximum(terms, 0.0)[seen.exposed_byte_seconds > 0].sum())


def _matched(
    before: IdleAges, after: IdleAges, elapsed_seconds: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Ages at which both histograms have an edge (the later one so much older), and the bytes idle for
    longer.

    Between edges nobody knows: memory within a bin may be of one age, and to guess that it is spread evenly
    would show returns where there are none. Generations keep their births, so most edges have their match.
    """
    edges, later = before.edges_seconds[:-1], after.edges_seconds[:-1]
    at = np.searchsorted(later, edges + elapsed_seconds - MATCH_SECONDS)
    inside = at < len(later)
    near = inside.copy()
    near[inside] = np.abs(later[at[inside]] - edges[inside] - elapsed_seconds) <= MATCH_SECONDS
    was, stayed = (np.cumsum(each.bytes_[::-1])[::-1] for each in (before, after))
    return edges[near], was[near], stayed[at[near]]


def quantised(hazard: FloatArray) -> npt.NDArray[np.int8]:
    """int8[BINS] of the logarithm of a hazard: about 6.5 % from one step to the next."""
    steps = np.rint((np.log(np.clip(hazard, 1e-7, 1.0)) - _FLOOR) / _STEP)
    return (steps - 127.0).astype(np.int8)


def dequantised(table: npt.NDArray[np.int8]) -> FloatArray:
    """The hazard that `quantised` kept. Raises ValueError for a table of another shape or type."""
    if table.dtype != np.int8 or table.shape != (BINS,):
        raise ValueError(f"a table of hazards is int8[{BINS}], not {table.dtype}{list(table.shape)}")
    hazard: FloatArray = np.exp((table.astype(np.float64) + 127.0) * _STEP + _FLOOR)
    return hazard
