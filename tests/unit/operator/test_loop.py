"""In: a small cluster behind `MemoryApi` and what the engine says. Out: what the loop writes, one `once(now)`
at a time.

Not real here: the API server (its semantics are the contract suite's) and the engine's process.
"""

import pytest

from builders.clusters import (
    GIB,
    MIB,
    NOW,
    furnish,
    owner,
    raw_kube_node,
    raw_pod,
    raw_policy,
    resize_condition,
    stamp,
)
from builders.kubeapi import MemoryApi
from builders.loops import Rig, SpokenEngine
from plimsoll_operator.actuate.api import ApiError
from plimsoll_operator.engine.messages import OomEvent, RestartEvent

MINUTE = 60.0


def rig(*pods, policy=None, targets=None, **settings):
    api = furnish(MemoryApi(), *pods, policy=policy)
    return Rig(api, SpokenEngine({"app": 2048} if targets is None else targets), **settings)


async def test_a_recommendation_becomes_a_resize_after_the_originals_are_on_record():
    made = rig()
    plans = await made.once(NOW)
    assert [each.decision.reason for each in plans.rows.values()] == ["NoProfile"]
    assert made.api.resizes == []
    assert made.api.profile("statefulset-web")["containers"][0]["originalResources"] == {
        "limit": "1Gi",
        "request": "512Mi",
    }
    await made.once(NOW + MINUTE)
    assert (made.limit(), made.request()) == (2048, 1024)
    decision = made.api.profile("statefulset-web")["containers"][0]["lastDecision"]
    assert (decision["kind"], decision["from"], decision["to"]) == ("raise", "1Gi", "2Gi")


async def test_nothing_is_applied_twice_while_the_index_lags():
    made = rig()
    await made.once(NOW)
    stale = made.api.world()
    await made.once(NOW + MINUTE)

    async def behind():
        return stale  # the watch is behind: it still shows the old limit

    made.loop._parts.snapshot = behind
    for minute in range(2, 4):
        await made.once(NOW + minute * MINUTE)
    assert len(made.api.resizes) == 1


async def test_an_overlay_ends_when_the_watch_stays_behind_for_ever():
    made = rig()
    await made.once(NOW)
    await made.once(NOW + MINUTE)
    assert len(made.actor.expectations) == 1
    made.api.settle()
    await made.once(NOW + 2 * MINUTE)
    assert len(made.actor.expectations) == 0


async def test_a_standby_plans_and_writes_nothing():
    made = rig()
    made.api.put(
        "leases",
        {
            "metadata": {"name": "plimsoll-operator", "namespace": "plimsoll-system"},
            "spec": {"holderIdentity": "other", "leaseDurationSeconds": 15, "renewTime": "x"},
        },
    )
    for minute in range(3):
        await made.once(NOW + minute * MINUTE)
    assert not made.leader.holds()
    assert made.engine.members
    assert not [call for call in made.api.calls if call[0] in ("create", "resize", "patch_status")]


async def test_leadership_lost_in_the_middle_of_a_loop_stops_its_writes():
    made = rig()
    await made.once(NOW)
    made.monotonic += 100.0  # the process was stopped; the Lease ran out meanwhile
    await made.once(NOW + MINUTE, leading=False)
    assert made.api.resizes == []


async def test_without_a_policy_nothing_is_even_watched():
    made = rig(raw_pod(labels={"app": "other"}))
    await made.once(NOW)
    assert made.engine.members == {}
    assert ("memoryprofiles", "shop", "statefulset-web") not in made.api.objects


async def test_policies_in_conflict_both_say_so_and_none_acts():
    made = rig()
    made.api.put("memorypolicies", raw_policy("second"))
    for minute in range(3):
        await made.once(NOW + minute * MINUTE)
    for name in ("web", "second"):
        condition = made.api.get("memorypolicies", "shop", name)["status"]["conditions"][0]
        assert (condition["type"], condition["status"]) == ("Conflict", "True")
        assert "second" in condition["message"]
    assert made.api.resizes == []
    writes = len(made.api.calls)
    await made.once(NOW + 3 * MINUTE)
    assert not [call for call in made.api.calls[writes:] if call[0] == "patch_status"]


async def test_policy_off_leaves_limits_as_they_are():
    made = rig()
    await made.once(NOW)
    await made.once(NOW + MINUTE)
    made.api.put("memorypolicies", raw_policy(mode="Off"))
    made.engine.targets["app"] = 4096
    await made.once(NOW + 20 * MINUTE)
    assert made.limit() == 2048


@pytest.mark.parametrize("mode", ["Recommend", "Initial"])
async def test_modes_that_do_not_touch_running_pods(mode):
    made = rig(policy=raw_policy(mode=mode))
    for minute in range(3):
        await made.once(NOW + minute * MINUTE)
    assert made.api.resizes == []
    shown = made.api.profile("statefulset-web")["containers"][0]
    assert shown["recommendation"]["target"] == "2Gi"


async def test_paused_holds_and_resumed_acts_within_one_loop():
    made = rig()
    await made.once(NOW)
    made.paused = True
    plans = await made.once(NOW + MINUTE)
    assert {each.decision.reason for each in plans.rows.values()} == {"Paused"}
    made.paused = False
    await made.once(NOW + 2 * MINUTE)
    assert made.limit() == 2048


async def test_restore_puts_the_original_resources_back_and_holds_them():
    made = rig()
    await made.once(NOW)
    await made.once(NOW + MINUTE)
    made.api.settle()
    assert made.limit() == 2048
    made.api.get("memoryprofiles", "shop", "statefulset-web")["spec"]["restore"] = True
    await made.once(NOW + 2 * MINUTE)
    assert (made.limit(), made.request()) == (1024, 512)
    made.api.settle()
    await made.once(NOW + 30 * MINUTE)
    assert made.limit() == 1024
    made.api.get("memoryprofiles", "shop", "statefulset-web")["spec"]["restore"] = False
    await made.once(NOW + 60 * MINUTE)
    assert made.limit() == 2048


async def test_an_oom_kill_is_told_once_and_raises_at_once():
    made = rig(targets={})
    await made.once(NOW)
    made.api.put("pods", raw_pod(oom_at=NOW + 10, restarts=1))
    made.engine.raises = {("uid-web-0", "app"): 1229}
    await made.once(NOW + 20)
    assert made.limit() == 1229
    made.engine.raises = {}
    await made.once(NOW + 80)
    told = [each for each in made.engine.events if isinstance(each, OomEvent)]
    assert [(each.at_seconds, each.limit_bytes) for each in told] == [(NOW + 10, GIB)]
    oom = made.api.profile("statefulset-web")["containers"][0]["oom"]
    assert (oom["count"], oom["limit"], oom["floor"]) == (1, "1Gi", "1229Mi")


async def test_a_kill_is_on_record_before_the_pod_is_touched():
    made = rig(targets={})
    await made.once(NOW)
    made.api.put("pods", raw_pod(oom_at=NOW + 10, restarts=1))
    made.engine.raises = {("uid-web-0", "app"): 1229}
    made.api.calls.clear()
    await made.once(NOW + 20)
    order = [call[0] for call in made.api.calls if call[0] in ("patch_status", "resize")]
    assert order[:2] == ["patch_status", "resize"]


async def test_an_old_kill_is_history_not_an_alarm():
    made = rig(raw_pod(oom_at=NOW - 86_400, restarts=1), targets={})
    await made.once(NOW)
    assert made.engine.events == []


async def test_a_restart_without_a_kill_is_told_as_a_restart():
    made = rig(targets={})
    await made.once(NOW)
    made.api.put("pods", raw_pod(restarts=1))
    await made.once(NOW + MINUTE)
    assert [type(each) for each in made.engine.events] == [RestartEvent]


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


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (ApiError(404, "NotFound", "gone"), "failed"),
        (ApiError(409, "Conflict", "another uid"), "failed"),
        (ApiError(422, "Invalid", "limit too low"), "refused"),
    ],
)
async def test_a_write_that_is_refused_for_good_is_not_repeated_blindly(error, outcome):
    made = rig()
    await made.once(NOW)
    made.api.fail("resize", error)
    await made.once(NOW + MINUTE)
    assert made.metrics.value("plimsoll_resizes_total", direction="raise", outcome=outcome) == 1
    await made.once(NOW + 2 * MINUTE)
    assert made.limit() == (1024 if outcome == "refused" else 2048)


async def test_a_vanished_pod_is_forgotten():
    made = rig()
    await made.once(NOW)
    await made.once(NOW + MINUTE)
    del made.api.objects["pods", "shop", "web-0"]
    await made.once(NOW + 2 * MINUTE)
    assert made.engine.members == {}
    assert made.membership.groups == {}
    assert made.actor.changes == {}


async def test_a_pod_recreated_under_its_name_is_another_pod():
    made = rig()
    await made.once(NOW)
    made.api.put("pods", raw_pod(uid="uid-new"))
    await made.once(NOW + MINUTE)
    assert {uid for uid, _ in made.engine.members} == {"uid-new"}


async def test_an_unknown_namespace_is_no_fault():
    made = rig()
    del made.api.objects["namespaces", "", "shop"]
    for minute in range(2):
        await made.once(NOW + minute * MINUTE)
    assert made.limit() == 2048


async def test_a_source_that_is_down_holds_everything_with_its_reason():
    made = rig()
    await made.once(NOW)
    made.engine.problems = ("metrics API: no answer",)
    plans = await made.once(NOW + MINUTE)
    choice = next(iter(plans.rows.values()))
    assert (choice.decision.kind, choice.decision.reason) == ("hold", "SourceProblem")
    assert "no answer" in choice.decision.message


async def test_an_old_kubernetes_is_only_advised():
    made = rig()
    made.api.server_version = "v1.34.9"
    for minute in range(3):
        await made.once(NOW + minute * MINUTE)
    assert made.api.resizes == []


async def test_a_profile_is_written_seldom_unless_a_decision_acts():
    made = rig(targets={"app": 1024})
    for minute in range(60):
        await made.once(NOW + minute * MINUTE)
    writes = [call for call in made.api.calls if call[:2] == ("patch_status", "memoryprofiles")]
    assert 1 <= len(writes) <= 3
    shown = made.api.profile("statefulset-web")["containers"][0]
    assert shown["checkpoint"]
    assert shown["usage"]["current"] == "200Mi"


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


async def stuck(made, condition):
    await made.once(NOW)
    await made.once(NOW + MINUTE)
    pod = made.api.get("pods", "shop", "web-0")
    pod["status"]["conditions"].append(condition)
    made.api._stamped(pod)


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


async def test_a_rate_is_kept_over_all_pods():
    made = rig(*(raw_pod(f"web-{n}") for n in range(5)), max_resizes_per_minute=2)
    await made.once(NOW)
    await made.once(NOW + MINUTE)
    assert len(made.api.resizes) == 2
    await made.once(NOW + 3 * MINUTE)
    assert len(made.api.resizes) == 4


async def test_the_room_of_a_quota_is_given_out_once():
    made = rig(raw_pod("web-0"), raw_pod("web-1"))
    made.api.put(
        "resourcequotas",
        {
            "metadata": {"name": "q", "namespace": "shop"},
            "spec": {"hard": {"limits.memory": "3Gi"}},
            "status": {"used": {"limits.memory": "2Gi"}},
        },
    )
    await made.once(NOW)
    await made.once(NOW + MINUTE)
    assert made.limit("web-0") + made.limit("web-1") == 3072


async def test_replicas_share_a_row_and_daemonset_pods_one_for_each_class_of_kube_node():
    daemons = [raw_pod(f"agent-{n}", node=f"n{n}", owner=owner("DaemonSet", "agent")) for n in range(3)]
    made = rig(raw_pod("web-0"), raw_pod("web-1"), *daemons)
    for number, kind in ((0, "small"), (1, "large"), (2, "large")):
        label = {"node.kubernetes.io/instance-type": kind}
        made.api.put("nodes", raw_kube_node(f"n{number}", labels=label))
    await made.once(NOW)
    keys = {(each.pod): (each.row, each.key.node_class) for each in made.engine.members.values()}
    assert keys["web-0"][0] == keys["web-1"][0]
    assert [keys[f"agent-{n}"][1] for n in range(3)] == ["small", "large", "large"]
    assert keys["agent-1"] == keys["agent-2"] != keys["agent-0"]
    assert ("memoryprofiles", "shop", "daemonset-agent-large") in made.api.objects


async def test_a_loop_that_fails_is_survived():
    made = rig()
    made.loop._parts.snapshot = lambda: 1 / 0
    await made.loop._safely(NOW)
    assert made.metrics.value("plimsoll_loops_total", outcome="failed") == 1


async def test_events_are_written_for_what_was_done():
    made = rig()
    await made.once(NOW)
    await made.once(NOW + MINUTE)
    notes = [body for (plural, _, _), body in made.api.objects.items() if plural == "events"]
    assert [(each["reason"], each["regarding"]["name"]) for each in notes] == [("Forecast", "web-0")]
    assert "2.00 GiB" in notes[0]["note"]


async def test_a_held_container_still_shows_when_it_was_seen():
    made = rig(raw_pod(phase="Pending", node=""), targets={})
    await made.once(NOW)
    assert made.engine.members == {}
    made.api.put("pods", raw_pod())
    await made.once(NOW + MINUTE)
    shown = made.api.profile("statefulset-web")
    assert shown["pods"] == 1
    assert shown["updatedTime"] == stamp(NOW + MINUTE)
    assert made.limit() * MIB == GIB


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
    calls = [call for call in made.api.calls if call[1:2] == ("memoryprofiles",)]
    assert [call[0] for call in calls] == ["page"] * 3
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
