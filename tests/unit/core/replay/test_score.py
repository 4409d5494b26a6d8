"""The contract's scoring, by hand."""

import numpy as np
import pytest

from builders.series import MIB
from plimsoll.replay.limits import LimitReplay
from plimsoll.replay.score import count_changes, join, outcome, score
from plimsoll.replay.series import batch_of

NAN = np.nan


def replayed(usage_mib, limit_mib, warmup_bins=2):
    """A replay of series given by name; limits count from the warm-up on."""
    batch = batch_of("s", {name: np.asarray(u, dtype=np.float64) * MIB for name, u in usage_mib.items()})
    limits = np.full(batch.usage_bytes.shape, NAN)
    for row, name in enumerate(usage_mib):
        limits[row, warmup_bins : batch.length_bins[row]] = np.asarray(limit_mib[name]) * MIB
    return LimitReplay(batch, warmup_bins, 12, limits, np.full(limits.shape, -1), ())


def test_counts_ooms_and_slack_over_present_bins_from_the_warm_up_on():
    usage = [50.0, 50.0, 50.0, NAN, 150.0, 100.0] + [75.0] * 12
    scores = score(replayed({"a": usage}, {"a": [100.0] * 16}))
    assert scores.bins.tolist() == [15]
    assert scores.ooms.tolist() == [1]  # 150 > 100; a bin at its limit is none
    assert scores.slack_sum[0] == pytest.approx(0.5 + 0.0 + 12 * 0.25)
    pooled = outcome(scores)
    assert pooled.container_days == pytest.approx(15 / 288)
    assert pooled.oom_per_1000cd == pytest.approx(1000 / (15 / 288))
    assert pooled.slack == pytest.approx(3.5 / 14)


def test_series_are_pooled_by_bins_not_averaged():
    usage = {"long": [50.0] * 102, "short": [50.0] * 14}
    limits = {"long": [100.0] * 100, "short": [500.0] * 12}
    pooled = outcome(score(replayed(usage, limits)))
    assert pooled.slack == pytest.approx((100 * 0.5 + 12 * 0.9) / 112)


@pytest.mark.parametrize(
    ("usage", "scored"),
    [
        ([50.0] * 14, True),
        ([50.0] * 13, False),  # fewer than warm-up + 12 present
        ([50.0] * 13 + [NAN, NAN, 50.0], True),
        ([15.9] * 20, False),  # median below 16 MiB
        ([16.0] * 20, True),
        ([NAN] * 30, False),
    ],
)
def test_which_series_are_scored(usage, scored):
    assert score(replayed({"a": usage}, {"a": [60.0] * (len(usage) - 2)})).scored.tolist() == [scored]


@pytest.mark.parametrize(
    ("limits", "present", "changes"),
    [
        ([100, 100, 100], [1, 1, 1], 0),
        ([100, 101, 102], [1, 1, 1], 1),  # 101 is within 1 % of 100; 102 is not
        ([100, 100.9, 101.8, 102.7], [1, 1, 1, 1], 1),  # creeps: counted from the last change counted
        ([100, 50, 100], [1, 1, 1], 2),
        ([100, 50, 100], [1, 0, 1], 0),  # only bins present
        ([NAN, 100, 98], [0, 1, 1], 1),  # the first limit is no change
    ],
)
def test_changes_are_counted_from_the_last_change_counted(limits, present, changes):
    counted = count_changes(np.array([limits], dtype=np.float64), np.array([present], dtype=np.bool_))
    assert counted.tolist() == [changes]


def test_groups_are_pooled_by_mask_and_nothing_is_not_a_number():
    scores = score(replayed({"a": [50.0] * 14, "b": [80.0] * 14}, {"a": [100.0] * 12, "b": [100.0] * 12}))
    assert outcome(scores, np.array([False, True])).slack == pytest.approx(0.2)
    empty = outcome(scores, np.array([False, False]))
    assert empty.series == 0
    assert np.isnan(empty.oom_per_1000cd)


def test_join_keeps_every_series():
    part = score(replayed({"a": [50.0] * 14}, {"a": [100.0] * 12}))
    assert outcome(join([part, part])).series == 2
    assert outcome(join([part, part])).slack == outcome(part).slack
