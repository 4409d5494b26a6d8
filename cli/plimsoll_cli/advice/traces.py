"""Subjects out of trace files: every series is a container of its own, asked about at its end.

In: batches of recorded series. Out: subjects whose last recorded bin is the present one. Nobody recorded
which limit was in force.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from plimsoll.replay.live import FIRST_BIN
from plimsoll.replay.series import SeriesBatch
from plimsoll.usage.history import HOURLY_BINS
from plimsoll.usage.sample import BIN_SECONDS, BINS_PER_HOUR, Quantity
from plimsoll.workload import ContainerKey, WorkloadRef
from plimsoll_cli.advice.subject import Subject
from plimsoll_operator.observe.backfill import ContainerPast

KIND = "Series"
# The present of every series: the first moment after its last bin, in the years of the replay's bins.
NOW_SECONDS = float((FIRST_BIN + HOURLY_BINS * BINS_PER_HOUR) * BIN_SECONDS)


def subjects_in_traces(batches: Sequence[SeriesBatch]) -> Iterator[Subject]:
    """Yield one subject a series, in order."""
    for batch in batches:
        for row, series_id in enumerate(batch.series_ids):
            length = int(batch.length_bins[row])
            key = ContainerKey(WorkloadRef(batch.source, KIND, series_id), "")
            yield Subject(key, quantity=Quantity.USAGE, past=_past(batch.usage_bytes[row, :length]))


def _past(usage: np.ndarray) -> ContainerPast:
    """Return a series' bins as samples, each at the end of its bin, the last one just before the present."""
    known = np.flatnonzero(np.isfinite(usage))
    seconds = NOW_SECONDS - 1 - (len(usage) - 1 - known) * BIN_SECONDS
    return ContainerPast(seconds.astype(np.float64), usage[known].astype(np.float64))
