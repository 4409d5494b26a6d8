"""What the page predictor costs the agent: numpy alone, an epoch a batch, as it runs on a node.

In: a page trace, cut in 400 epochs. Out: microseconds for each page and epoch (history, samples, learning,
int8 tables and the prediction of every page seen), and the slowest percent of single predictions.
"""

import gc
import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from plimsoll.pages.reuse_learner import LearnerSettings, ReuseLearner
from plimsoll.pages.reuse_single import predict_one
from plimsoll.pages.trace import PageTrace

EPOCHS = 400
WARM_EPOCHS = 40
HORIZON_EPOCHS = 200
SINGLES = 20_000


@dataclass(frozen=True, slots=True)
class Cost:
    """`batch_us` float64[epochs]: per page predicted. `single_us` float64[n]: of one page each."""

    batch_us: npt.NDArray[np.float64]
    single_us: npt.NDArray[np.float64]
    pages: int


def cost_of(trace: PageTrace) -> Cost:
    """Run the agent's learner over the trace's epochs, and time it."""
    learner = ReuseLearner(trace.pages, LearnerSettings(HORIZON_EPOCHS, beside=1.0))
    bounds = np.linspace(0, len(trace), EPOCHS + 1).astype(np.int64)
    batch_us = []
    for epoch in range(EPOCHS):
        rows, first = np.unique(trace.rows[bounds[epoch] : bounds[epoch + 1]], return_index=True)
        kinds = trace.kind[bounds[epoch] : bounds[epoch + 1]][first]
        begun = time.perf_counter()
        learner.observe(rows, kinds, epoch + 1)
        seen = np.flatnonzero(learner.history.accesses).astype(np.int32)
        learner.next_use(seen, epoch + 1)
        batch_us.append(1e6 * (time.perf_counter() - begun) / len(seen))
    return Cost(np.array(batch_us[WARM_EPOCHS:]), _singles(learner), trace.footprint_pages)


def _singles(learner: ReuseLearner) -> npt.NDArray[np.float64]:
    rows = np.random.default_rng(7).integers(0, len(learner.history.last), SINGLES).tolist()
    tables, took = learner.predictor.quantised(), np.empty(SINGLES)
    gc.collect()
    for at, row in enumerate(rows):
        begun = time.perf_counter()
        predict_one(tables, learner.history, row, EPOCHS)
        took[at] = 1e6 * (time.perf_counter() - begun)
    return took
