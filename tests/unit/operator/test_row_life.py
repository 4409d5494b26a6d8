"""Rows and profiles of workloads that come and go: nothing leaks, nothing is forgotten too early."""

import pytest

from builders.clusters import NOW, furnish, owner, raw_pod, raw_policy
from builders.kubeapi import MemoryApi
from builders.loops import Rig, SpokenEngine
from plimsoll_operator.actuate.api import ApiError

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
PROFILE = "statefulset-web"


def rig(*pods, policy=None):
    return Rig(furnish(MemoryApi(), *(pods or (raw_pod(),)), policy=policy), SpokenEngine({"app": 2048}))


def scale_to_zero(made, *names):
    for name in names or ("web-0",):
        del made.api.objects["pods", "shop", name]


def rows(made):
    return {each.key.workload.name: each.row for each in made.engine.members.values()}


async def hourly(made, hours, start):
    """Loop once an hour; returns the time of the last loop."""
    for hour in range(hours + 1):
        await made.once(start + hour * HOUR)
    return start + hours * HOUR


async def test_a_row_outlives_its_pods_by_a_day_and_no_longer():
    made = rig()
    await made.once(NOW)
    scale_to_zero(made)
    await made.once(NOW + MINUTE)
    await made.once(NOW + MINUTE + DAY - 1)
    assert made.engine.forgotten == []
    await made.once(NOW + MINUTE + DAY)
    assert made.engine.forgotten == [0]


async def test_a_workload_that_is_back_within_a_day_keeps_its_row():
    made = rig()
    await made.once(NOW)
    scale_to_zero(made)
    await made.once(NOW + MINUTE)
    made.api.put("pods", raw_pod("web-0", uid="another"))
    await made.once(NOW + 20 * HOUR)
    assert (rows(made), made.engine.forgotten) == ({"web": 0}, [])


async def test_a_workload_that_is_back_later_is_restored_from_its_profile_into_whatever_row_it_gets():
    made = rig()
    await made.once(NOW)
    scale_to_zero(made)
    await made.once(NOW + MINUTE)
    await made.once(NOW + 2 * DAY)
    made.api.put("pods", raw_pod("api-0", owner=owner(name="api")))  # takes the number over
    await made.once(NOW + 2 * DAY + MINUTE)
    made.api.put("pods", raw_pod("web-0", uid="another"))
    await made.once(NOW + 2 * DAY + 2 * MINUTE)
    assert rows(made) == {"api": 0, "web": 1}
    assert made.engine.restored[1] == b"past of row 0"


async def test_what_was_recommended_for_a_workload_is_not_asked_of_the_next_owner_of_its_row():
    made = rig()
    await made.once(NOW)
    asks = made.loop._parts.asks
    assert asks.knows(0)
    scale_to_zero(made)
    await made.once(NOW + MINUTE)
    made.engine.targets = {}
    await made.once(NOW + 2 * DAY)
    made.api.put("pods", raw_pod("api-0", owner=owner(name="api")))
    await made.once(NOW + 2 * DAY + MINUTE)
    assert rows(made) == {"api": 0}
    assert not asks.knows(0)


async def test_churn_does_not_fill_the_engine():
    made = rig()
    for day in range(30):
        name = f"w{day}"
        made.api.put("pods", raw_pod(f"{name}-0", owner=owner(name=name)))
        await made.once(NOW + day * DAY)
        scale_to_zero(made, f"{name}-0")
        await made.once(NOW + day * DAY + HOUR)
    assert len(made.membership._ids) <= 3
    assert max(made.engine.forgotten) <= 3


async def test_the_runs_of_a_job_share_a_row_and_a_profile_without_an_owner():
    made = rig()
    for run in range(3):
        job = owner("Job", f"report-2026112{run}", "batch/v1")
        made.api.put("jobs", {"kind": "Job", "metadata": {"name": job["name"], "namespace": "shop"}})
        made.api.put("pods", raw_pod(f"report-{run}", owner=job))
        await made.once(NOW + run * 20 * HOUR)
        assert rows(made)["report-*"] == 1
        scale_to_zero(made, f"report-{run}")
        await made.once(NOW + run * 20 * HOUR + HOUR)
    profiles = [key for key in made.api.objects if key[0] == "memoryprofiles" and "report" in key[2]]
    assert len(profiles) == 1
    assert made.api.objects[profiles[0]]["metadata"]["ownerReferences"] == []


async def test_the_last_word_about_a_workload_has_its_newest_history_and_no_pods():
    made = rig()
    await made.once(NOW)
    assert made.api.profile(PROFILE)["pods"] == 1
    scale_to_zero(made)
    writes = len(made.api.calls)
    for minute in range(1, 4):
        await made.once(NOW + minute * MINUTE)
    written = [call for call in made.api.calls[writes:] if call[:2] == ("patch_status", "memoryprofiles")]
    assert len(written) == 1
    assert made.api.profile(PROFILE)["pods"] == 0
    assert made.api.profile(PROFILE)["containers"][0]["checkpoint"]


async def test_a_profile_that_went_with_its_owner_is_not_written_anew():
    made = rig()
    await made.once(NOW)
    scale_to_zero(made)
    made.api.fail("patch_status memoryprofiles", ApiError(404, "NotFound", PROFILE))
    creations = [call for call in made.api.calls if call[0] == "create"]
    await made.once(NOW + MINUTE)
    assert [call for call in made.api.calls if call[0] == "create"] == creations


async def test_a_successor_brings_profiles_up_to_date_whose_pods_went_unseen():
    made = rig()
    await made.once(NOW)
    scale_to_zero(made)
    del made.api.objects["memorypolicies", "shop", "web"]
    after = made.restart()
    await after.once(NOW + HOUR)
    await after.once(NOW + HOUR + MINUTE)
    status = made.api.profile(PROFILE)
    assert (status["pods"], "policy" in status, "mode" in status) == (0, False, False)
    assert status["containers"][0]["originalResources"]


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_policy_that_is_gone_is_taken_off_the_profile_and_all_else_stays(restarted):
    made = rig()
    await made.once(NOW)
    status = made.api.profile(PROFILE)
    assert (status["policy"], status["mode"]) == ("MemoryPolicy shop/web", "InPlace")
    del made.api.objects["memorypolicies", "shop", "web"]
    after = made.restart() if restarted else made
    await after.once(NOW + MINUTE)
    status = made.api.profile(PROFILE)
    assert ("policy" in status, "mode" in status) == (False, False)
    assert status["containers"][0]["checkpoint"]
    ready = next(each for each in status["conditions"] if each["type"] == "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "NoPolicy")


async def test_a_tie_takes_the_policy_off_the_profile():
    made = rig()
    await made.once(NOW)
    made.api.put("memorypolicies", raw_policy("second"))
    await made.once(NOW + MINUTE)
    status = made.api.profile(PROFILE)
    assert ("policy" in status, status["mode"]) == (False, "Off")


async def test_a_profile_is_deleted_28_days_after_its_last_pod():
    made = rig()
    await made.once(NOW)
    scale_to_zero(made)
    await hourly(made, 24, NOW + MINUTE)
    for day in range(2, 28):
        await made.once(NOW + day * DAY)
        assert ("memoryprofiles", "shop", PROFILE) in made.api.objects
    await made.once(NOW + 29 * DAY)
    assert ("memoryprofiles", "shop", PROFILE) not in made.api.objects


async def test_a_clock_that_jumps_or_an_operator_that_was_away_deletes_nothing():
    made = rig()
    await made.once(NOW)
    scale_to_zero(made)
    await made.once(NOW + MINUTE)
    for jump in (400 * DAY, 401 * DAY, 500 * DAY):
        await made.once(NOW + jump)
    after = made.restart()
    last = await hourly(after, 23, NOW + 500 * DAY)
    assert ("memoryprofiles", "shop", PROFILE) in made.api.objects
    await after.once(last + HOUR)
    assert ("memoryprofiles", "shop", PROFILE) not in made.api.objects


async def test_a_standby_deletes_nothing():
    made = rig()
    await made.once(NOW)
    scale_to_zero(made)
    made.monotonic = 1e9  # its lease has run out
    for day in range(1, 40):
        await made.once(NOW + day * DAY, leading=False)
    assert ("memoryprofiles", "shop", PROFILE) in made.api.objects
