"""Promised against realised, on a replay whose OOMs are known."""

import numpy as np
import pytest

from plimsoll.replay.limits import LimitReplay
from plimsoll.replay.promises import BAND_EDGES, join_kept, kept, realised_over_promised, windows_of
from plimsoll.replay.series import batch_of

WINDOW = 4


def replay(usage, warmup_bins=4):
    batch = batch_of("s", {"a": np.asarray(usage, dtype=np.float64)})
    limits = np.where(np.arange(batch.bins) >= warmup_bins, 10.0, np.nan)[None, :]
    return LimitReplay(batch, warmup_bins, WINDOW, limits, np.full(limits.shape, -1), ("none",))


# Windows: warm-up, an OOM (two bins of it), none, missing, an OOM in a last window that is cut short.
USAGE = [1, 1, 1, 99, 1, 99, 99, 1, 1, 1, 1, 1, *[np.nan] * 4, 99, 1]


def test_windows_are_counted_once_by_the_band_of_their_promise():
    made = replay(USAGE)
    promised = np.array([[0.5, 0.02, 0.0001, 0.02, 0.02]])
    sums = kept(made, promised)
    band = BAND_EDGES.index(0.01)
    assert sums.windows[0, [0, band]].tolist() == [1, 2]
    assert sums.windows.sum() == 3  # the warm-up's and the missing one count for nothing
    assert sums.realised[0, [0, band]].tolist() == [0, 2]
    assert sums.promised.sum() == pytest.approx(0.0401)


def test_a_window_without_a_promise_is_left_out():
    sums = kept(replay(USAGE), np.array([[np.nan, 0.02, 0.02, np.nan, np.nan]]))
    assert sums.windows.sum() == 2


def test_certainty_is_in_the_last_band():
    assert kept(replay(USAGE), np.full((1, 5), 1.0)).windows[0, -1] == 3


def test_promises_that_are_kept_come_to_one():
    one = kept(replay(USAGE), np.full((1, 5), 2 / 3))
    both = join_kept([one, kept(replay(USAGE), np.full((1, 5), 1 / 3))])
    assert realised_over_promised(both, np.array([[1.0, 0.0], [0.0, 1.0]])) == pytest.approx([1.0, 2.0])


def test_the_last_window_may_be_cut_short():
    assert windows_of(replay(USAGE).batch, WINDOW) == 5
