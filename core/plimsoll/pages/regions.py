"""Regions that differ from look to look (DAMON splits and joins them) on one grid of equal parts.

In: for every epoch start and end addresses with a heat each. Out: edges in bytes and heat by epoch and part.
Holes between mappings are taken out, so that a stack far above a heap does not squeeze both into one part;
the offsets are of the memory that was ever seen, in order of address.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Addresses = npt.NDArray[np.uint64]
Look = tuple[Addresses, Addresses, FloatArray]
"""Starts [n], ends [n], heat 0 to 1 [n]; within one look regions do not overlap."""


def gridded(looks: Sequence[Look], parts: int = 256) -> tuple[FloatArray, npt.NDArray[np.float32]]:
    """Edges float64[parts + 1] and heat float32[looks, parts]: the mean over each part, weighted by bytes.

    Raises ValueError where no look has a region.
    """
    spans = _union(looks)
    total = float((spans[:, 1] - spans[:, 0]).sum()) if len(spans) else 0.0
    if total <= 0.0:
        raise ValueError("no region was seen")
    edges = np.linspace(0.0, total, parts + 1)
    before = np.concatenate([[0.0], np.cumsum(spans[:, 1] - spans[:, 0])])
    heat = np.zeros((len(looks), parts), np.float32)
    for row, (starts, ends, values) in enumerate(looks):
        if len(starts):
            low, high = (
                _offset(starts.astype(np.float64), spans, before),
                _offset(ends.astype(np.float64), spans, before),
            )
            heat[row] = _spread(low, high, values, edges)
    return edges, heat


def _union(looks: Sequence[Look]) -> FloatArray:
    """Addresses that any look has, as spans [m, 2] in order."""
    all_spans = [
        np.stack([starts, ends], axis=1).astype(np.float64) for starts, ends, _ in looks if len(starts)
    ]
    if not all_spans:
        return np.zeros((0, 2))
    spans = np.concatenate(all_spans)
    spans = spans[np.argsort(spans[:, 0], kind="stable")]
    reach = np.maximum.accumulate(spans[:, 1])
    first = np.concatenate([[True], spans[1:, 0] > reach[:-1]])
    last = np.append(np.flatnonzero(first)[1:] - 1, len(spans) - 1)
    return np.stack([spans[first, 0], reach[last]], axis=1)


def _offset(addresses: FloatArray, spans: FloatArray, before: FloatArray) -> FloatArray:
    row = np.clip(np.searchsorted(spans[:, 0], addresses, side="right") - 1, 0, len(spans) - 1)
    inside = np.clip(addresses - spans[row, 0], 0.0, spans[row, 1] - spans[row, 0])
    offset: FloatArray = before[row] + inside
    return offset


def _spread(low: FloatArray, high: FloatArray, values: FloatArray, edges: FloatArray) -> FloatArray:
    """The integral of a step function over each part, over its width."""
    points = np.concatenate([[0.0], np.stack([low, high], axis=1).ravel()])
    heights = np.zeros(len(points))
    heights[1::2] = values  # from a low edge to its high edge
    steps = np.diff(points, append=points[-1])
    integral = np.concatenate([[0.0], np.cumsum(np.maximum(steps, 0.0) * heights)])[:-1]
    at = np.interp(edges, points, integral)
    share: FloatArray = np.diff(at) / np.diff(edges)
    return share
