"""The teacher of the network that ships: gradient-boosted trees on at-risk pairs, by LightGBM.

A row whose need is level j was at risk at levels 0..j and failed at all but the last; one booster for all
levels (the level itself is a feature), so that rare tails share strength with common ones. Few leaves, many
rows a leaf: siblings jump in the same bin, and what wins ungrouped validation by memorising them loses
grouped. What it learned goes into the network (`prior_network.py`), and ships itself as `boosted.txt` for
`forecast.model: boosted`.
"""

from collections.abc import Sequence

import lightgbm
import numpy as np
import numpy.typing as npt

from plimsoll.forecast.boosted import hazards_of
from plimsoll.forecast.features import LOG_LEVELS
from prior_rows import Rows

TREES = 250
SETTINGS = {
    "objective": "binary",
    "num_leaves": 15,
    "learning_rate": 0.05,
    "min_data_in_leaf": 200,
    "feature_fraction": 0.5,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "lambda_l2": 5,
    "max_bin": 127,
    "deterministic": True,
    "force_row_wise": True,
    "verbose": -1,
}
Float32Array = npt.NDArray[np.float32]


def teach(parts: Sequence[tuple[Rows, float]], seed: int) -> lightgbm.Booster:
    """A booster from rows and the weight of each part."""
    inputs, failed, weights = [], [], []
    for rows, weight in parts:
        at, level, came = at_risk(rows.need)
        inputs.append(np.concatenate([rows.row[at], rows.level[at, level]], axis=1))
        failed.append(came)
        weights.append(np.full(len(at), weight, np.float32))
    data = lightgbm.Dataset(
        np.concatenate(inputs), np.concatenate(failed), weight=np.concatenate(weights), free_raw_data=True
    )
    return lightgbm.train({**SETTINGS, "seed": seed}, data, TREES)


def at_risk(
    need: npt.NDArray[np.int64],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Float32Array]:
    """(row, level, failed) of all rows that were at risk at a level."""
    at = [np.flatnonzero(need >= level) for level in range(len(LOG_LEVELS))]
    level = [np.full(len(rows), index) for index, rows in enumerate(at)]
    failed = [(need[rows] > index).astype(np.float32) for index, rows in enumerate(at)]
    return np.concatenate(at), np.concatenate(level), np.concatenate(failed)


def taught(booster: lightgbm.Booster, rows: Rows) -> npt.NDArray[np.float64]:
    """The booster's hazards [m, levels] of training rows."""
    return hazards_of(booster, rows.row, rows.level)
