"""In: an operator on a small cluster, and another one after it. Out: what the second writes: nothing is lost,
repeated or lowered for want of memory.
"""

import pytest

from builders.clusters import (
    NOW,
    owner,
    raw_pod,
    raw_policy,
)
from builders.loops import MINUTE, rig
from plimsoll_operator.actuate.api import ApiError


async def test_another_operator_goes_on_where_the_last_was_killed():
    first = rig()
    await first.once(NOW)
    await first.once(NOW + MINUTE)
    assert first.limit() == 2048
    second = first.restart()
    second.engine.targets["app"] = 700  # its history is short: it would lower
    second.settings = first.settings
    await second.once(NOW + 2 * MINUTE)
    assert second.limit() == 2048  # the cooldown is read off the profile
    assert second.engine.restored
    assert second.api.profile("statefulset-web")["containers"][0]["originalResources"]["limit"] == "1Gi"


async def test_a_kill_is_remembered_for_new_pods_though_the_history_is_short():
    first = rig(targets={})
    await first.once(NOW)
    first.api.put("pods", raw_pod(oom_at=NOW + 10, restarts=1))
    first.engine.raises = {("uid-web-0", "app"): 1229}
    await first.once(NOW + 20)
    second = first.restart()
    second.api.put("pods", raw_pod("web-1"))  # with its template's limit; the engine is not ready for its row
    await second.once(NOW + 5 * MINUTE)
    assert second.limit("web-1") == 1229
    await second.once(NOW + 6 * MINUTE)
    assert second.limit("web-1") == 1229
    later = first.restart()
    later.api.put("pods", raw_pod("web-2"))
    await later.once(NOW + 25 * 60 * MINUTE)
    assert later.limit("web-2") == 1024  # a day later it is history


def two_workloads(per_hour):
    """Pods of two workloads whose policy allows so many routine changes an hour."""
    policy = raw_policy(updates={"budget": {"resizesPerHour": per_hour}})
    return rig(raw_pod(), raw_pod("api-0", owner=owner(name="api")), policy=policy)


async def test_a_budget_outlives_the_operator():
    first = two_workloads(1)
    for minute in range(3):
        await first.once(NOW + minute * MINUTE)
    assert sorted((first.limit(), first.limit("api-0"))) == [1024, 2048]
    second = first.restart()
    await second.once(NOW + 10 * MINUTE)
    assert sorted((second.limit(), second.limit("api-0"))) == [1024, 2048]
    await second.once(NOW + 65 * MINUTE)
    assert (second.limit(), second.limit("api-0")) == (2048, 2048)


async def test_budget_and_cooldown_pass_on_to_a_standby_that_takes_over():
    first = two_workloads(1)
    standby = first.restart()
    await standby.once(NOW - MINUTE, leading=False)
    for minute in range(3):
        await first.once(NOW + minute * MINUTE)
    standby.engine.targets = {"app": 700}
    await standby.once(NOW + 10 * MINUTE)
    assert sorted((standby.limit(), standby.limit("api-0"))) == [1024, 2048]


async def test_after_a_restart_nothing_falls_until_it_has_settled():
    first = rig(settle=3600.0, targets={"app": 700})
    for minute in range(3):
        await first.once(NOW + minute * MINUTE)
    assert first.limit() == 1024
    await first.once(NOW + 3700)
    assert first.limit() == 700


async def test_what_is_known_without_a_gap_need_not_settle():
    made = rig(settle=3600.0, targets={"app": 700})
    await made.once(NOW)
    await made.once(NOW + MINUTE)
    assert made.limit() == 1024
    made.engine.covered = ("app",)
    await made.once(NOW + 2 * MINUTE)
    assert made.limit() == 700


async def many(size, **settings):
    """A cluster of `size` workloads whose profiles a predecessor has written."""
    pods = [raw_pod(f"web{n}-0", owner=owner(name=f"web{n}")) for n in range(size)]
    first = rig(*pods, targets={}, **settings)
    await first.once(NOW)
    second = first.restart()
    second.api.calls.clear()
    return second


async def test_after_a_restart_many_histories_are_listed_not_read_one_by_one():
    made = await many(130)
    await made.once(NOW + MINUTE)
    assert len(made.engine.restored) == 130
    calls = [call[0] for call in made.api.calls if call[1:2] == ("memoryprofiles",)]
    assert [call for call in calls if call != "patch_status"] == ["page"] * 3
    await made.once(NOW + 2 * MINUTE)
    assert len([call for call in made.api.calls if call[0] == "page"]) == 3


@pytest.mark.parametrize(("size", "method"), [(1, "read memoryprofiles"), (130, "page")])
async def test_a_history_that_cannot_be_read_now_is_not_written_over(size, method):
    made = await many(size)
    made.api.fail(method, ApiError(503, "ServiceUnavailable", "etcd has no leader"))
    made.engine.targets = {"app": 2048}  # something worth a write
    await made.once(NOW + 40 * MINUTE)
    assert made.engine.restored == {}
    assert not [call for call in made.api.calls if call[:2] == ("patch_status", "memoryprofiles")]
    await made.once(NOW + 41 * MINUTE)
    assert len(made.engine.restored) == size
    assert [call for call in made.api.calls if call[:2] == ("patch_status", "memoryprofiles")]


async def test_nothing_is_lowered_while_its_history_cannot_be_read():
    made = await many(1)
    made.engine.targets = {"app": 700}
    for loop in range(2):
        made.api.fail("read memoryprofiles", ApiError(503, "ServiceUnavailable", "etcd has no leader"))
        await made.once(NOW + (40 + loop) * MINUTE)
        assert made.limit("web0-0") == 1024
    await made.once(NOW + 42 * MINUTE)
    assert made.limit("web0-0") == 700


async def test_an_engine_that_is_started_anew_waits_for_histories_that_cannot_be_read():
    made = await many(2)
    await made.once(NOW + MINUTE)
    rows = sorted(made.engine.restored)
    keeper = made.loop._parts.keeper
    assert await keeper.stored(rows) == made.engine.restored
    made.api.fail("read", ApiError(503, "ServiceUnavailable", "etcd has no leader"))
    with pytest.raises(ApiError):
        await keeper.stored(rows)
