"""In: nodes, one of them in danger. Out: who leaves, when that is in vain, and what successors see."""

import numpy as np

from plimsoll.placement.choose import Chooser
from plimsoll.placement.fit import empty_nodes, put
from plimsoll.placement.lanes import LANES, Loads
from plimsoll.replay.kube_scheduler import KubeScheduler
from plimsoll.replay.moves import Cluster, Mover

HOUR, BOUND = 10, 0.02


class World:
    """Pods of steady loads on nodes of 100 bytes; `goes` says where the next pods are put."""

    def __init__(self, loads, places, nodes=2, since=0, kin=None):
        n = len(loads)
        nothing = np.zeros((n, LANES))
        self.loads = Loads(np.repeat(np.array(loads, dtype=float)[:, None], LANES, axis=1), nothing, nothing)
        scheduler = KubeScheduler(np.full(nodes, 1000.0), np.random.default_rng(1))
        self.places, requests = np.array(places, dtype=np.intp), np.ones(n)
        np.add.at(scheduler.requested_bytes, self.places, requests)
        sums = empty_nodes(np.full(nodes, 100.0), LANES)
        put(sums, self.loads, self.places)
        self.chooser = Chooser(sums, BOUND)
        self.cluster = Cluster(
            scheduler,
            requests,
            self.places,
            np.full(n, since, dtype=np.int64),
            np.arange(n) if kin is None else np.array(kin),
            np.ones(n, dtype=np.bool_),
        )
        self.goes, self.seen = [], []
        self.mover = Mover(self.cluster, self.chooser, self.loads, BOUND, HOUR, self.create)

    def create(self, pod):
        self.seen.append(self.cluster.scheduler.requested_bytes.copy())
        place = self.goes.pop(0)
        self.places[pod] = place
        if place >= 0:
            self.cluster.scheduler.requested_bytes[place] += 1
            self.chooser.add(place, self.loads.take([pod]))

    @property
    def sums(self):
        return self.chooser.nodes.mean_bytes[:, 0].tolist()


def test_the_smallest_pod_that_suffices_leaves_and_its_successor_sees_it_still_there():
    world = World([60.0, 45.0, 50.0], [0, 0, 1])
    world.goes = [1]
    world.mover.relieve()
    assert world.sums == [60.0, 95.0]
    assert world.places.tolist() == [0, 1, 1]
    assert world.seen[0].tolist() == [2.0, 1.0]
    assert world.cluster.scheduler.requested_bytes.tolist() == [1.0, 2.0]
    assert (world.mover.moved.evictions, world.mover.moved.in_vain) == (1, 0)


def test_who_comes_back_was_evicted_in_vain_and_is_not_evicted_again_in_the_hour():
    world = World([60.0, 55.0, 20.0], [0, 0, 1], kin=[0, 1, 2])
    world.cluster.movable[0] = False
    world.goes = [0]
    world.mover.relieve()
    assert (world.mover.moved.evictions, world.mover.moved.in_vain) == (1, 1)
    assert world.places.tolist() == [0, 0, 1]


def test_who_finds_no_node_tries_again_when_the_one_before_it_has_ended():
    world = World([60.0, 55.0, 20.0], [0, 0, 1])
    world.goes = [-1, -1]
    world.mover.relieve()
    assert [seen.tolist() for seen in world.seen] == [[2.0, 1.0], [1.0, 1.0]]
    assert (world.mover.moved.evictions, world.mover.moved.in_vain) == (1, 1)


def test_a_successor_that_fills_another_node_beyond_the_bound_was_evicted_in_vain():
    world = World([60.0, 45.0, 90.0, 20.0], [0, 0, 1, 2], nodes=3)
    world.goes = [1]
    world.mover.relieve()
    assert world.sums[1] == 135.0
    assert (world.mover.moved.evictions, world.mover.moved.in_vain) == (1, 1)


def test_nobody_leaves_who_came_in_this_hour():
    young = World([60.0, 45.0, 50.0], [0, 0, 1], since=HOUR)
    young.mover.relieve()
    assert young.mover.moved.evictions == 0


def test_of_a_workload_one_leaves_at_a_time():
    world = World([60.0, 45.0, 60.0, 45.0, 0.0], [0, 0, 1, 1, 2], nodes=4, kin=[0, 1, 2, 1, 3])
    world.goes = [2, 3]
    world.mover.relieve()
    assert len(world.seen) == 2
    assert world.seen[1].tolist() == [1.0, 2.0, 2.0, 0.0]  # the first one has ended when the second leaves


def test_room_for_a_pod_is_nobody_elses_while_it_is_made():
    world = World([60.0, 30.0, 30.0], [0, 0, 1])
    one = Loads(np.full((1, LANES), 40.0), np.zeros((1, LANES)), np.zeros((1, LANES)))
    world.goes = [1]
    sums_seen = []
    create = world.create
    world.mover._create = lambda pod: (sums_seen.append(world.sums), create(pod))
    place = world.mover.make_room(one, np.array([True, False]))
    assert place == 0
    assert sums_seen == [[130.0, 30.0]]  # with the pod to be, and the one that leaves
    assert world.sums == [60.0, 60.0]
    assert world.mover.moved.held == 1


def test_no_room_is_made_by_leaving_half():
    world = World([60.0, 30.0, 90.0], [0, 0, 1])
    one = Loads(np.full((1, LANES), 40.0), np.zeros((1, LANES)), np.zeros((1, LANES)))
    assert world.mover.make_room(one, np.array([True, False])) is None
    assert world.seen == []
    assert world.sums == [90.0, 90.0]
