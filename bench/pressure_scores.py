"""Scores of forecasts of pressure: what was said and what came in, figures with intervals over runs out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from plimsoll.pressure.protocol import FloatArray

BoolArray = npt.NDArray[np.bool_]

FIRST = 200  # predictions in which a network that starts blind is still blind
BANDS = {
    "0-50": (0.0, 0.5),
    "50-75": (0.5, 0.75),
    "75-90": (0.75, 0.9),
    "90-95": (0.9, 0.95),
    "95-100": (0.95, 1.01),
}
DRAWS = 100


@dataclass(frozen=True, slots=True)
class Said:
    """Forecasts [n]: what came, what was already there, the share of memory used, number and run of each."""

    probability: FloatArray
    came: FloatArray
    pressed: BoolArray
    used_ratio: FloatArray
    index: npt.NDArray[np.int64]
    run: npt.NDArray[np.int64]
    fallback: BoolArray

    @classmethod
    def joined(cls, parts: "Sequence[Said]") -> "Said":
        """All of them."""
        return cls(*(np.concatenate([getattr(part, each.name) for part in parts]) for each in fields(cls)))

    def take(self, kept: npt.NDArray[np.int64] | BoolArray) -> "Said":
        """Some of them."""
        return Said(*(getattr(self, each.name)[kept] for each in fields(self)))


def band_of(said: Said, band: str) -> BoolArray:
    """Whether a forecast was made in this band of memory used."""
    low, high = BANDS[band]
    return np.asarray((said.used_ratio >= low) & (said.used_ratio < high))


def loss(said: Said) -> float:
    """Mean log loss in nats; a forecast is never surer than .9999."""
    hit = np.where(said.came == 1.0, said.probability, 1.0 - said.probability)
    return _mean(-np.log(np.clip(hit, 1e-4, 1.0)))


def brier(said: Said) -> float:
    """Mean squared error of the probability."""
    return _mean((said.probability - said.came) ** 2)


def accuracy(said: Said) -> float:
    """Share of forecasts on the right side of one half."""
    return _mean((said.probability >= 0.5) == (said.came == 1.0))


def auc(said: Said) -> float:
    """Chance that a forecast that met pressure is higher than one that did not; NaN without both kinds."""
    values, inverse, counts = np.unique(said.probability, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - (counts - 1) / 2.0
    rank = middle[inverse]
    positive = said.came == 1.0
    ones, zeros = int(positive.sum()), int((~positive).sum())
    if not ones or not zeros or not len(values):
        return float("nan")
    return float((rank[positive].sum() - ones * (ones + 1) / 2.0) / (ones * zeros))


def interval(said: Said, measure: Callable[[Said], float], seed: int) -> tuple[float | None, float | None]:
    """95 % interval of a figure, runs drawn with replacement."""
    runs = np.unique(said.run)
    if len(runs) < 2:
        return None, None
    rows = {int(run): np.flatnonzero(said.run == run) for run in runs}
    random = np.random.default_rng(seed)
    drawn = [
        measure(said.take(np.concatenate([rows[int(run)] for run in random.choice(runs, len(runs))])))
        for _ in range(DRAWS)
    ]
    low, high = np.nanquantile(drawn, (0.025, 0.975))
    return float(low), float(high)


def _mean(values: npt.NDArray[np.generic]) -> float:
    return float(values.mean()) if len(values) else float("nan")
