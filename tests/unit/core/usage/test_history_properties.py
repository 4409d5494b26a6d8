"""What must hold for any samples: hypothesis against a plain dictionary of maxima."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from plimsoll.usage.history import FIVE_MINUTE_BINS, HOURLY_BINS, History
from plimsoll.usage.sample import BIN_SECONDS, Quantity, round_up_float32

# No deadline (the machine is shared) and the same examples in each run.
repeatable = settings(deadline=None, derandomize=True)
START = 1_700_000_000.0
ROWS = 4
DAY = 86_400.0

finite_bytes = st.floats(0, 2**46)
one_unit = st.floats(2**20, 2**28)  # else it matters what came before: KiB are told by what was reached
any_bytes = st.one_of(finite_bytes, st.floats(), st.sampled_from([-1.0, np.nan, np.inf, 1e30]))
any_seconds = st.one_of(
    st.floats(-3 * DAY, 60).map(lambda x: START + x), st.floats(), st.floats(0, 2 * START)
)
good_samples = st.lists(
    st.tuples(st.integers(0, ROWS - 1), st.floats(-40 * DAY, 0).map(lambda x: START + x), finite_bytes),
    max_size=40,
)
samples_of_one_unit = st.lists(
    st.tuples(st.integers(0, ROWS - 1), st.floats(-40 * DAY, 0).map(lambda x: START + x), one_unit),
    max_size=40,
)
any_samples = st.lists(st.tuples(st.integers(-2, ROWS + 3), any_seconds, any_bytes), max_size=40)


def history() -> History:
    made = History(Quantity.USAGE, capacity=2)
    made.add_rows(ROWS)
    made.advance(START)
    return made


def append(h: History, samples) -> None:
    columns = np.array(samples, dtype=np.float64).reshape(-1, 3)
    with np.errstate(all="ignore"):
        h.append(columns[:, 0].astype(np.int64), columns[:, 1], columns[:, 2], START)


def everything(h: History, rows=None) -> np.ndarray:
    rows = np.arange(ROWS) if rows is None else rows
    return np.hstack([h.five_minute(rows), h.hourly(rows)])


def model(samples, width: int, seconds_per_slot: int) -> np.ndarray:
    out = np.full((ROWS, width), np.nan, dtype=np.float32)
    newest = int(START // seconds_per_slot)
    for row, seconds, value in samples:
        column = int(seconds // seconds_per_slot) - newest + width - 1
        if column >= 0:
            out[row, column] = np.fmax(out[row, column], round_up_float32(value))
    return out


@repeatable
@given(good_samples)
def test_windows_are_the_maxima_of_their_bins(samples):
    h = history()
    append(h, samples)
    np.testing.assert_array_equal(h.hourly(np.arange(ROWS)), model(samples, HOURLY_BINS, 3600))
    kept = [s for s in samples if s[1] >= (START // 3600 - HOURLY_BINS + 1) * 3600]
    np.testing.assert_array_equal(h.five_minute(np.arange(ROWS)), model(kept, FIVE_MINUTE_BINS, BIN_SECONDS))


@repeatable
@given(samples_of_one_unit, st.randoms(use_true_random=False), st.integers(1, 5))
def test_order_batches_and_duplicates_do_not_matter(samples, random, batches):
    one, other = history(), history()
    append(one, samples)
    shuffled = samples + samples[: len(samples) // 2]
    random.shuffle(shuffled)
    for start in range(batches):
        append(other, shuffled[start::batches])
    np.testing.assert_array_equal(everything(one), everything(other))
    np.testing.assert_array_equal(one.first_seen_seconds(range(ROWS)), other.first_seen_seconds(range(ROWS)))


@repeatable
@given(any_samples)
def test_any_sample_is_accepted_or_counted_and_no_value_is_made_up(samples):
    h = history()
    columns = np.array(samples, dtype=np.float64).reshape(-1, 3)
    report = h.append(columns[:, 0].astype(np.int64), columns[:, 1], columns[:, 2], START)
    assert report.accepted + sum(report.rejected.values()) == len(samples)
    stored = everything(h)
    stored = stored[~np.isnan(stored)]
    offered = {float(round_up_float32(v)) for _, _, v in samples if 0 <= v <= 2**46}
    assert set(stored.tolist()) <= offered
    assert (stored.size > 0) == (report.accepted > 0)


@repeatable
@given(good_samples, st.lists(st.tuples(st.integers(-1, ROWS), finite_bytes), max_size=10))
def test_rows_are_isolated(samples, noise):
    """Whatever happens to the other rows, and to rows made later, row 0 stays as it was."""
    h = history()
    append(h, samples)
    before = everything(h, [0])
    append(h, [(row, START, value) for row, value in noise if row != 0])
    h.free_rows([1])
    h.add_rows(7)
    h.record_oom([2, 3], START, 1.0)
    np.testing.assert_array_equal(everything(h, [0]), before)
    assert h.ooms([0]).count[0] == 0


@repeatable
@given(good_samples, st.lists(st.floats(0, 6 * DAY), max_size=8))
def test_moving_on_shifts_the_windows_and_makes_nothing_up(samples, steps):
    h = history()
    append(h, samples)
    bins_before, hours_before = h.current_bin, h.current_bin // 12
    five, hourly = h.five_minute(range(ROWS)), h.hourly(range(ROWS))
    now = START
    for step in steps:
        now += step
        h.advance(now)
    for before, after, moved in (
        (five, h.five_minute(range(ROWS)), h.current_bin - bins_before),
        (hourly, h.hourly(range(ROWS)), h.current_bin // 12 - hours_before),
    ):
        kept = max(before.shape[1] - moved, 0)
        np.testing.assert_array_equal(after[:, :kept], before[:, before.shape[1] - kept :])
        assert np.isnan(after[:, kept:]).all()


@repeatable
@given(good_samples, st.floats(0, 30 * DAY))
def test_a_checkpoint_never_lowers_a_peak_and_raises_it_little(samples, later):
    h = history()
    append(h, samples)
    back = history()
    back.append(0, START, 2.0**20, START)
    for now in np.arange(START, START + later, DAY):
        h.advance(now)
        back.advance(now)
    for row in range(ROWS):
        back.restore(row, h.checkpoint(row))
    for window in (History.five_minute, History.hourly):
        before, after = window(h, range(ROWS)), window(back, range(ROWS))
        known = ~np.isnan(before)
        assert (after[known] >= before[known]).all()
        assert (after[known] <= np.maximum(before[known] * 1.0011, 2.0**20)).all()
        assert np.isnan(after[1:][~known[1:]]).all()


@repeatable
@given(st.lists(st.floats(0, 1000 * DAY), min_size=1, max_size=30), good_samples)
def test_any_walk_of_the_clock_leaves_a_usable_history(readings, samples):
    """Forward, back, years away: never an exception, and the present sample is where the present is."""
    h = history()
    append(h, samples)
    for reading in readings:
        h.append(0, reading, 5.0, reading)
    now = h.now_seconds
    assert h.append(1, now, 2.0**46, now).accepted == 1
    assert h.five_minute(1, 1)[0, 0] == 2.0**46
    assert h.hourly(1, 1)[0, 0] == 2.0**46


@repeatable
@given(
    st.lists(st.tuples(st.integers(0, 1), st.integers(0, 12), finite_bytes), max_size=30),
    st.integers(1, 4),
)
def test_ooms_are_the_newest_eight_distinct_whatever_the_order(events, batches):
    h = history()
    for start in range(batches):
        batch = events[start::batches]
        h.record_oom([e[0] for e in batch], [START + e[1] for e in batch], [e[2] for e in batch])
    for row in (0, 1):
        distinct = sorted({e[1] for e in events if e[0] == row})
        seconds = h.ooms(row).seconds[0]
        assert seconds[~np.isnan(seconds)].tolist() == [START + at for at in distinct[-8:]]
