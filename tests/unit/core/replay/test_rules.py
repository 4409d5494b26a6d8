"""The contract's rules on what was written down: each broken once, and told with series and bin."""

import numpy as np
import pytest

from builders.series import MIB, mixed_batch
from plimsoll.replay.columns import LimitColumns, from_columns, to_columns
from plimsoll.replay.limits import ReplaySettings, replay_limits
from plimsoll.replay.peers.vpa import Vpa
from plimsoll.replay.rules import check
from plimsoll.replay.series import batch_of

WARMUP, BINS, OOM_BIN = 12, 420, 30  # the OOM's window ends with bin 35, its 24 h with bin 318
R = 200.0


def columns(limit_mib, reason=None, bins=None):
    count = len(limit_mib)
    return LimitColumns(
        ["a"],
        np.zeros(count, dtype=np.int32),
        np.arange(WARMUP, WARMUP + count, dtype=np.int32) if bins is None else np.array(bins, dtype=np.int32),
        np.array(limit_mib, dtype=np.float64) * MIB,
        ["because"],
        np.full(count, -1, dtype=np.int16) if reason is None else np.array(reason, dtype=np.int16),
    )


def violations(made):
    usage = np.full(BINS, 50.0 * MIB)
    usage[OOM_BIN] = 150.0 * MIB
    replay, found = from_columns(batch_of("s", {"a": usage}), made, WARMUP, 12)
    return [str(violation) for violation in found + check(replay)]


def lawful():
    limits = np.full(BINS - WARMUP, 100.0)
    limits[OOM_BIN + 1 - WARMUP : OOM_BIN + 289 - WARMUP] = R
    return limits


def test_a_lawful_file_has_no_violations():
    assert violations(columns(lawful())) == []


def test_below_r_within_the_window_is_never_allowed():
    limits, reason = lawful(), np.full(BINS - WARMUP, -1)
    limits[35 - WARMUP], reason[35 - WARMUP] = R - 1e-6, 0
    assert violations(columns(limits, reason)) == [
        "series a, bin 35: the limit 209715199 is below 209715200, in the same window as the OOM in bin 30"
    ]


@pytest.mark.parametrize(("bin_index", "broken"), [(36, True), (318, True), (319, False)])
def test_below_r_after_the_window_needs_a_reason_for_24_h(bin_index, broken):
    limits, reason = lawful(), np.full(BINS - WARMUP, -1)
    limits[bin_index - WARMUP] = 100.0
    told = violations(columns(limits, reason))
    assert [f"bin {bin_index}:" in line and "without a reason" in line for line in told] == [True] * broken
    reason[bin_index - WARMUP] = 0
    assert violations(columns(limits, reason)) == []


@pytest.mark.parametrize("limit", [0.0, -1.0, np.inf])
def test_a_limit_is_finite_and_above_zero(limit):
    limits = lawful()
    limits[3] = limit
    assert any("bin 15" in line and "not a number above zero" in line for line in violations(columns(limits)))


def test_a_nan_is_no_limit():
    limits = lawful()
    limits[3] = np.nan
    assert violations(columns(limits)) == ["series a, bin 15: not exactly one limit"]


def test_missing_doubled_and_surplus_bins_are_told_by_series():
    limits = lawful()
    assert violations(columns(limits[:-2])) == [
        f"series a, bin {BINS - 2}: not exactly one limit (and in 1 more bins)"
    ]
    bins = np.arange(WARMUP, BINS)
    bins[4] = 15
    assert violations(columns(limits, bins=bins)) == [
        "series a, bin 15: not exactly one limit (and in 1 more bins)"
    ]
    surplus = columns(np.append(limits, 100.0))
    assert violations(surplus) == [
        f"series a, bin {BINS}: a limit outside the bins from the warm-up to the last"
    ]


def test_what_is_written_is_read_back_whole():
    replay = replay_limits(mixed_batch(), Vpa(), ReplaySettings(36))
    back, found = from_columns(replay.batch, to_columns(replay), 36, 12)
    assert found == []
    np.testing.assert_array_equal(back.limit_bytes, replay.limit_bytes)
    np.testing.assert_array_equal(back.reason, replay.reason)
