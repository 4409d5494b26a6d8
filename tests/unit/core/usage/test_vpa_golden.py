"""Our histograms against VPA's own Go package: every float equal, bit for bit.

Inputs: 12,000 random cases (adding, subtracting, far jumps of time that shift the reference, times that go
back) and 40,000 values, most of them within four floats of a bucket's edge; `make golden-vpa`
makes the vectors anew.
"""

import zlib

import numpy as np
import pytest

from builders.decaying_histogram import DecayingHistogram
from builders.vpa_golden import CPU, LEVELS, MAX_STEPS, MEMORY, cases, golden
from plimsoll.usage.histogram_bank import DecayingHistograms

COUNT = len(golden().direct)


def test_there_are_enough_cases_and_they_are_not_trivial():
    answers = golden().direct
    assert COUNT >= 10_000
    assert np.count_nonzero(answers["total"] == 0) < COUNT / 5  # all taken back, or long decayed
    assert len(np.unique(answers["percentiles"])) > 300
    assert (np.diff(answers["percentiles"][:, :5], axis=1) >= 0).all()


@pytest.mark.parametrize("vectors", [golden().memory, golden().cpu], ids=["memory", "cpu"])
def test_buckets_are_vpas(vectors):
    assert vectors.buckets.count == len(vectors.starts)
    np.testing.assert_array_equal(vectors.buckets.starts, vectors.starts)
    np.testing.assert_array_equal(vectors.buckets.find_array(vectors.values), vectors.found)
    assert [vectors.buckets.find(v) for v in vectors.values.tolist()] == vectors.found.tolist()


def replayed(case: int) -> DecayingHistogram:
    inputs = cases(COUNT)
    histogram = DecayingHistogram(inputs.buckets(case), int(inputs.half_life_seconds[case]))
    for step in range(inputs.steps[case]):
        change = histogram.subtract if inputs.subtract[case, step] else histogram.add
        change(
            inputs.value[case, step].item(),
            inputs.weight[case, step].item(),
            inputs.seconds[case, step].item(),
        )
    return histogram


def answers(histogram: DecayingHistogram, level: float) -> tuple:
    return (
        [histogram.percentile(p) for p in (*LEVELS, level)],
        histogram.total_weight,
        histogram.reference_seconds,
        zlib.crc32(np.array(histogram.weights).tobytes()),
        histogram.min_bucket,
        histogram.max_bucket,
    )


def expected(row) -> tuple:
    percentiles, *others = row.tolist()
    return (list(percentiles), *others)


@pytest.mark.parametrize("part", range(4))
def test_scalar_histogram_is_vpas(part):
    """Direct answers, and those of merged neighbours."""
    inputs, vpa = cases(COUNT), golden()
    for first in range(part * COUNT // 4, (part + 1) * COUNT // 4, 2):
        pair = replayed(first), replayed(first + 1)
        for case, histogram in zip((first, first + 1), pair, strict=True):
            level = float(inputs.level[case])
            assert answers(histogram, level) == expected(vpa.direct[case]), f"case {case}"
        pair[0].merge(pair[1])
        assert answers(pair[0], float(inputs.level[first])) == expected(vpa.merged[first // 2]), (
            f"pair {first}"
        )


@pytest.mark.parametrize("buckets", [MEMORY, CPU], ids=["memory", "cpu"])
@pytest.mark.parametrize("half_life_hours", [24, 48, 7, 1])
def test_columnar_histograms_are_vpas(buckets, half_life_hours):
    inputs, vpa = cases(COUNT), golden().direct
    chosen = np.flatnonzero(
        (inputs.is_memory == (buckets is MEMORY)) & (inputs.half_life_seconds == half_life_hours * 3600)
    )
    bank = DecayingHistograms(len(chosen), buckets, half_life_hours * 3600)
    for step in range(MAX_STEPS):
        active = inputs.steps[chosen] > step
        for change, kind in ((bank.add, False), (bank.subtract, True)):
            rows = np.flatnonzero(active & (inputs.subtract[chosen, step] == kind))
            at = chosen[rows]
            change(rows, inputs.value[at, step], inputs.weight[at, step], inputs.seconds[at, step])
    rows = np.arange(len(chosen))
    np.testing.assert_array_equal(bank.percentiles(rows, LEVELS), vpa["percentiles"][chosen, :5])
    np.testing.assert_array_equal(bank.total_weight, vpa["total"][chosen])
    np.testing.assert_array_equal(bank.reference_seconds, vpa["reference"][chosen])
    np.testing.assert_array_equal(bank.min_bucket, vpa["low"][chosen])
    np.testing.assert_array_equal(bank.max_bucket, vpa["high"][chosen])
    assert [zlib.crc32(weights.tobytes()) for weights in bank.weights] == vpa["crc"][chosen].tolist()
