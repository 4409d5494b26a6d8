"""Nodes that would break the bound are told as a look at every node and hour would tell them."""

import numpy as np
import pytest

from builders.placing import room_node
from plimsoll.placement.choose import DEFAULT_BOUND, Chooser
from plimsoll.placement.fit import NodeLoads, deviate, margin
from plimsoll.placement.lanes import LANES, Loads
from plimsoll_operator import parse
from plimsoll_operator.engine.messages import NodeUse
from plimsoll_operator.place import state
from plimsoll_operator.place.kube_nodes import KubeNodes
from plimsoll_operator.place.others import Others
from plimsoll_operator.place.sums import no_sums

GIB = 2**30
NODES = 400


def filled(rng, inflation):
    """Nodes from nearly empty to nearly full, with daily waves; some of which nothing is known."""
    level = rng.uniform(1 * GIB, 62 * GIB, (NODES, 1))
    mean = level * (1 + 0.2 * np.sin(np.arange(LANES) / 4 + rng.uniform(0, 6, (NODES, 1))))
    mean[::40] = np.nan
    spread = np.repeat(rng.uniform(0.1, 3, (NODES, 1)) * GIB, LANES, axis=1)
    third = 0.8 * spread**3
    return NodeLoads(np.full(NODES, 64.0 * GIB), mean, spread**2, third, np.full(NODES, inflation))


@pytest.mark.parametrize("inflation", [1.0, 5.0])
@pytest.mark.parametrize("level", [0.2, 1.0, 3.0])
def test_who_breaks_the_bound_with_a_pod(inflation, level):
    rng = np.random.default_rng(int(level * 10))
    nodes = filled(rng, inflation)
    mean = level * GIB * (1 + 0.5 * np.sin(np.arange(LANES) / 4))[None]
    pod = Loads(
        mean, np.full((1, LANES), (level * GIB / 5) ** 2), np.full((1, LANES), (level * GIB / 6) ** 3)
    )
    allowed = rng.random(NODES) < 0.9
    known = allowed & np.isfinite(nodes.mean_bytes).all(axis=1)
    wanted = known & (margin(nodes, pod) < deviate(DEFAULT_BOUND))
    found = state._breaks(Chooser(nodes), pod, allowed)
    assert not (found & ~known).any()
    assert 0 < wanted.sum() < known.sum()
    # A node right at the bound may be told either way: need and margin are two approximations of it.
    assert np.count_nonzero(found != wanted) <= 0.02 * NODES


@pytest.mark.parametrize(
    ("sampled", "faded", "known"),
    [(10, 0, True), (9, 0, True), (8, 0, False), (1, 0, False), (0, 0, False), (10, 1, False)],
)
def test_a_node_most_of_whose_containers_are_silent_has_no_opinion(sampled, faded, known):
    nodes = KubeNodes([parse.kube_node(room_node("n1")), parse.kube_node(room_node("empty"))])
    sums = no_sums(nodes)
    sums.fed[nodes.place["n1"]], sums.faded[nodes.place["n1"]] = 10, faded
    use = NodeUse(("n1",), np.zeros(1), np.array([10], dtype=np.int32), np.array([sampled], dtype=np.int32))
    others = Others(np.zeros(2), measured=False)
    found = np.isfinite(state.node_loads(nodes, sums, use, np.ones(2), others).mean_bytes).all(axis=1)
    assert found[[nodes.place["n1"], nodes.place["empty"]]].tolist() == [known, True]
