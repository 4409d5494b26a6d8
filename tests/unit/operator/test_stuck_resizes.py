"""In: resizes that a kubelet puts off, refuses or cannot do. Out: how each is followed to an end."""

import pytest

from builders.clusters import (
    GIB,
    NOW,
    raw_pod,
    raw_policy,
    resize_condition,
    stamp,
)
from builders.loops import MINUTE, rig
from builders.placing import initial_of
from plimsoll_operator.actuate.api import ApiError


async def stuck(made, condition):
    await made.once(NOW)
    await made.once(NOW + MINUTE)
    pod = made.api.get("pods", "shop", "web-0")
    pod["status"]["conditions"].append(condition)
    made.api._stamped(pod)


@pytest.mark.parametrize(
    ("condition", "kept"),
    [
        (resize_condition("PodResizePending", "Deferred", since=NOW), 2048),
        (resize_condition("PodResizeInProgress", "", since=NOW), 2048),
        (resize_condition("PodResizeInProgress", "Error", "below usage", since=NOW - 3600), 1024),
        (resize_condition("PodResizePending", "Infeasible", "node too small", since=NOW), 1024),
    ],
)
async def test_a_resize_is_followed_to_an_end(condition, kept):
    made = rig()
    await made.once(NOW)
    await made.once(NOW + MINUTE)
    pod = made.api.get("pods", "shop", "web-0")
    pod["status"]["conditions"].append(condition)
    made.api._stamped(pod)
    await made.once(NOW + 2 * MINUTE)
    assert made.limit() == kept


async def test_an_infeasible_resize_is_not_asked_for_again_at_once():
    made = rig()
    await made.once(NOW)
    await made.once(NOW + MINUTE)
    pod = made.api.get("pods", "shop", "web-0")
    pod["status"]["conditions"].append(resize_condition("PodResizePending", "Infeasible", "node too small"))
    made.api._stamped(pod)
    await made.once(NOW + 2 * MINUTE)
    pod["status"]["conditions"].pop()
    made.api._stamped(pod)
    asked = len(made.api.resizes)
    for minute in range(3, 20):
        await made.once(NOW + minute * MINUTE)
    assert len(made.api.resizes) == asked


async def test_what_a_kubelet_says_of_swap_is_learned_and_the_limit_alone_asked_for():
    made = rig()
    await made.once(NOW)
    await made.once(NOW + MINUTE)
    pod = made.api.get("pods", "shop", "web-0")
    text = "In-place resize of containers with swap is not supported."
    pod["status"]["conditions"].append(resize_condition("PodResizePending", "Infeasible", text))
    made.api._stamped(pod)
    await made.once(NOW + 2 * MINUTE)
    assert (made.limit(), made.request()) == (1024, 512)
    pod["status"]["conditions"].pop()
    made.api._stamped(pod)
    await made.once(NOW + 20 * MINUTE)
    assert (made.limit(), made.request()) == (2048, 512)


def replicas(*more):
    return [raw_pod("web-0"), raw_pod("web-1"), *more]


DEFERRED = resize_condition("PodResizePending", "Deferred", "node is full", since=NOW)


async def test_a_long_deferred_resize_becomes_an_eviction_where_the_mode_allows_it():
    made = rig(*replicas(), policy=raw_policy(mode="InPlaceOrRecreate"))
    await stuck(made, DEFERRED)
    await made.once(NOW + 2 * MINUTE)
    assert made.api.evicted == []
    await made.once(NOW + 10 * MINUTE)
    assert made.api.evicted == ["web-0"]


async def test_a_disruption_budget_is_waited_for():
    made = rig(*replicas(), policy=raw_policy(mode="InPlaceOrRecreate"))
    await stuck(made, DEFERRED)
    made.api.fail("evict", ApiError(429, "TooManyRequests", "budget"))
    await made.once(NOW + 10 * MINUTE)
    assert made.api.evicted == []
    await made.once(NOW + 11 * MINUTE)
    assert made.api.evicted == ["web-0"]


async def test_a_single_replica_is_never_evicted():
    made = rig(raw_pod("web-0"), policy=raw_policy(mode="InPlaceOrRecreate"))
    await stuck(made, DEFERRED)
    await made.once(NOW + 30 * MINUTE)
    assert made.api.evicted == []


PINNED = resize_condition(
    "PodResizePending", "Infeasible", "infeasible alongside Memory Manager policy Static", since=NOW
)


async def test_a_pod_that_a_memory_manager_pins_is_moved_where_the_mode_allows_it():
    made = rig(*replicas(), policy=raw_policy(mode="InPlaceOrRecreate"))
    await stuck(made, PINNED)
    await made.once(NOW + 2 * MINUTE)
    assert made.api.evicted == ["web-0"]


async def test_a_pinned_pod_that_may_not_be_moved_is_not_asked_about_in_each_loop():
    made = rig(raw_pod("web-0"), policy=raw_policy(mode="InPlaceOrRecreate"))  # its only replica
    await stuck(made, PINNED)
    await made.once(NOW + 2 * MINUTE)
    assert made.limit() == 1024  # taken back
    made.api.get("pods", "shop", "web-0")["status"]["conditions"].pop()
    asked = len(made.api.resizes)
    for minute in range(3, 20):
        await made.once(NOW + minute * MINUTE)
    assert (len(made.api.resizes), made.api.evicted) == (asked, [])


def moved(made):
    return made.api.profile("statefulset-web")["containers"][0].get("moved")


async def test_what_a_pod_is_evicted_for_is_on_record_before_it_is_and_for_a_day():
    made = rig(*replicas(), policy=raw_policy(mode="InPlaceOrRecreate"))
    await stuck(made, PINNED)
    made.api.fail("patch_status memoryprofiles", ApiError(500, "InternalError", "etcd"), times=99)
    await made.once(NOW + 2 * MINUTE)
    assert (made.api.evicted, moved(made)) == ([], None)
    made.api._failures.clear()
    await made.once(NOW + 3 * MINUTE)
    assert made.api.evicted == ["web-0"]
    assert moved(made) == {"limit": "2Gi", "time": stamp(NOW + 3 * MINUTE)}
    made = made.restart()
    await made.once(NOW + 20 * MINUTE)
    assert moved(made) == {"limit": "2Gi", "time": stamp(NOW + 3 * MINUTE)}
    await made.once(NOW + 90_000)
    await made.once(NOW + 93_600)
    assert moved(made) is None


async def test_the_successor_of_an_evicted_pod_is_given_its_limit_before_the_next_loop_reads_the_profile():
    made = rig(*replicas(), policy=raw_policy(mode="InPlaceOrRecreate"))
    await stuck(made, PINNED)
    await made.once(NOW + 2 * MINUTE)
    assert made.api.evicted == ["web-0"]
    (seen,) = made.loop.world.profiles.values()
    assert seen.container("app").moved is None  # the loop looked before it wrote
    successor = raw_pod("web-2")
    del successor["status"]
    made.loop.loops = 1
    assert initial_of(made).values(successor, "shop")["app"].limit_bytes == 2 * GIB


async def test_a_pod_that_was_born_with_too_little_after_an_eviction_is_not_evicted_in_its_turn():
    made = rig(*replicas(), policy=raw_policy(mode="InPlaceOrRecreate"))
    await stuck(made, PINNED)
    await made.once(NOW + 2 * MINUTE)
    assert made.api.evicted == ["web-0"]
    born = raw_pod("web-2")  # nobody gave it more
    born["status"]["containerStatuses"][0]["state"]["running"]["startedAt"] = stamp(NOW + 3 * MINUTE)
    made.api.put("pods", born)
    await made.once(NOW + 4 * MINUTE)
    made.api.get("pods", "shop", "web-2")["status"]["conditions"].append(PINNED)
    made.api._stamped(made.api.get("pods", "shop", "web-2"))
    for minute in range(5, 30):
        await made.once(NOW + minute * MINUTE)
    assert made.api.evicted == ["web-0"]
