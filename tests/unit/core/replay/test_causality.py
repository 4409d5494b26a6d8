"""What follows a bin never changes a limit before it, for every recommender but the oracle;
nor does a neighbour.
"""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from builders.series import mixed_batch, truncated
from plimsoll.replay.limits import LimitReplay, ReplaySettings, replay_limits
from plimsoll.replay.recommenders import NAMES, recommender
from plimsoll.replay.rules import check
from plimsoll.replay.series import SeriesBatch

SETTINGS = ReplaySettings(warmup_bins=36)
CAUSAL = [name for name in NAMES if name != "oracle"]


def run(name: str, batch: SeriesBatch) -> LimitReplay:
    return replay_limits(batch, recommender(name, batch), SETTINGS)


@cache
def whole(name: str) -> LimitReplay:
    return run(name, mixed_batch())


def cuts(seed: int) -> list[int]:
    """Two bins anywhere, one at a window's first bin and one at its last."""
    random = np.random.default_rng(seed)
    return [
        *random.integers(37, 864, 2).tolist(),
        12 * int(random.integers(4, 70)),
        12 * int(random.integers(4, 70)) - 1,
    ]


@pytest.mark.parametrize("name", CAUSAL)
def test_cutting_a_series_leaves_earlier_limits_as_they_were(name):
    for cut in cuts(1):
        part = run(name, truncated(mixed_batch(), cut))
        before = part.emitted()
        np.testing.assert_array_equal(part.limit_bytes[before], whole(name).limit_bytes[:, :cut][before])
        np.testing.assert_array_equal(part.reason[before], whole(name).reason[:, :cut][before])


@pytest.mark.parametrize("name", CAUSAL)
@pytest.mark.parametrize("future", ["other", "missing", "huge"])
def test_altering_what_follows_leaves_limits_up_to_the_bin_as_they_were(name, future):
    batch = mixed_batch()
    for cut in cuts(2)[:2]:
        usage = batch.usage_bytes.copy()
        usage[:, cut:] = {"other": mixed_batch(9).usage_bytes[:, cut:], "missing": np.nan, "huge": 1e12}[
            future
        ]
        usage[np.arange(batch.bins) >= batch.length_bins[:, None]] = np.nan
        altered = run(name, replace(batch, usage_bytes=usage))
        # The limit of bin `cut` itself was set before it happened.
        np.testing.assert_array_equal(
            altered.limit_bytes[:, : cut + 1], whole(name).limit_bytes[:, : cut + 1]
        )


@pytest.mark.parametrize("name", NAMES)
def test_a_series_does_not_know_its_neighbours(name):
    alone = run(name, mixed_batch().take([3]))
    np.testing.assert_array_equal(alone.limit_bytes[0], whole(name).limit_bytes[3])


@pytest.mark.parametrize("name", NAMES)
def test_the_same_input_gives_the_same_output_bit_for_bit(name):
    again = run(name, mixed_batch())
    assert again.limit_bytes.tobytes() == whole(name).limit_bytes.tobytes()
    assert again.reason.tobytes() == whole(name).reason.tobytes()


@pytest.mark.parametrize("name", NAMES)
def test_every_recommender_keeps_the_contracts_rules(name):
    replay = whole(name)
    assert check(replay) == []
    limits = replay.limit_bytes[replay.emitted()]
    assert np.isfinite(limits).all()
    assert (limits > 0).all()
    if name != "oracle":
        assert (
            replay.batch.usage_bytes > replay.limit_bytes
        ).any()  # else the rules were not put to the test
