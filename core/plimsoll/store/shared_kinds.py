"""What nodes share, as vectors: the numbers of each kind, what ships of them, what may be believed.

In: tables and nets as the pages' and pressure rooms have them. Out: float64 vectors to be merged, and back.
`pages` are logs of the return hazards by idle age, since hazards differ by factors; `reuse` the tables of the
reuse predictor in octaves; `pressure` the eight numbers that a scope's mix has learned, without its running
losses, which are of that scope alone. Key of all of them is the image without its version and the container's
name: no page, no address and no namespace is in it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from plimsoll.pages.reuse_features import CELLS
from plimsoll.pages.reuse_predictor import ReusePredictor, lru_tables
from plimsoll.pages.survival import FloatArray, prior_hazard
from plimsoll.pressure.bank import MIX_BELIEVED, shipped_mix

LEAST_HAZARD, MOST_HAZARD = 1e-7, 1.0  # returns a second, as int8 tables keep them
MOST_OCTAVES = 256.0  # sums of learned cells; no time is longer than 2 to that
ROUNDING = 1e-4  # beyond a bound that float32 and logs may be
PAGES, REUSE, PRESSURE = "pages", "reuse", "pressure"


@dataclass(frozen=True, slots=True)
class SharedKind:
    """One kind of model that many nodes make."""

    what: str  # for people
    ships: Callable[[], FloatArray]
    least: FloatArray | float
    most: FloatArray | float
    least_samples: int  # before a node's word is worth sending
    trim: bool = False  # merged by a trimmed mean instead of a weighted median

    @property
    def length(self) -> int:
        """Numbers of a vector."""
        return len(self.ships())

    def refusal(self, vector: npt.NDArray[np.float64]) -> str:
        """Why a vector cannot be of this kind; "" where it can."""
        if vector.shape != (self.length,):
            return f"{vector.size} numbers, {self.length} ship"
        if not bool(np.isfinite(vector).all()):
            return "not sound: numbers that are none"
        if bool(((vector < self.least - ROUNDING) | (vector > self.most + ROUNDING)).any()):
            return "not sound: numbers beyond what can be believed"
        return ""


def page_vector(hazard: FloatArray) -> FloatArray:
    """A page table [bins] as what is merged."""
    return np.asarray(np.log(np.clip(hazard, LEAST_HAZARD, MOST_HAZARD)))


def page_hazard(vector: FloatArray) -> FloatArray:
    """The table of a vector, returns a second."""
    return np.clip(np.exp(vector), LEAST_HAZARD, MOST_HAZARD)


def page_prior() -> FloatArray:
    """What ships of page tables."""
    return page_vector(prior_hazard())


def reuse_vector(predictor: ReusePredictor) -> FloatArray:
    """Reuse tables [CELLS + 1] as they travel: what int8 keeps of them, so that they pack into 12 KB."""
    return np.clip(predictor.quantised().tables().astype(np.float64), -MOST_OCTAVES, MOST_OCTAVES)


def reuse_predictor(vector: FloatArray) -> ReusePredictor:
    """A predictor that goes on learning from there; it has seen nothing itself yet."""
    return ReusePredictor(vector.astype(np.float32), 0)


def _lru() -> FloatArray:
    return lru_tables().astype(np.float64)


KINDS_SHARED: Mapping[str, SharedKind] = {
    PAGES: SharedKind(
        "logs of the return hazards of idle pages, by image",
        page_prior,
        float(np.log(LEAST_HAZARD)),
        float(np.log(MOST_HAZARD)),
        least_samples=8,
    ),
    REUSE: SharedKind(
        f"tables of the reuse predictor ({CELLS} cells), by image",
        _lru,
        -MOST_OCTAVES,
        MOST_OCTAVES,
        least_samples=256,
    ),
    PRESSURE: SharedKind(
        "weights of the pressure nets' mixes, by image",
        shipped_mix,
        MIX_BELIEVED[0],
        MIX_BELIEVED[1],
        least_samples=120,
    ),
}
