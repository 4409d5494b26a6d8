"""In: a container that leaks, and what its policy says of that. Out: what is said, followed, restarted."""

import pytest

from builders.clusters import NOW, raw_pod, raw_policy
from builders.loops import MINUTE, rig
from plimsoll_operator.actuate.api import ApiError

HOUR = 3600.0


def leaky(action=None, *, pods=("web-0", "web-1"), mib_per_hour=100.0, mode="InPlaceOrRecreate", **spec):
    """Pods of 1 GiB that use 900 MiB and grow; what is forecast for them is 2 GiB."""
    leak = {} if action is None else {"leak": {"action": action, **spec.pop("leak", {})}}
    made = rig(*(started(name) for name in pods), policy=raw_policy(mode=mode, **leak, **spec))
    made.engine.used_mib = 900.0
    made.engine.leaks_mib_per_hour = {"app": mib_per_hour}
    return made


def started(name):
    return raw_pod(name)  # two hours ago


def profile(made):
    return made.api.get("memoryprofiles", "shop", "statefulset-web")


def leaking(made):
    conditions = profile(made)["status"]["conditions"]
    return next((each for each in conditions if each["type"] == "Leaking"), None)


def events(made, reason):
    found = [each for (plural, *_), each in made.api.objects.items() if plural == "events"]
    return [each for each in found if each["reason"] == reason]


async def twice(made):
    await made.once(NOW)
    await made.once(NOW + MINUTE)


async def test_a_leak_is_a_condition_a_summary_an_event_and_a_metric():
    made = leaky("Alert", mode="Recommend")
    await twice(made)
    text = leaking(made)["message"]
    assert "container app leaks: it grows by 100.0 MiB an hour (90.0 MiB to 110.0 MiB)" in text
    assert "it reaches its limit of 1.00 GiB" in text
    assert text.endswith("leak.action Alert: only this is said")
    app = profile(made)["status"]["containers"][0]
    assert app["workloadClass"] == "growth"
    assert app["leak"]["growthPerHour"] == "100Mi"
    assert len(events(made, "Leaking")) == 1
    assert made.metrics.value("plimsoll_leaking_containers") == 1
    labels = {"namespace": "shop", "kind": "StatefulSet", "workload": "web", "container": "app"}
    left = made.metrics.value("plimsoll_leak_seconds_to_limit", **labels)
    assert left == pytest.approx((1024 - 900) / 100 * HOUR)
    assert made.metrics.value("plimsoll_workload_class_containers", **{"class": "growth"}) == 1


async def test_bounds_that_read_like_the_growth_are_left_out():
    made = leaky("Alert", mode="Recommend", mib_per_hour=0.4)  # an interval of 0.36 to 0.44 MiB
    await twice(made)
    assert "it grows by 0.4 MiB an hour, told since" in leaking(made)["message"]


async def test_what_has_stopped_leaking_is_no_longer_said():
    made = leaky("Alert", mode="Recommend")
    await twice(made)
    made.engine.leaks_mib_per_hour = {}
    await made.once(NOW + 2 * MINUTE)
    assert leaking(made) is None
    assert "leak" not in profile(made)["status"]["containers"][0]
    assert made.metrics.value("plimsoll_leaking_containers") == 0


@pytest.mark.parametrize(
    ("action", "leak", "limit_mib"),
    [
        ("Alert", {}, 2048),
        ("Raise", {}, 2048),
        ("Raise", {"cap": "1536Mi"}, 1536),
        ("Raise", {"cap": "512Mi"}, 1024),  # what is in force is not taken back
        ("Leave", {}, 1024),
    ],
)
async def test_the_policy_says_how_far_a_leak_is_followed(action, leak, limit_mib):
    made = leaky(action, mode="InPlace", leak=leak)
    await twice(made)
    assert made.limit() == limit_mib


@pytest.mark.parametrize("action", ["Raise", "Leave"])
async def test_a_kill_raises_even_a_leak_that_is_left(action):
    made = leaky(action, mode="InPlace", leak={"cap": "1Gi"})
    await twice(made)
    uid = made.api.get("pods", "shop", "web-0")["metadata"]["uid"]
    made.engine.raises = {(uid, "app"): 1300}
    await made.once(NOW + 2 * MINUTE)
    assert (made.limit("web-0"), made.limit("web-1")) == (1300, 1024)


async def test_without_a_leak_the_policy_changes_nothing():
    made = leaky("Leave", mode="InPlace")
    made.engine.leaks_mib_per_hour = {}
    await twice(made)
    assert made.limit() == 2048


async def test_a_restart_evicts_one_pod_at_a_time_before_the_death():
    made = leaky("Restart", leak={}, limits={"max": "1Gi"})
    for minute in range(5):
        await made.once(NOW + minute * MINUTE)
    assert made.api.evicted == ["web-0"]
    made.api.put("pods", started("web-2"))
    await made.once(NOW + 5 * MINUTE)
    await made.once(NOW + 6 * MINUTE)
    assert made.api.evicted == ["web-0", "web-1"]
    assert "leaks" in events(made, "LeakRestarted")[0]["note"]


async def test_a_restart_is_not_due_while_the_death_is_far():
    made = leaky("Restart", mib_per_hour=10.0, limits={"max": "1Gi"})
    await twice(made)
    assert made.api.evicted == []


@pytest.mark.parametrize("shut", ["hour", "pause", "mode", "budget", "source"])
async def test_a_restart_honours_window_pause_mode_budget_and_source(shut):
    spec = {"limits": {"max": "1Gi"}}
    if shut == "hour":
        hour = int(NOW // HOUR + 3) % 24
        spec["updates"] = {"window": f"{hour:02d}:00-{hour:02d}:30"}
    if shut == "budget":
        spec["updates"] = {"budget": {"evictionsPerHour": 0}}
    made = leaky("Restart", mode="InPlace" if shut == "mode" else "InPlaceOrRecreate", **spec)
    made.paused = shut == "pause"
    made.engine.problems = ("metrics-api is down",) if shut == "source" else ()
    await twice(made)
    assert made.api.evicted == []


async def test_a_restart_honours_a_disruption_budget():
    made = leaky("Restart", limits={"max": "1Gi"})
    made.api.fail("evict", ApiError(429, "TooManyRequests", "budget"))
    await made.once(NOW)
    assert made.api.evicted == []


async def test_a_single_replica_is_restarted_too_for_it_would_die_anyway():
    made = leaky("Restart", pods=("web-0",), limits={"max": "1Gi"})
    await twice(made)
    assert made.api.evicted == ["web-0"]
