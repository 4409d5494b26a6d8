"""Agent and operator together on a container that is mostly idle file cache, minute by minute.

In: `builders.cache_heavy`, the end-to-end test's container. Out: when its limit falls, and when it must not.
"""

import pytest

from builders.cache_heavy import CacheHeavy, Life
from builders.clusters import MIB


def life(own_mib=34, cache_mib=138, hot_mib=0, **spec):
    return Life(CacheHeavy(own_mib * MIB, cache_mib * MIB, hot_mib * MIB), **spec)


async def within_a_search():
    """Four minutes after it began: what is needed is still being found out, and the limit has not moved."""
    lived = life()
    await lived.begin()
    await lived.live(4.0)
    return lived


def limits(lived):
    return [row[-1] for row in lived.rows]


async def test_the_limit_of_idle_cache_falls_once_and_within_ten_minutes():
    lived = life()
    await lived.begin()
    await lived.live(10.0)
    assert sorted(set(limits(lived))) == [112.0, 192.0]  # never up, and down in one step
    assert lived.highest_mib() == pytest.approx(34.0, rel=0.01)
    await lived.live(30.0)
    assert not lived.sought()
    assert lived.limit_mib == 112.0
    assert lived.highest_mib() == pytest.approx(34.0, rel=0.01)


async def test_it_does_not_follow_the_search_down_step_by_step():
    """Half at a time is all that a decision takes away; every change is followed by a pause."""
    lived = life(limits={"basis": "needed"})
    await lived.begin()
    await lived.live(8.0)
    assert set(limits(lived)) == {192.0}
    await lived.live(32.0)
    assert len(set(limits(lived))) == 3
    assert 34.0 < lived.limit_mib < 64.0


async def test_hot_cache_is_needed_and_holds_the_limit():
    lived = life(hot_mib=138)
    await lived.begin(past_mib=172.0)
    await lived.live(40.0)
    assert not lived.sought()
    assert lived.highest_mib() >= 170.0
    assert min(limits(lived)) >= 172.0


@pytest.mark.parametrize("after_minutes", [4.0, 9.0])
async def test_cache_that_is_read_again_counts_at_once(after_minutes):
    lived = life()
    await lived.begin()
    await lived.live(after_minutes)
    before = lived.limit_mib
    lived.container.read_again(before)
    await lived.live(1.0)
    assert not lived.sought()
    assert lived.told_mib >= min(172.0, before)
    assert lived.limit_mib >= before
    await lived.live(20.0)
    assert min(limits(lived)[-60:]) >= before


async def test_its_own_memory_that_grows_raises_the_limit_at_once():
    lived = await within_a_search()
    lived.container.own_bytes += 40 * MIB
    await lived.live(0.5)
    assert lived.limit_mib > 192.0


async def test_an_agent_that_goes_in_between_leaves_the_limit_where_it_is():
    lived = await within_a_search()
    lived.attends = False
    await lived.live(40.0)
    assert set(limits(lived)) == {192.0}
    assert lived.highest_mib() <= 34.0 or not lived.sought()


async def test_an_agent_that_comes_back_goes_on():
    lived = await within_a_search()
    lived.attends = False
    await lived.live(3.0)
    lived.attends = True
    await lived.live(10.0)
    assert lived.limit_mib == 112.0
    assert max(limits(lived)) == 192.0


async def test_an_agent_that_says_too_little_once_lowers_nothing():
    lived = life(hot_mib=138)
    await lived.begin()
    await lived.live(3.0)
    lived.lies_mib = 1.0
    await lived.live(0.25)
    lived.lies_mib = None
    await lived.live(20.0)
    assert min(limits(lived)) >= 192.0
    assert lived.highest_mib() >= 170.0


async def test_an_operator_that_restarts_in_between_begins_anew_and_raises_nothing():
    lived = await within_a_search()
    lived.restart()
    await lived.live(15.0)
    assert lived.limit_mib == 112.0
    assert max(limits(lived)) == 192.0
