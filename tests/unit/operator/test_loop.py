"""In: a small cluster behind `MemoryApi` and what the engine says. Out: what the loop writes, one `once(now)`
at a time.

Not real here: the API server (its semantics are the contract suite's) and the engine's process.
"""

import numpy as np
import pytest

from builders.clusters import (
    GIB,
    MIB,
    NOW,
    owner,
    raw_kube_node,
    raw_pod,
    raw_policy,
    stamp,
)
from builders.loops import MINUTE, rig
from plimsoll.usage.history import History
from plimsoll.usage.sample import Quantity
from plimsoll_operator.actuate.api import ApiError
from plimsoll_operator.engine.messages import OomEvent, RestartEvent


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


async def test_what_was_held_is_decided_when_the_hold_ends_not_when_it_is_asked_again():
    """A recommendation stands for an hour; it is not lost on a hold that came and went meanwhile."""
    made = rig()
    made.engine.held = "NeedUnknown"
    for minute in range(3):
        await made.once(NOW + minute * MINUTE)
    made.engine.targets = {}  # nothing new is recommended from here on, and no object changes
    for minute in range(3, 5):
        assert (await made.once(NOW + minute * MINUTE)).rows == {}
    assert made.limit() == 1024
    made.engine.held = ""
    await made.once(NOW + 5 * MINUTE)
    assert made.limit() == 2048


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


async def test_a_new_profile_soon_says_more_than_that_it_is_not_written_yet():
    made = rig(targets={})
    await made.once(NOW)
    assert made.api.profile("statefulset-web")["containers"][0]["lastDecision"]["reason"] == "NoProfile"
    await made.once(NOW + MINUTE)
    shown = made.api.profile("statefulset-web")["containers"][0]
    assert shown["lastDecision"]["reason"] == "NoHistory"
    await made.once(NOW + 2 * MINUTE)
    writes = [call for call in made.api.calls if call[:2] == ("patch_status", "memoryprofiles")]
    assert len(writes) == 2


async def test_how_promises_were_kept_is_in_the_profile():
    history = History(Quantity.WORKING_SET, 1)
    row = history.add_rows(1)
    history.append(row, [NOW], [200 * 2**20], NOW)
    for broken in (0.0, 0.0, 0.0, 1.0):
        history.promises.promise(row, 0, np.array([3e8]), np.array([0.002]))
        history.promises.close(row, np.array([broken]), np.array([0.1]))
    made = rig(targets={"app": 1024})

    async def checkpoints(rows):
        return dict.fromkeys(rows, history.checkpoint(0))

    made.engine.checkpoints = checkpoints
    for minute in range(60):
        await made.once(NOW + minute * MINUTE)
    kept = made.api.profile("statefulset-web")["containers"][0]["forecast"]["promises"]
    assert kept["hours"] == 4.0
    assert (kept["promised"], kept["realised"]) == (0.002, 0.251)  # the newest weighs most
    assert kept["bufferShift"] == pytest.approx(0.1052)


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
