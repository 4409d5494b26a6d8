"""Operator's loop and agent's loop joined by a real stream: a forecast becomes memory.max, a burst a lease.

Not real here: the kernel (a twin behind the same door), the API server and the kubelet (`builders.joined`).
"""

import pytest

from builders.attending import until
from builders.clusters import NOW
from builders.joined import join
from builders.loops import MINUTE


@pytest.fixture
async def joined(tmp_path):
    async with join(tmp_path) as made:
        yield made


async def test_a_forecast_lowers_the_limit_after_the_agent_has_made_room(joined):
    await joined.loop(NOW + MINUTE)
    assert joined.spec_mib() == 80
    await until(lambda: not joined.beside.companion._heard.empty())
    await joined.heed(8)
    assert joined.usage_mib() <= 57  # taken in the kernel before the limit falls
    await until(lambda: joined.desks.woken)
    assert joined.spec_mib() == 80
    await joined.loop(joined.agent.now)
    assert joined.spec_mib() == 60
    assert joined.usage_mib() < 60
    await until(lambda: not joined.beside.companion._heard.empty())
    joined.kubelet()
    await joined.heed(3)
    await until(lambda: joined.rig.metrics.value("plimsoll_shrinks_total", outcome="done") == 1)


async def test_a_kubelet_that_does_nothing_is_rolled_back(joined):
    await joined.loop(NOW + MINUTE)
    await until(lambda: not joined.beside.companion._heard.empty())
    await joined.heed(8)
    await joined.loop(joined.agent.now)
    assert joined.spec_mib() == 60
    for _ in range(8):
        joined.agent.now += 10.0
        await joined.heed(1)
    await joined.loop(joined.agent.now)
    assert joined.spec_mib() == 80
    assert joined.rig.metrics.value("plimsoll_shrinks_total", outcome="rolled-back") == 1


async def test_a_burst_is_lent_room_before_it_meets_its_limit(joined):
    joined.rig.engine.targets["app"] = 80
    await joined.loop(NOW + MINUTE)
    lent = joined.burst()
    assert lent
    await until(lambda: joined.spec_mib() > 80)
    assert joined.usage_mib() < 80  # there was still room when it came
    await until(lambda: not joined.beside.companion._heard.empty())
    await joined.heed(1)
    assert joined.beside.companion.leases["granted"] == 1


@pytest.mark.parametrize(("basis", "falls_to"), [("needed", 60), ("usage", None)])
async def test_a_limit_falls_below_what_was_in_use_only_where_it_is_made_for_need_and_the_rest_is_given_back(
    tmp_path, basis, falls_to
):
    async with join(tmp_path, limits={"basis": basis}, reclaim={"mode": "Cold"}) as joined:
        joined.rig.engine.used_mib = 75.0  # says the usage source, to the end
        desk, (pod,) = joined.desks.desk, joined.rig.loop.world.pods
        joined.agent.tick(2)
        if falls_to is not None:
            await until(lambda: desk.needed_bytes(pod, pod.containers[0], joined.now) is not None)
        await joined.loop(NOW + MINUTE)
        assert joined.spec_mib() >= 79  # present use and its margin
        if falls_to is None:
            return
        await until(lambda: not joined.beside.companion._heard.empty())
        await joined.heed(8)
        await until(lambda: joined.desks.woken)
        assert joined.spec_mib() == 80
        await joined.loop(joined.agent.now)
        assert (joined.spec_mib(), joined.usage_mib() <= 57) == (falls_to, True)
        await until(lambda: not joined.beside.companion._heard.empty())
        joined.kubelet()
        await joined.heed(3)
        await until(lambda: joined.rig.metrics.value("plimsoll_shrinks_total", outcome="done") == 1)
