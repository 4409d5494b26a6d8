"""What must hold for any histogram, beyond being VPA's (test_vpa_golden.py): hypothesis and a few tables."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders.decaying_histogram import DecayingHistogram, exp2
from plimsoll.usage import gomath
from plimsoll.usage.buckets import MEMORY_BUCKETS
from plimsoll.usage.histogram_bank import DecayingHistograms

repeatable = settings(deadline=None, derandomize=True)
START = 1_700_000_000
DAY = 86_400
GIB = float(2**30)

values = st.floats(0, 2e12)
samples = st.lists(st.tuples(values, st.floats(0.01, 100), st.integers(0, 30 * DAY)), min_size=1, max_size=20)
# Some add, some take back; times jump further than the hundred half-lives after which the reference moves.
changes = st.lists(
    st.tuples(st.booleans(), values, st.floats(0, 100), st.integers(-50 * DAY, 400 * DAY), st.integers(0, 2)),
    max_size=30,
)


def test_memory_buckets_are_those_of_the_facts():
    assert MEMORY_BUCKETS.count == 176
    assert MEMORY_BUCKETS.starts[1] == 1e7
    assert MEMORY_BUCKETS.ends[-1] == MEMORY_BUCKETS.starts[-1] > 1e12
    assert (np.diff(MEMORY_BUCKETS.starts) > 0).all()


def test_empty_histogram_answers_zero():
    histogram, bank = DecayingHistogram(), DecayingHistograms(2)
    assert histogram.is_empty
    assert histogram.percentile(0.9) == 0.0
    assert bank.is_empty([0, 1]).all()
    assert bank.percentiles([0, 1], [0.5, 0.9]).tolist() == [[0, 0], [0, 0]]
    assert bank.percentiles([], [0.5, 0.9]).shape == (0, 2)


def test_more_rows_than_are_worked_on_at_a_time():
    count = 20_000
    bank = DecayingHistograms(count)
    sizes = np.linspace(1e6, 1e11, count)
    bank.add(np.arange(count), sizes, 1.0, START)
    bank.add(np.arange(count), 1e12, 1.0, START + 200 * DAY)  # the reference moves, the first sample is gone
    bank.subtract(np.arange(count), 1e12, 1.0, START + 200 * DAY)
    bank.add(np.arange(count), sizes, 1.0, START + 200 * DAY)
    ends = MEMORY_BUCKETS.ends[MEMORY_BUCKETS.find_array(sizes)]
    assert bank.percentiles(np.arange(count), 0.9)[:, 0].tolist() == ends.tolist()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_no_number_is_refused(value):
    with pytest.raises(ValueError, match="finite"):
        DecayingHistogram().add(value, 1.0, START)
    with pytest.raises(ValueError, match="finite"):
        DecayingHistograms(1).add([0], value, 1.0, START)


@pytest.mark.parametrize("weight", [-1.0, math.nan])
def test_a_negative_weight_is_refused(weight):
    for change in (DecayingHistogram().add, DecayingHistogram().subtract):
        with pytest.raises(ValueError, match="negative"):
            change(GIB, weight, START)
    with pytest.raises(ValueError, match="negative"):
        DecayingHistograms(1).subtract([0], GIB, weight, START)


def test_a_row_given_twice_is_refused():
    with pytest.raises(ValueError, match="one sample a row"):
        DecayingHistograms(2).add([1, 1], GIB, 1.0, START)


def test_after_a_half_life_a_sample_counts_half():
    histogram = DecayingHistogram()
    histogram.add(GIB, 3.0, START)
    histogram.add(4 * GIB, 1.0, START + DAY)  # weighs 2 against 3
    assert histogram.percentile(0.59) < 2 * GIB
    assert histogram.percentile(0.61) > 4 * GIB


def test_histograms_of_other_half_lives_are_not_merged():
    with pytest.raises(ValueError, match="half-life"):
        DecayingHistogram().merge(DecayingHistogram(half_life_seconds=3600))


@repeatable
@given(samples, st.lists(st.floats(0, 1), min_size=2, max_size=5))
def test_percentiles_rise_with_the_level_and_cover_a_sample(items, levels):
    histogram = DecayingHistogram()
    for value, weight, age in sorted(items, key=lambda item: item[2]):
        histogram.add(value, weight, START + age)
    answers = [histogram.percentile(level) for level in sorted(levels)]
    assert answers == sorted(answers)
    highest = max(value for value, _, _ in items)
    assert histogram.percentile(1.0) >= min(highest, MEMORY_BUCKETS.starts[-1])
    assert histogram.percentile(1.0) <= max(highest * 1.06, 1e7) + 1e7


@repeatable
@given(samples, st.tuples(values, st.floats(0.01, 100)))
def test_a_sample_taken_back_at_once_leaves_the_percentiles(items, extra):
    histogram = DecayingHistogram()
    for value, weight, _ in items:
        histogram.add(value, weight, START)
    before = histogram.total_weight
    histogram.add(*extra, START)
    histogram.subtract(*extra, START)
    assert histogram.total_weight == pytest.approx(before, rel=1e-9, abs=1e-3)


@repeatable
@given(changes)
def test_columns_are_the_scalar_histogram_bit_for_bit(items):
    bank = DecayingHistograms(3)
    scalars = [DecayingHistogram() for _ in range(3)]
    for is_subtraction, value, weight, after, row in items:
        for target, at in ((bank, ([row],)), (scalars[row], ())):
            change = target.subtract if is_subtraction else target.add
            change(*at, value, weight, START + after)
    assert bank.weights.tolist() == [s.weights for s in scalars]
    assert bank.total_weight.tolist() == [s.total_weight for s in scalars]
    levels = [0.0, 0.5, 0.9, 0.95, 1.0]
    assert bank.percentiles([0, 1, 2], levels).tolist() == [
        [s.percentile(p) for p in levels] for s in scalars
    ]


@repeatable
@given(st.lists(st.floats(1e-300, 1e300), min_size=1, max_size=20), st.floats(-1100, 1000))
def test_gos_functions_agree_with_the_c_library_to_the_last_bits(xs, exponent):
    logs = gomath.log_array(np.array(xs))
    assert logs.tolist() == [gomath.log(x) for x in xs]
    np.testing.assert_allclose(logs, np.log(xs), rtol=1e-15, atol=1e-15)
    assert gomath.exp2_array(np.array([exponent])).tolist() == [exp2(exponent)]
    assert exp2(exponent) == pytest.approx(2.0**exponent, rel=1e-15, abs=5e-324)


@pytest.mark.parametrize("y", [0, 1, 2, 3, 175, 1000])
def test_gos_power_agrees_with_the_c_library(y):
    assert gomath.power(1.05, y) == pytest.approx(1.05**y, rel=1e-13)
