"""Means of what many nodes say that no single node can move far.

In: one vector a node and a weight a node (its samples). Out: one vector. Weights are capped at
twice their median and at a third of all, so no node is a majority, nor are fewer than a third of nodes that
have seen equally much. What is proved (docs/memory.md, and tests over drawn cases): with one lying node,
every coordinate of the weighted median lies between the honest nodes' quartiles, and the trimmed mean
between their smallest and largest value; after `clipped` no merge moves the predecessor by more than the
median step of the nodes. Coordinate-wise median and trimmed mean as in Yin et al., "Byzantine-Robust
Distributed Learning" (2018).
"""

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

LEAST_NODES = 3  # with fewer, one of two could be a majority: nothing is merged
MOST_SHARE = 1 / 3  # of the weight that any one node has
MOST_TIMES = 2.0  # the median weight: samples are what a node says of itself
ROUNDING = 1e-9  # of the weight: less within the trimmed part is a cut that was not exact
TRIM = 1 / 3  # of the weight that is cut away at either end


def capped(weights: FloatArray) -> FloatArray:
    """Shares [n] that add up to 1, none above a third. Raises ValueError for fewer than three nodes."""
    count = len(weights)
    if count < LEAST_NODES:
        raise ValueError(f"{count} nodes: want at least {LEAST_NODES}")
    clean = np.where(np.isfinite(weights) & (weights > 0), weights, 0.0)
    top = clean.max()
    shares = clean / top if top > 0 else np.ones(count)
    shares = np.minimum(shares, MOST_TIMES * np.sort(shares)[count // 2])
    shares = np.maximum(shares, 1e-9) / np.maximum(shares, 1e-9).sum()
    for _ in range(2):  # at most two can be above a third, and the second may rise above it only once
        high = shares >= MOST_SHARE
        rest = 1.0 - MOST_SHARE * high.sum()
        if high.all() or rest <= 0:
            break
        shares = np.where(high, MOST_SHARE, shares * rest / shares[~high].sum())
    made: FloatArray = shares / shares.sum()
    return made


def weighted_median(vectors: FloatArray, shares: FloatArray) -> FloatArray:
    """The lower weighted median of each coordinate: vectors [n, d], shares [n] of 1; returns [d]."""
    order = np.argsort(vectors, axis=0, kind="stable")
    ranked: FloatArray = np.take_along_axis(vectors, order, axis=0)
    reached = np.cumsum(shares[order], axis=0)
    at = np.argmax(reached >= 0.5 - 1e-12, axis=0)
    return np.asarray(np.take_along_axis(ranked, at[None], axis=0)[0])


def trimmed_mean(vectors: FloatArray, shares: FloatArray) -> FloatArray:
    """The mean of each coordinate without a third of the weight at either end: [n, d], [n] -> [d]."""
    order = np.argsort(vectors, axis=0, kind="stable")
    ranked = np.take_along_axis(vectors, order, axis=0)
    upper = np.cumsum(shares[order], axis=0)
    lower = upper - shares[order]
    kept = np.clip(np.minimum(upper, 1 - TRIM) - np.maximum(lower, TRIM), 0.0, None)
    kept = np.where(kept > ROUNDING, kept, 0.0)
    kept /= kept.sum(axis=0)
    # A sum of products may leave the range of its terms by a rounding; the promise is that it does not.
    inside = kept > 0
    low = np.where(inside, ranked, np.inf).min(axis=0)
    high = np.where(inside, ranked, -np.inf).max(axis=0)
    return np.asarray(np.clip((np.where(inside, ranked, 0.0) * kept).sum(axis=0), low, high))


def clipped(steps: FloatArray, most: float) -> FloatArray:
    """Steps [n, d] with the length of each at most `most`."""
    lengths = norms(steps)
    # Divided only where something is cut: the quotient of a tiny length is beyond any number.
    scale = np.divide(most, lengths, out=np.ones_like(lengths), where=lengths > most)
    return np.asarray(steps * scale[:, None])


def norms(steps: FloatArray) -> FloatArray:
    """Euclidean length [n] of steps [n, d], without overflow on the way."""
    largest = np.abs(steps).max(axis=1, initial=0.0)
    safe = np.where(largest > 0, largest, 1.0)
    lengths: FloatArray = safe * np.sqrt(((steps / safe[:, None]) ** 2).sum(axis=1))
    return np.where(largest > 0, lengths, 0.0)


def few(predecessor: FloatArray, vectors: FloatArray) -> FloatArray:
    """The successor by one node or two [n, d], where a fleet has no more: the mean of steps, cut alike.

    Nobody is outvoted here: a liar among two moves the model by half of the honest node's step at most, a
    liar alone by any. What follows goes on trial all the same, and each node holds it against what ships.
    """
    steps = vectors - predecessor
    return np.asarray(predecessor + clipped(steps, float(norms(steps).min())).mean(axis=0))


def step_of(predecessor: FloatArray, vectors: FloatArray, weights: FloatArray, *, trim: bool) -> FloatArray:
    """The successor of a model [d] by what the nodes have: vectors [n, d], weights [n].

    Each node's step from the predecessor is cut to the median length of all steps, the steps are merged, and
    the merged step is cut to that length again.
    """
    shares = capped(weights)
    steps = vectors - predecessor
    most = float(weighted_median(norms(steps)[:, None], shares)[0])
    merge = trimmed_mean if trim else weighted_median
    merged = merge(clipped(steps, most), shares)
    return np.asarray(predecessor + clipped(merged[None], most)[0])
