"""In: pods and a node's size. Out: as few nodes as the bound allows; against the exact optimum."""

import numpy as np
import pytest

from plimsoll.placement.fit import deviate, empty_nodes, margin
from plimsoll.placement.lanes import LANES, Loads
from plimsoll.placement.optimum import fewest_nodes
from plimsoll.placement.stack import TooLargeError, pack

HOURS = np.arange(LANES)


def pods(rng, n, spread=0.0):
    level = rng.lognormal(0.0, 0.6, (n, 1))
    phase = rng.choice([0.0, np.pi], (n, 1)) + rng.normal(0, 0.4, (n, 1))
    mean = np.maximum(level * (1 + 0.6 * np.sin(2 * np.pi * HOURS / 24 + phase)), 0.05 * level)
    return Loads(mean, np.broadcast_to((spread * level) ** 2, mean.shape).copy(), np.zeros_like(mean))


def test_every_pod_has_a_place_and_every_node_keeps_the_bound():
    made = pods(np.random.default_rng(1), 60, spread=0.1)
    places = pack(made, capacity_bytes=8.0, bound=0.01)
    nodes = empty_nodes(np.full(places.max() + 1, 8.0), LANES)
    np.add.at(nodes.mean_bytes, places, made.mean_bytes)
    np.add.at(nodes.variance, places, made.variance)
    assert sorted(set(places.tolist())) == list(range(places.max() + 1))
    assert (margin(nodes) >= deviate(0.01)).all()


def test_peaks_are_stacked_into_valleys():
    swing = np.cos(2 * np.pi * HOURS / 24)
    mean = np.concatenate([np.tile(5 + 4 * swing, (4, 1)), np.tile(5 - 4 * swing, (4, 1))])
    nothing = np.zeros_like(mean)
    assert pack(Loads(mean, nothing, nothing), 10.1).max() + 1 == 4  # by their peaks it were eight


def test_a_pod_larger_than_a_node_is_named():
    made = pods(np.random.default_rng(2), 5)
    made.mean_bytes[3] = 2**33
    with pytest.raises(TooLargeError, match="pod 3 alone needs 8192 MiB") as told:
        pack(made, 2.0**32)
    assert told.value.pod == 3


def test_nothing_needs_no_node():
    assert len(pack(pods(np.random.default_rng(1), 0), 1.0)) == 0


@pytest.mark.parametrize("seed", range(6))
def test_close_to_the_optimum(seed):
    rng = np.random.default_rng(seed)
    made = pods(rng, int(rng.integers(14, 20)))
    capacity = float(made.mean_bytes.max() * rng.uniform(1.3, 2.2))
    found = int(pack(made, capacity).max()) + 1
    best = fewest_nodes(made.mean_bytes, capacity, found, seconds=10.0)
    assert best.least_nodes <= best.nodes <= found <= best.least_nodes + 1


def test_the_optimum_of_a_case_that_is_known():
    load = np.array([[6.0, 1.0], [1.0, 6.0], [5.0, 5.0], [4.0, 4.0]])
    best = fewest_nodes(load, 10.0, 4)
    assert (best.nodes, best.least_nodes, best.proven) == (2, 2, True)


def test_too_few_nodes_are_told():
    # By their sum three nodes would do; no two of these go together.
    with pytest.raises(ValueError, match="5 pods do not fit 4 nodes"):
        fewest_nodes(np.full((5, 1), 6.0), 10.0, 4)
