"""How far a row's memory follows its number of pods, and what is expected of those that are left."""

import numpy as np
import pytest

from builders.histories import MIB, append_bin, at, history_of, steady
from plimsoll.guard.limits import LimitReason
from plimsoll.pipeline import LimitPipeline
from plimsoll.recommend.replicas import SETTLED_BINS, Replicas

ROW = np.array([0], dtype=np.int32)


def told(*steps: tuple[int, float], settle: bool = True) -> Replicas:
    """Pods and MiB of the largest, each from SETTLED_BINS after the one before."""
    replicas = Replicas()
    for number, (pods, mib) in enumerate(steps):
        replicas.observe(ROW, np.array([pods]), np.array([mib * MIB]), number * SETTLED_BINS)
    if settle:
        replicas.observe(ROW, np.array([steps[-1][0]]), np.array([steps[-1][1] * MIB]), 1000)
    return replicas


def settled(*changes: tuple[int, float, float]) -> Replicas:
    """Each change: pods, MiB when it is noticed, MiB when it has settled."""
    replicas, bin_ = Replicas(), 0
    for pods, noticed, after in changes:
        replicas.observe(ROW, np.array([pods]), np.array([noticed * MIB]), bin_)
        bin_ += SETTLED_BINS
        replicas.observe(ROW, np.array([pods]), np.array([after * MIB]), bin_)
    return replicas


def test_a_row_that_shares_its_load_is_found_out_after_a_few_changes():
    once = settled((2, 100, 100), (4, 100, 50))
    often = settled((2, 100, 100), *[(4, 100, 50), (2, 50, 100)] * 4)
    assert 0.4 < once.follows(ROW)[0] < 0.7 < often.follows(ROW)[0] <= 1


def test_a_row_whose_pods_use_what_they_use_does_not_follow():
    assert settled((2, 100, 100), *[(4, 100, 101), (2, 101, 100)] * 4).follows(ROW)[0] < 0.05


def test_fewer_pods_let_a_rise_be_expected_until_it_is_seen():
    replicas = settled((2, 100, 100), *[(4, 100, 50), (2, 50, 100)] * 4)
    bin_ = 1000
    known = np.array([100 * MIB])
    replicas.observe(ROW, np.array([1]), known, bin_)
    rise = replicas.expected_rise(ROW, known)
    assert np.exp(rise[0]) == pytest.approx(2 ** replicas.follows(ROW)[0])
    assert replicas.expected_rise(ROW, 1.5 * known)[0] == pytest.approx(rise[0] - np.log(1.5))
    assert replicas.expected_rise(ROW, 3 * known)[0] == 0
    replicas.observe(ROW, np.array([1]), 1.9 * known, bin_ + SETTLED_BINS)
    assert replicas.expected_rise(ROW, known)[0] == 0


def test_more_pods_promise_nothing_and_a_rollouts_surge_teaches_nothing():
    replicas = settled((2, 100, 100), *[(4, 100, 50), (2, 50, 100)] * 4)
    replicas.observe(ROW, np.array([8]), np.array([100 * MIB]), 1000)
    assert replicas.expected_rise(ROW, np.array([100 * MIB]))[0] == 0
    surge = told((3, 100.0), settle=False)
    before = surge.follows(ROW)[0]
    surge.observe(ROW, np.array([4]), np.array([100 * MIB]), 10)
    surge.observe(ROW, np.array([3]), np.array([150 * MIB]), 11)
    surge.observe(ROW, np.array([3]), np.array([150 * MIB]), 11 + SETTLED_BINS)
    assert surge.follows(ROW)[0] == before


def test_unknown_use_and_forgotten_rows_say_nothing():
    replicas = told((2, np.nan), (1, np.nan), settle=False)
    assert replicas.expected_rise(ROW, np.array([np.nan]))[0] == 0
    replicas = settled((2, 100, 100), *[(4, 100, 50), (2, 50, 100)] * 4)
    replicas.forget(ROW)
    assert replicas.follows(ROW)[0] == 0


def test_the_limit_rises_when_pods_go_and_before_the_load_comes():
    history, rows, now = history_of(steady(3))
    pipeline = LimitPipeline(history)
    pipeline.observe_limits(rows, np.array([115 * MIB]))
    taught = settled((2, 100, 100), *[(4, 100, 50), (2, 50, 100)] * 4)
    pipeline._circumstances.replicas = taught
    pipeline.decide(rows, now)
    pipeline.observe_replicas(rows, np.array([2]))
    assert len(pipeline.react(rows, now).rows) == 0
    pipeline.observe_replicas(rows, np.array([1]))
    raises = pipeline.react(rows, now)
    assert raises.reason.tolist() == [LimitReason.FEWER_PODS]
    assert raises.limit_bytes[0] > 150 * MIB
    for bin_ in range(864, 864 + SETTLED_BINS + 1):
        append_bin(history, rows, bin_, np.array([100 * MIB]))
        history.advance(at(bin_ + 1))
    pipeline.observe_replicas(rows, np.array([1]))
    assert len(pipeline.react(rows, at(864 + SETTLED_BINS + 1)).rows) == 0
