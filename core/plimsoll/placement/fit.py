"""How likely kube nodes are short of memory within a day, now and with one more pod.

In: what runs on each node as the sum of its pods' `Loads`, and what pods may use. Out: the load margin of the
worst hour, the probability of being short within the day, and the bytes a node needs at a stated bound. A
node whose loads are not known (NaN) has no margin: nobody has an opinion of it.

The margin is how many standard deviations lie between load and capacity, less for sums that are skewed to
the right: the normal power approximation of actuaries (Beard, Pentikaeinen and Pesonen, "Risk Theory", 3rd
ed. 1984, section 3.11). Its tail is not a normal's: recorded containers jump, and a node has few of them. Of
nodes of 10 to 50 recorded pods a share of exp(-margin) was short within the day, from a half down to two in
a thousand (`bench/placement.py --part calibration`), and that is what is said. Rarer shortages than that are
an extrapolation.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from plimsoll.placement.lanes import FloatArray, Loads

LEAST_SKEWNESS = 1e-3  # below it the normal power approximation is the normal
MOST_SKEWNESS = 2.0  # beyond it the approximation is none: a single pod's rare jumps would fill any node


@dataclass(frozen=True, slots=True)
class NodeLoads:
    """N kube nodes and the sum of what runs on each."""

    capacity_bytes: FloatArray  # [N] what pods may use, beside what the system uses
    mean_bytes: FloatArray  # [N, lanes]
    variance: FloatArray  # [N, lanes]
    third: FloatArray  # [N, lanes]
    # [N] realised variance of the sum over the promised: 1 where pods' deviations are independent, up to
    # the number of pods where they are all one. See `guard.LoadJudge`.
    inflation: FloatArray

    def __len__(self) -> int:
        return len(self.capacity_bytes)


def empty_nodes(capacity_bytes: FloatArray, lanes: int) -> NodeLoads:
    """Nodes with nothing on them."""
    capacity = np.array(capacity_bytes, dtype=np.float64)
    mean, variance, third = (np.zeros((len(capacity), lanes)) for _ in range(3))
    return NodeLoads(capacity, mean, variance, third, np.ones(len(capacity)))


def margin(
    nodes: NodeLoads, pod: Loads | None = None, among: npt.NDArray[np.intp] | None = None
) -> FloatArray:
    """[N] or [among]: standard deviations between the load and the capacity in the worst hour; -inf: unknown.

    `pod` (one row) is added first.
    """
    at = slice(None) if among is None else among
    mean, variance, third = nodes.mean_bytes[at], nodes.variance[at], nodes.third[at]
    if pod is not None:
        mean, variance, third = mean + pod.mean_bytes, variance + pod.variance, third + pod.third
    deviation = np.sqrt(variance * nodes.inflation[at][:, None])
    room = nodes.capacity_bytes[at][:, None] - mean
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(deviation > 0, room / deviation, np.where(room >= 0, np.inf, -np.inf))
        skewness = np.where(variance > 0, np.minimum(third / variance**1.5, MOST_SKEWNESS), 0.0)
        worst: FloatArray = normal_power(z, skewness).min(axis=1, initial=np.inf)
    known = np.isfinite(mean).all(axis=1) & np.isfinite(nodes.capacity_bytes[at])
    return np.where(known, worst, -np.inf)


def normal_power(z: FloatArray, skewness: FloatArray) -> FloatArray:
    """Normal deviates as likely to be exceeded as the standardised value `z` of a variable so skewed."""
    plain = (skewness < LEAST_SKEWNESS) | ~np.isfinite(z)
    safe = np.where(plain, 1.0, skewness)
    inside = np.maximum(9.0 / safe**2 + 6.0 * np.where(plain, 0.0, z) / safe + 1.0, 0.0)
    # Beyond its range of validity (below the mean) the normal stands: nobody packs there.
    return np.where(plain | (z < 0), z, np.minimum(np.sqrt(inside) - 3.0 / safe, z))


def short_probability(margins: FloatArray) -> FloatArray:
    """[N] probability of being short at any time within the day, from `margin`."""
    return np.asarray(np.exp(-np.maximum(margins, 0.0)))


def deviate(bound: float) -> float:
    """The margin at which a node is short with probability `bound` (0 < bound <= 0.5). Raises ValueError."""
    if not 0.0 < bound <= 0.5:
        raise ValueError(f"a bound on the probability of being short must be in (0, 0.5], not {bound!r}")
    return -math.log(bound)


def needed_bytes(
    nodes: NodeLoads, at_deviate: float, pod: Loads | None = None, among: npt.NDArray[np.intp] | None = None
) -> FloatArray:
    """[N] or [among]: the capacity at which each node's margin is `at_deviate` (Cornish-Fisher)."""
    at = slice(None) if among is None else among
    mean, variance, third = nodes.mean_bytes[at], nodes.variance[at], nodes.third[at]
    if pod is not None:
        mean, variance, third = mean + pod.mean_bytes, variance + pod.variance, third + pod.third
    return need(mean, variance, third, nodes.inflation[at], at_deviate)


def need(
    mean: FloatArray, variance: FloatArray, third: FloatArray, inflation: FloatArray, at_deviate: float
) -> FloatArray:
    """[n] bytes that loads [n, lanes] stay below in their worst hour, at the deviate."""
    with np.errstate(divide="ignore", invalid="ignore"):
        skewness = np.where(variance > 0, third / np.where(variance > 0, variance, 1.0) ** 1.5, 0.0)
    skewness = np.minimum(skewness, MOST_SKEWNESS)
    quantile = at_deviate + np.maximum(skewness, 0.0) * (at_deviate**2 - 1.0) / 6.0
    lanes = mean + np.maximum(quantile, at_deviate) * np.sqrt(variance * inflation[:, None])
    return np.asarray(lanes.max(axis=1))
