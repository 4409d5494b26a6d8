"""Features are bounded whatever comes, and the same on floats and on arrays."""

import math

import numpy as np
import pytest

from builders.pressure import sample, stream
from plimsoll.pressure.features import FEATURE_COUNT, FEATURES, ScopeFeatures
from plimsoll.pressure.sample import SAMPLE_FIELDS, ScopeKind, values_of

BAD = [math.nan, math.inf, -math.inf, -1.0, 1e300, 5e-324, 0.0]


def taken(samples, kind=ScopeKind.CONTAINER):
    follower = ScopeFeatures(kind)
    return [follower.take(values_of(each), each.seconds) for each in samples]


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("name", SAMPLE_FIELDS[3:])
def test_every_feature_stays_within_its_range(name, bad):
    for features in taken([sample(1.0), sample(2.0, **{name: bad}), sample(3.0)]):
        assert features.shape == (FEATURE_COUNT,)
        assert (np.abs(features) <= 1.0).all()


@pytest.mark.parametrize(
    ("name", "bad"), [(name, bad) for name in ("period_seconds", "total_bytes") for bad in BAD[:4]]
)
def test_without_memory_or_time_there_are_no_features(name, bad):
    assert taken([sample(**{name: bad})]) == [None]


def test_what_is_unknown_keeps_what_was_known():
    first, second = taken([sample(1.0, free_ratio=0.3), sample(2.0, free_ratio=math.nan)])
    at = FEATURES.index("free_now")
    assert first[at] == second[at] == 0.3


@pytest.mark.parametrize("leap", [-50.0, 0.0, 3600.0, 1e15])
def test_after_a_leap_of_the_clock_there_is_no_slope(leap):
    _, after = taken([sample(100.0, available_ratio=0.9), sample(100.0 + leap, available_ratio=0.1)])
    slopes = [
        value
        for name, value in zip(FEATURES, after, strict=True)
        if "slope" in name or "exhaustion_1" in name
    ]
    assert slopes == pytest.approx([0.0] * len(slopes), abs=1e-12)


def test_memory_that_is_used_up_within_the_horizon_is_above_a_half():
    at = FEATURES.index("exhaustion_5s")
    fast = taken([sample(second, available_ratio=0.9 - 0.1 * second) for second in range(8)])
    slow = taken([sample(second, available_ratio=0.9 - 0.001 * second) for second in range(8)])
    assert fast[-1][at] > 0.5
    assert slow[-1][at] < 0.1


@pytest.mark.parametrize("kind", list(ScopeKind))
def test_a_scope_says_what_it_is(kind):
    (features,) = taken([sample()], kind)
    flags = dict(zip(FEATURES, features, strict=True))
    assert flags["is_numa_node"] == (kind is ScopeKind.NUMA_NODE)
    assert flags["is_container"] == (kind is ScopeKind.CONTAINER)


def test_slower_looks_see_much_the_same():
    fine, coarse = stream(200, period_seconds=0.5), stream(200, period_seconds=0.5)[1::2]
    at = FEATURES.index("available_slope_15s")
    assert taken(fine)[-1][at] == pytest.approx(taken(coarse)[-1][at], abs=0.1)
