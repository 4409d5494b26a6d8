"""Usage on a grid of 5 % steps below an anchor: the histogram buckets of Autopilot's rules.

In: hourly peaks [n, t]. Out: the bucket of each hour. The grid hangs on the row's own highest hour, not on
fixed bytes, so a container of 20 MiB and one of 20 GiB that behave alike are counted alike; 128 steps reach
down to a 500th of it, and what lies lower is in the lowest bucket.
"""

import numpy as np
import numpy.typing as npt

from plimsoll.forecast.window import FloatArray

STEP = 1.05
BUCKETS = 128
MISSING = -1
ROUNDING = 1e-5  # of a step
Buckets = npt.NDArray[np.int16]


def bucket_ends(buckets: int = BUCKETS) -> FloatArray:
    """Upper ends of the buckets over the anchor [buckets], lowest first; the last one is the anchor."""
    return np.asarray(STEP ** np.arange(1.0 - buckets, 1.0), dtype=np.float64)


def buckets_of(usage_bytes: FloatArray, anchor_bytes: FloatArray, buckets: int = BUCKETS) -> Buckets:
    """The bucket [n, t] of each value: the lowest whose upper end it does not exceed; MISSING for NaN.

    `anchor_bytes` [n] is the upper end of the highest bucket, into which larger values go too.
    """
    top = np.log(np.maximum(anchor_bytes, 1.0))[:, None]
    below = (top - np.log(np.maximum(usage_bytes, 1.0))) / np.log(STEP)
    # A value that is a bucket's end stays in it, though a history rounds it up to a float32.
    bucket = np.clip(buckets - 1 - np.floor(below + ROUNDING), 0, buckets - 1)
    return np.where(np.isfinite(below), bucket, MISSING).astype(np.int16)
