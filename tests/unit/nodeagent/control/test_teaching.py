"""What two looks teach: returns, and not what anybody reclaimed in between."""

from dataclasses import replace

import numpy as np
import pytest

from builders.agents import AgentOn
from builders.twin_node import MIB, TwinNode
from plimsoll.pages.control_law import ReclaimLaw
from plimsoll.pages.control_types import ReclaimPolicy
from plimsoll.pages.working_set import IdleAges
from plimsoll_nodeagent.control.controlled import Controlled
from plimsoll_nodeagent.control.idle_ages import Looked
from plimsoll_nodeagent.control.teaching import learn, notice, see_leak
from plimsoll_nodeagent.kernelfs import Answer
from plimsoll_nodeagent.sample.features import find_features
from plimsoll_nodeagent.sample.reading import ContainerSample, Sampler

BIRTHS = np.array([0.0, 60.0, 600.0])


def look(seconds: float, cold_mib: float, *, by_address: bool = False, total: int | None = None) -> Looked:
    """Hot memory, and cold that was born before."""
    edges = np.append(BIRTHS + seconds * np.array([0, 1, 1]), np.inf)
    ages = IdleAges(edges, np.array([50.0 * MIB, 0.0, cold_mib * MIB]))
    return Looked(1000.0 + seconds, ages, {}, by_address=by_address, reclaimed_total_bytes=total)


@pytest.fixture
def node(tmp_path) -> TwinNode:
    return TwinNode(tmp_path)


@pytest.fixture
def each(node) -> Controlled:
    return Controlled(node.container(), ReclaimLaw(ReclaimPolicy()))


def sampled(node: TwinNode, stolen_pages: int | None) -> ContainerSample:
    container = node.container()
    sample = Sampler(node.kernel, find_features(node.kernel, container.path)).container(container)
    assert sample is not None
    assert sample.stat is not None
    return replace(sample, stat=replace(sample.stat, stolen_pages=stolen_pages))


def test_what_the_kernel_and_the_agent_took_is_no_return(node, each):
    notice(each, sampled(node, 40))
    assert learn(each, look(0.0, 200.0)) is None
    notice(each, sampled(node, 40 + 10 * 256))
    each.paged_out_bytes += 5 * MIB
    seen = learn(each, look(15.0, 200.0 - 10.0 - 5.0))
    assert seen is not None
    assert seen.returned_bytes.sum() == 0.0
    notice(each, sampled(node, 40 + 20 * 256))
    seen = learn(each, look(30.0, 185.0 - 10.0 - 7.0))
    assert seen.returned_bytes.sum() == 7 * MIB


@pytest.mark.parametrize("stolen_pages", [None, 39])
def test_a_counter_that_is_not_there_or_went_back_teaches_nothing(node, each, stolen_pages):
    notice(each, sampled(node, 40))
    learn(each, look(0.0, 200.0))
    notice(each, sampled(node, stolen_pages))
    assert learn(each, look(15.0, 190.0)) is None
    assert each.survival.observations == 0
    assert each.looked.taken_seconds == 1015.0


@pytest.mark.parametrize("by_address", [False, True])
def test_the_same_look_at_a_later_tick_keeps_what_was_reclaimed_and_came_back_by_then(node, each, by_address):
    notice(each, sampled(node, 40))
    first = look(0.0, 200.0, by_address=by_address, total=0)
    learn(each, first)
    held = each.looked
    refaulted, each.taken_since_look_bytes = each.refaulted_total_bytes, MIB
    notice(each, sampled(node, 40 + 256))
    each.refaulted_total_bytes += MIB
    assert learn(each, replace(first)) is None
    assert each.looked is held
    assert (held.refaulted_total_bytes, each.taken_since_look_bytes) == (refaulted, MIB)
    learn(each, look(15.0, 200.0, by_address=by_address, total=0))
    assert (each.looked.refaulted_total_bytes, each.taken_since_look_bytes) == (refaulted + MIB, 0)


def test_histograms_of_different_origin_are_not_compared(node, each):
    notice(each, sampled(node, 40))
    learn(each, look(0.0, 200.0))
    assert learn(each, look(15.0, 100.0, by_address=True, total=0)) is None
    seen = learn(each, look(30.0, 90.0, by_address=True, total=10 * MIB))
    assert seen.returned_bytes.sum() == 0.0
    assert learn(each, look(45.0, 80.0)) is None
    assert learn(each, None) is None
    assert each.looked is None


@pytest.mark.parametrize(("by_address", "learned"), [(True, 1), (False, 0)])
def test_a_look_by_address_teaches_though_the_one_before_is_not_believed_any_more(
    node, each, by_address, learned
):
    """Of a dozen containers each has its turn after a minute; none had ever learned anything from DAMON."""
    notice(each, sampled(node, 40))
    learn(each, look(0.0, 200.0, by_address=by_address, total=0))
    for _ in range(3):
        assert learn(each, None) is None
        assert each.looked is None
    seen = learn(each, look(60.0, 190.0, by_address=by_address, total=8 * MIB))
    assert each.survival.observations == learned
    assert (seen is not None and seen.returned_bytes.sum() == 2 * MIB) == by_address


def test_a_plan_by_address_is_told_what_others_took(node, each):
    class Told:
        bytes_ = 0

        def others_took(self, bytes_: int) -> None:
            self.bytes_ += bytes_

    each.addresses = Told()
    for pages in (40, None, 60, 100, 90):
        notice(each, sampled(node, pages))
    assert each.addresses.bytes_ == 40 * 4096


@pytest.mark.parametrize(
    ("swapped_mib", "kept_mib", "cache_mib", "leaks"),
    [(1, 0, 0, True), (1, 1, 0, False), (2, 1, 0, True), (0, 0, 1, False)],
)
def test_a_leak_is_anonymous_memory_swapped_out_or_not_and_no_page_cache(
    node, each, swapped_mib, kept_mib, cache_mib, leaks
):
    """What was read back and is kept in swap is in memory already: it grows in swap, and no more in all."""
    for minute in range(60):
        sample = sampled(node, 40)
        stat = replace(sample.stat, swap_cached_bytes=kept_mib * minute * MIB)
        notice(each, replace(sample, stat=stat, swap_bytes=swapped_mib * minute * MIB))
        anon = look(0.0, 20.0).ages
        all_ = look(0.0, 20.0 + cache_mib * minute).ages
        see_leak(each, Looked(60.0 * minute, all_, {}, anon_ages=anon), 60.0 * minute)
    assert (each.hint is not None) is leaks


def test_reclaim_under_a_whole_agent_is_no_return(tmp_path):
    agent = AgentOn(tmp_path, containers=1)
    agent.tick(2)
    for _ in range(12):
        with agent.node.kernel.open(agent.node.container().path) as cgroup:
            assert cgroup.write("memory.reclaim", str(MIB)) is Answer.DONE
        agent.lives(1, 30.0, (0, 0))
    (each,) = agent.made.agent.reclaimer.controlled.values()
    # A pair of looks between which more was taken than is missing teaches nothing: some go by.
    assert each.survival.observations >= 6
    assert each.survival.returned_bytes.sum() == 0.0
    assert 8 * MIB <= each.survival.out_bytes.sum() <= 11 * MIB + agent.taken_bytes
