"""In: a small cluster, pods whose resize hangs, restores, a pause. Out: the conditions that profiles show,
and what an operator that was started anew does about a resize that it finds under way.

Not real here: the API server and the engine's process.
"""

import numpy as np
import pytest

from builders.clusters import NOW, furnish, raw_policy, resize_condition, stamp
from builders.kubeapi import MemoryApi
from builders.loops import Rig, SpokenEngine
from plimsoll.usage.history import History
from plimsoll.usage.sample import Quantity

MINUTE = 60.0
MIB = 2**20


def rig(targets=None, **settings):
    api = furnish(MemoryApi())
    return Rig(api, SpokenEngine({"app": 2048} if targets is None else targets), **settings)


def shown(made):
    return {each["type"]: each for each in made.api.profile("statefulset-web").get("conditions", ())}


def stick(made, condition):
    pod = made.api.get("pods", "shop", "web-0")
    pod["status"]["conditions"].append(condition)
    made.api._stamped(pod)


def unstick(made):
    pod = made.api.get("pods", "shop", "web-0")
    pod["status"]["conditions"].pop()
    made.api._stamped(pod)


async def test_ready_says_what_is_missing_and_keeps_its_time_while_nothing_changes():
    made = rig(targets={})
    await made.once(NOW)
    await made.once(NOW + 40 * MINUTE)
    ready = shown(made)["Ready"]
    assert (ready["status"], ready["reason"]) == ("False", "NoHistory")
    assert ready["lastTransitionTime"] == stamp(NOW)
    assert ready["observedGeneration"] == 1
    assert "container app" in ready["message"]
    made.engine.targets = {"app": 1024}
    await made.once(NOW + 41 * MINUTE)
    ready = shown(made)["Ready"]
    assert (ready["status"], ready["reason"]) == ("True", "Recommended")
    assert ready["lastTransitionTime"] == stamp(NOW + 41 * MINUTE)


async def test_ready_names_a_source_that_is_down():
    made = rig(targets={})
    made.engine.problems = ("metrics API: no answer",)
    await made.once(NOW)
    ready = shown(made)["Ready"]
    assert (ready["reason"], ready["message"]) == ("SourceProblem", "container app: metrics API: no answer")


@pytest.mark.parametrize(
    ("kind", "reason", "said"),
    [
        ("PodResizePending", "Deferred", "Deferred"),
        ("PodResizePending", "Infeasible", "Infeasible"),
        ("PodResizeInProgress", "", "InProgress"),
        ("PodResizeInProgress", "Error", "Error"),
    ],
)
async def test_a_resize_under_way_is_told_in_the_kubelets_words_until_it_ends(kind, reason, said):
    made = rig()
    await made.once(NOW)
    await made.once(NOW + MINUTE)
    stick(made, resize_condition(kind, reason, "node is too full", since=NOW + MINUTE))
    await made.once(NOW + 2 * MINUTE)
    condition = shown(made)["Resizing"]
    assert (condition["status"], condition["reason"]) == ("True", said)
    assert condition["message"] == "pod web-0: node is too full"
    unstick(made)
    await made.once(NOW + 3 * MINUTE)
    assert "Resizing" not in shown(made)


async def test_an_old_kubernetes_and_a_pause_are_said():
    made = rig()
    made.api.server_version = "v1.34.9"
    made.paused = True
    await made.once(NOW)
    assert shown(made)["Unsupported"]["status"] == "True"
    assert "v1.34.9" in shown(made)["Unsupported"]["message"]
    assert shown(made)["Paused"]["status"] == "True"
    made.paused = False
    await made.once(NOW + MINUTE)
    assert "Paused" not in shown(made)


async def test_a_restore_goes_from_under_way_to_done_and_away():
    made = rig()
    await made.once(NOW)
    await made.once(NOW + MINUTE)
    made.api.settle()
    spec = made.api.get("memoryprofiles", "shop", "statefulset-web")["spec"]
    spec["restore"] = True
    await made.once(NOW + 2 * MINUTE)
    assert (shown(made)["Restored"]["status"], shown(made)["Restored"]["reason"]) == ("False", "UnderWay")
    made.api.settle()
    await made.once(NOW + 3 * MINUTE)
    assert (shown(made)["Restored"]["status"], shown(made)["Restored"]["reason"]) == ("True", "Done")
    spec["restore"] = False
    await made.once(NOW + 4 * MINUTE)
    assert "Restored" not in shown(made)


async def test_a_restore_that_is_refused_says_why():
    made = rig()
    await made.once(NOW)
    await made.once(NOW + MINUTE)
    made.api.settle()
    made.engine.used_mib = 1500.0  # more than the original limit
    made.api.get("memoryprofiles", "shop", "statefulset-web")["spec"]["restore"] = True
    for minute in range(2, 6):
        await made.once(NOW + minute * MINUTE)
        made.api.settle()
    restored = shown(made)["Restored"]
    assert restored["status"] == "False"
    assert made.limit() > 1024
    assert "is in use now" in restored["message"]


async def test_policies_that_tie_are_said_in_the_profile_too_and_its_memory_is_kept():
    made = rig()
    await made.once(NOW)
    made.api.put("memorypolicies", raw_policy("second"))
    await made.once(NOW + MINUTE)
    assert shown(made)["Conflict"]["status"] == "True"
    second = made.restart()
    await second.once(NOW + 2 * MINUTE)
    assert shown(second)["Conflict"]["status"] == "True"
    kept = second.api.profile("statefulset-web")["containers"][0]
    assert kept["originalResources"]["limit"] == "1Gi"
    assert kept["checkpoint"]


async def test_conditions_that_stay_are_not_written_again():
    made = rig(targets={})
    made.paused = True
    for minute in range(10):
        await made.once(NOW + minute * MINUTE)
    writes = [call for call in made.api.calls if call[:2] == ("patch_status", "memoryprofiles")]
    assert len(writes) == 2  # the first, and the first decision with a profile


async def test_peaks_and_the_end_of_the_floor_are_in_the_status():
    made = rig(targets={})
    history = History(Quantity.WORKING_SET, 1)
    row = history.add_rows(1)
    times = NOW - np.array([30 * 3600.0, 2 * 3600.0, 60.0])
    history.append(np.repeat(row, 3), times, np.array([700.0, 500.0, 200.0]) * MIB, NOW)
    data = history.checkpoint(0)

    async def checkpoints(rows):
        return dict.fromkeys(rows, data)

    made.engine.checkpoints = checkpoints
    await made.once(NOW)
    usage = made.api.profile("statefulset-web")["containers"][0]["usage"]
    day, ever = (
        int(usage[key]) if usage[key].isdigit() else usage[key] for key in ("peakDay", "peakHistory")
    )
    assert 500 * MIB <= day <= 501 * MIB
    assert 700 * MIB <= ever <= 701 * MIB
    assert usage["history"] == "30h"
    pod = made.api.get("pods", "shop", "web-0")
    ended = {"reason": "OOMKilled", "exitCode": 137, "finishedAt": stamp(NOW + 10), "containerID": "c"}
    pod["status"]["containerStatuses"][0] |= {"restartCount": 1, "lastState": {"terminated": ended}}
    made.api._stamped(pod)
    made.engine.raises = {("uid-web-0", "app"): 1229}
    await made.once(NOW + MINUTE)
    oom = made.api.profile("statefulset-web")["containers"][0]["oom"]
    assert (oom["floor"], oom["floorUntil"]) == ("1229Mi", stamp(NOW + 10 + 3600))


INFEASIBLE = resize_condition("PodResizePending", "Infeasible", "node too small", since=NOW)


async def test_a_resize_stuck_before_a_restart_is_followed_to_its_end_after_it():
    first = rig()
    await first.once(NOW)
    await first.once(NOW + MINUTE)
    assert first.limit() == 2048
    second = first.restart()
    stick(second, INFEASIBLE)
    await second.once(NOW + 2 * MINUTE)
    assert second.limit() == 1024  # taken back


async def test_it_is_still_known_as_ours_when_the_cooldown_is_long_over():
    first = rig()
    await first.once(NOW)
    await first.once(NOW + MINUTE)
    stick(first, resize_condition("PodResizePending", "Deferred", "node is full", since=NOW + MINUTE))
    for minute in range(2, 120, 10):
        await first.once(NOW + minute * MINUTE)
    decision = first.api.profile("statefulset-web")["containers"][0]["lastDecision"]
    assert (decision["kind"], decision["to"]) == ("raise", "2Gi")
    second = first.restart()
    unstick(second)
    stick(second, INFEASIBLE)
    await second.once(NOW + 121 * MINUTE)
    assert second.limit() == 1024


async def test_a_persons_own_resize_is_left_alone_after_a_restart_too():
    first = rig()
    await first.once(NOW)
    await first.once(NOW + MINUTE)
    first.api.settle()
    second = first.restart()
    pod = second.api.get("pods", "shop", "web-0")
    pod["spec"]["containers"][0]["resources"]["limits"]["memory"] = "64Gi"
    stick(second, INFEASIBLE)
    await second.once(NOW + 2 * MINUTE)
    assert second.limit() == 65536


async def test_a_resize_that_was_taken_back_is_no_longer_told_as_the_last_decision():
    made = rig()
    await made.once(NOW)
    await made.once(NOW + MINUTE)
    last = lambda: made.api.profile("statefulset-web")["containers"][0]["lastDecision"]  # noqa: E731
    stick(made, INFEASIBLE)
    await made.once(NOW + 2 * MINUTE)
    assert made.limit() == 1024
    unstick(made)
    await made.once(NOW + 3 * MINUTE)
    assert (last()["kind"], last()["reason"]) == ("hold", "Infeasible")
    assert "node too small" in last()["message"]


async def test_a_persons_own_resize_is_left_alone_after_one_of_ours():
    made = rig()
    await made.once(NOW)
    await made.once(NOW + MINUTE)
    assert made.limit() == 2048
    made.api.settle()
    pod = made.api.get("pods", "shop", "web-0")
    pod["spec"]["containers"][0]["resources"]["limits"]["memory"] = "64Gi"
    stick(made, INFEASIBLE)
    await made.once(NOW + 2 * MINUTE)
    assert made.limit() == 65536


async def test_what_a_kubelet_says_of_swap_is_learned_after_a_restart():
    first = rig()
    await first.once(NOW)
    await first.once(NOW + MINUTE)
    second = first.restart()
    text = "In-place resize of containers with swap is not supported."
    stick(second, resize_condition("PodResizePending", "Infeasible", text, since=NOW))
    await second.once(NOW + 2 * MINUTE)
    assert second.actor.learned.swapping == {"n1"}
    assert (second.limit(), second.request()) == (1024, 512)
    unstick(second)
    await second.once(NOW + 60 * MINUTE)
    assert (second.limit(), second.request()) == (2048, 512)
