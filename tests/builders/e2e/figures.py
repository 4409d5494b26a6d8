"""Figures that end-to-end tests take on the way: told at the end of the run, and kept in its directory.

In: names and values, or histograms as they are served. Out: lines of `name, value, unit`; quantiles. Seconds
of emulated nodes are an emulator's: what they are worth stands beside them as `slowness`.
"""

import math
from collections.abc import Iterable, Mapping, Sequence

from builders.e2e.session import run_directory

Sample = tuple[Mapping[str, str], float]


def note(name: str, value: float, unit: str) -> None:
    """Keep one figure of this run."""
    directory = run_directory()
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "figures").open("a") as file:
        file.write(f"{name}\t{value:.4g}\t{unit}\n")


def noted() -> list[str]:
    """The lines of this run."""
    file = run_directory() / "figures"
    return file.read_text().splitlines() if file.exists() else []


def upper_quantile(buckets: Iterable[Sample], share: float) -> float:
    """The upper bound of the bucket that holds the quantile, over all of a histogram's replicas; NaN: nothing
    was observed, inf: beyond the last bound.
    """
    counts: dict[float, float] = {}
    for labels, value in buckets:
        bound = float(labels["le"])
        counts[bound] = counts.get(bound, 0.0) + value
    total = counts.get(math.inf, 0.0)
    if not total:
        return math.nan
    return next(bound for bound in sorted(counts) if counts[bound] >= share * total)


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that so great a share does not exceed. Raises ValueError where there are none."""
    if not values:
        raise ValueError("no values")
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
