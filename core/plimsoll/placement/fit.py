"""How likely kube nodes are short of memory within a day, now and with one more pod.

In: what runs on each node as the sum of its pods' `Loads`, and what pods may use. Pods of one workload are
added as deviating together by what they share (`together`), all else as independent. Out: the load margin of
the worst hour, the probability of being short within the day, and the bytes a node needs at a stated bound.
A node whose loads are not known (NaN) has no margin: nobody has an opinion of it.

The margin is how many standard deviations lie between load and capacity, less for sums that are skewed to
the right: the normal power approximation of actuaries (Beard, Pentikaeinen and Pesonen, "Risk Theory", 3rd
ed. 1984, section 3.11). Its tail is not a normal's: recorded containers jump, and a node has few of them. Of
nodes of 10 to 50 recorded pods a share of about exp(-margin) was short within the day, from a half down to
one in a hundred (`bench/placement.py --part calibration`), and that is what is said. Rarer shortages than
that are an extrapolation.
"""

import math
from dataclasses import dataclass, field

import numpy as np

from plimsoll.placement.lanes import FloatArray, Loads
from plimsoll.placement.together import NO_KIN, Places, Together, more_by, roots

LEAST_SKEWNESS = 1e-3  # below it the normal power approximation is the normal
MOST_SKEWNESS = 2.0  # beyond it the approximation is none: a single pod's rare jumps would fill any node


@dataclass(frozen=True, slots=True)
class NodeLoads:
    """N kube nodes and the sum of what runs on each."""

    capacity_bytes: FloatArray  # [N] what pods may use, beside what the system uses
    mean_bytes: FloatArray  # [N, lanes]
    variance: FloatArray  # [N, lanes]
    third: FloatArray  # [N, lanes]
    # [N] realised variance of the sum over the promised: what is left to be explained by deviations that pods
    # of several workloads have in common. See `guard.LoadJudge`.
    inflation: FloatArray
    together: Together = field(default_factory=Together)  # what pods of one workload share, within the sums

    def __len__(self) -> int:
        return len(self.capacity_bytes)


Moments = tuple[FloatArray, FloatArray, FloatArray]  # mean, variance, third


def empty_nodes(capacity_bytes: FloatArray, lanes: int) -> NodeLoads:
    """Nodes with nothing on them."""
    capacity = np.array(capacity_bytes, dtype=np.float64)
    mean, variance, third = (np.zeros((len(capacity), lanes)) for _ in range(3))
    return NodeLoads(capacity, mean, variance, third, np.ones(len(capacity)))


def copy_of(nodes: NodeLoads) -> NodeLoads:
    """The same nodes, to be changed by themselves."""
    columns = (nodes.mean_bytes.copy(), nodes.variance.copy(), nodes.third.copy())
    return NodeLoads(nodes.capacity_bytes, *columns, nodes.inflation, nodes.together.copy())


def put(nodes: NodeLoads, pods: Loads, places: Places) -> None:
    """Add pods [n] to their nodes' sums: all that there are of their workloads, which none had before."""
    for column, part in zip(_columns(nodes), (pods.mean_bytes, pods.variance, pods.third), strict=True):
        np.add.at(column, places, part)
    if pods.shared is None:
        return
    mine = np.flatnonzero(pods.shared.kin != NO_KIN)
    some = pods.take(mine)
    at, *more = nodes.together.gather(pods.shared.kin[mine], places[mine], roots_of(some))
    np.add.at(nodes.variance, at, more[0])
    np.add.at(nodes.third, at, more[1])


def move(nodes: NodeLoads, place: int, pod: Loads, sign: float = 1.0) -> None:
    """Put one pod (one row) on a node, or take it away again (sign -1)."""
    parts: Moments = pod.mean_bytes, pod.variance, pod.third
    if pod.shared is not None and (kin := int(pod.shared.kin[0])) != NO_KIN:
        there, one = nodes.together.at(kin, np.array([place]), pod.mean_bytes.shape[1]), roots_of(pod)
        without = there if sign > 0 else np.maximum(there - one, 0.0)
        variance, third = more_by(without, one)
        parts = parts[0], parts[1] + variance, parts[2] + third
        nodes.together.put(kin, place, (without + one if sign > 0 else without)[0])
    for column, part in zip(_columns(nodes), parts, strict=True):
        # What is taken away again may leave a rounding error below nothing.
        column[place] = np.maximum(column[place] + sign * part[0], 0.0)


def with_pod(nodes: NodeLoads, pod: Loads | None, among: Places | None = None) -> Moments:
    """Moments of all nodes, or of those `among`, with one more pod (one row) on each; None: without."""
    at = slice(None) if among is None else among
    mean, variance, third = (each[at] for each in _columns(nodes))
    if pod is None:
        return mean, variance, third
    mean, variance, third = mean + pod.mean_bytes, variance + pod.variance, third + pod.third
    if pod.shared is not None and (kin := int(pod.shared.kin[0])) != NO_KIN:
        places = np.arange(len(nodes)) if among is None else among
        more = more_by(nodes.together.at(kin, places, mean.shape[1]), roots_of(pod))
        variance, third = variance + more[0], third + more[1]
    return mean, variance, third


def without_each(nodes: NodeLoads, place: int, pods: Loads) -> NodeLoads:
    """One node n times: without each of these pods [n] that are on it."""
    at, n = np.array([place]), len(pods)
    variance, third = pods.variance, pods.third
    if pods.shared is not None:
        lanes, one = pods.mean_bytes.shape[1], roots_of(pods)
        held = [nodes.together.at(kin, at, lanes)[0] for kin in pods.shared.kin.tolist()]
        there = np.maximum(np.array(held).reshape(one.shape) - one, 0.0)
        there[pods.shared.kin == NO_KIN] = 0.0
        more = more_by(there, one)
        variance, third = variance + more[0], third + more[1]
    return NodeLoads(
        np.full(n, nodes.capacity_bytes[place]),
        nodes.mean_bytes[place] - pods.mean_bytes,
        np.maximum(nodes.variance[place] - variance, 0.0),
        np.maximum(nodes.third[place] - third, 0.0),
        np.full(n, nodes.inflation[place]),
    )


def margin(nodes: NodeLoads, pod: Loads | None = None, among: Places | None = None) -> FloatArray:
    """[N] or [among]: standard deviations between the load and the capacity in the worst hour; -inf: unknown.

    `pod` (one row) is added first.
    """
    at = slice(None) if among is None else among
    return _worst(with_pod(nodes, pod, among), nodes.capacity_bytes[at], nodes.inflation[at])


def most_margin(nodes: NodeLoads, pod: Loads, among: Places, lanes: Places) -> FloatArray:
    """[among] no less than `margin` with the pod (one row): that of a few lanes [among, few] alone.

    inf where pods of the same kin are already: what they share is not looked at.
    """
    at = among[:, None]
    parts = (pod.mean_bytes, pod.variance, pod.third)
    mean, variance, third = (
        each[at, lanes] + part[0, lanes] for each, part in zip(_columns(nodes), parts, strict=True)
    )
    most = _worst((mean, variance, third), nodes.capacity_bytes[among], nodes.inflation[among])
    if pod.shared is not None and (kin := int(pod.shared.kin[0])) != NO_KIN:
        most[nodes.together.holds(kin, among)] = np.inf
    return most


def _worst(moments: Moments, capacity_bytes: FloatArray, inflation: FloatArray) -> FloatArray:
    """[n] the least margin of some lanes [n, lanes]; -inf: not known."""
    mean, variance, third = moments
    deviation = np.sqrt(variance * inflation[:, None])
    room = capacity_bytes[:, None] - mean
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(deviation > 0, room / deviation, np.where(room >= 0, np.inf, -np.inf))
        skewness = np.where(variance > 0, np.minimum(third / variance**1.5, MOST_SKEWNESS), 0.0)
        worst: FloatArray = normal_power(z, skewness).min(axis=1, initial=np.inf)
    known = np.isfinite(mean).all(axis=1) & np.isfinite(capacity_bytes)
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
    nodes: NodeLoads, at_deviate: float, pod: Loads | None = None, among: Places | None = None
) -> FloatArray:
    """[N] or [among]: the capacity at which each node's margin is `at_deviate` (Cornish-Fisher)."""
    at = slice(None) if among is None else among
    return need(*with_pod(nodes, pod, among), nodes.inflation[at], at_deviate)


def need(
    mean: FloatArray, variance: FloatArray, third: FloatArray, inflation: FloatArray, at_deviate: float
) -> FloatArray:
    """[n] bytes that loads [n, lanes] stay below in their worst hour, at the deviate."""
    return np.asarray(need_by_lane(mean, variance, third, inflation, at_deviate).max(axis=1))


def need_by_lane(
    mean: FloatArray, variance: FloatArray, third: FloatArray, inflation: FloatArray, at_deviate: float
) -> FloatArray:
    """[n, lanes] the same of each hour."""
    with np.errstate(divide="ignore", invalid="ignore"):
        skewness = np.where(variance > 0, third / np.where(variance > 0, variance, 1.0) ** 1.5, 0.0)
    skewness = np.minimum(skewness, MOST_SKEWNESS)
    quantile = at_deviate + np.maximum(skewness, 0.0) * (at_deviate**2 - 1.0) / 6.0
    return np.asarray(mean + np.maximum(quantile, at_deviate) * np.sqrt(variance * inflation[:, None]))


def _columns(nodes: NodeLoads) -> Moments:
    return nodes.mean_bytes, nodes.variance, nodes.third


def roots_of(pods: Loads) -> FloatArray:
    """[n, 2, lanes] of what pods share with their kin."""
    if pods.shared is None:
        return np.zeros((len(pods), 2, pods.mean_bytes.shape[1]))
    return roots(pods.shared.variance, pods.variance, pods.third)
