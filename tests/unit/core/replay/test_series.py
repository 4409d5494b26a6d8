"""Samples → bins, by the contract's rules, by hand."""

import numpy as np
import pytest

from plimsoll.replay.series import SampleColumns, batch_of, bin_samples

NAN = float("nan")


def columns(rows, maximum=None):
    ids = list(dict.fromkeys(row[0] for row in rows))
    return SampleColumns(
        ids,
        np.array([ids.index(row[0]) for row in rows], dtype=np.int64),
        np.array([row[1] for row in rows], dtype=np.int64),
        np.array([row[2] for row in rows], dtype=np.float64),
        None if maximum is None else np.array(maximum, dtype=np.float64),
    )


def test_bins_are_maxima_of_300_s_from_the_floored_first_timestamp():
    batch = bin_samples("s", columns([("a", 650, 1.0), ("a", 899, 3.0), ("a", 900, 2.0), ("a", 1500, 5.0)]))
    assert batch.start_seconds.tolist() == [600]
    assert batch.length_bins.tolist() == [4]
    np.testing.assert_array_equal(batch.usage_bytes, [[3.0, 2.0, NAN, 5.0]])


def test_order_of_samples_does_not_matter():
    rows = [("a", 650, 1.0), ("a", 1500, 5.0), ("b", 30, 7.0), ("a", 899, 3.0)]
    there = bin_samples("s", columns(rows))
    back = bin_samples("s", columns(rows[::-1]))
    np.testing.assert_array_equal(there.usage_bytes, back.usage_bytes)
    assert there.series_ids == back.series_ids == ("a", "b")


def test_a_recorded_maximum_goes_before_the_value_where_there_is_one():
    batch = bin_samples("s", columns([("a", 0, 1.0), ("a", 300, 2.0)], maximum=[9.0, NAN]))
    np.testing.assert_array_equal(batch.usage_bytes, [[9.0, 2.0]])


@pytest.mark.parametrize("bad", [NAN, -1.0, float("inf")])
def test_a_bad_value_leaves_its_bin_missing_but_still_ends_the_series(bad):
    batch = bin_samples("s", columns([("a", 0, 1.0), ("a", 600, bad)]))
    np.testing.assert_array_equal(batch.usage_bytes, [[1.0, NAN, NAN]])
    assert batch.length_bins.tolist() == [3]


def test_series_of_unlike_length_are_padded_with_missing_bins():
    batch = batch_of("s", {"long": np.array([1.0, 2.0, 3.0]), "short": np.array([4.0])})
    assert batch.length_bins.tolist() == [3, 1]
    np.testing.assert_array_equal(batch.usage_bytes[1], [4.0, NAN, NAN])
    assert batch.take([1]).usage_bytes.shape == (1, 1)


def test_no_samples_make_an_empty_batch():
    batch = bin_samples("s", columns([]))
    assert len(batch) == 0
    assert batch.bins == 0
