"""In: kube nodes that will be short, pods on them, what their policies say. Out: who is evicted, who is only
proposed, and when nobody is. Real: loop, membership, placer, reliever, actor, fence.
"""

import pytest

from builders.clusters import NOW, raw_policy, stamp
from builders.placing import owned, placing, room_node
from plimsoll_operator.actuate.api import ApiError
from plimsoll_operator.place import relieving
from plimsoll_operator.place.relieving import LASTING_SECONDS

EVICT = {"node": "Prefer", "relief": "Evict"}
RECREATE = "InPlaceOrRecreate"
LATE = NOW + LASTING_SECONDS
TOO_MUCH_BUDGET = ApiError(
    429, "TooManyRequests", "Cannot evict pod as it would violate the disruption budget"
)


def cluster(placement=EVICT, mode=RECREATE, *, elsewhere="4Gi", policy=None, **settings):
    """n1 will need 4.2 of its 4 GiB: `web` 1500, `big` 1800 and `small` 1000 MiB. n2 has room."""
    nodes = [room_node("n1"), room_node("n2", memory=elsewhere)]
    pods = [
        *(owned("web", f"web-{at}", f"n{at + 1}") for at in range(2)),
        *(owned("big", f"big-{at}", f"n{at + 1}") for at in range(1)),
        owned("small", "small-0", "n1"),
        owned("small", "small-1", "n2"),
    ]
    rig = placing(nodes, pods, {"web": 1500.0, "big": 1800.0, "small": 1000.0}, **settings)
    rig.api.put("memorypolicies", raw_policy(mode=mode, placement=placement, **(policy or {})))
    return rig


async def lasted(rig, until=LATE, **more):
    """Loops until the danger has lasted, and one more."""
    for now in (NOW, NOW + 60, until - 60, until, until + 60, until + 120):
        await rig.once(now, **more)
    return rig


def events(rig, reason):
    found = [each for (plural, *_), each in rig.api.objects.items() if plural == "events"]
    return [each for each in found if each["reason"] == reason]


async def test_the_cheapest_pod_that_suffices_leaves_for_where_there_is_room():
    rig = await lasted(cluster())
    assert rig.api.evicted == ["small-0"]  # 3300 are left of 4300; `big` has a single replica
    (event,) = events(rig, "Relieved")
    assert "kube node n1 is short of memory within a day with chance 100.0%" in event["note"]
    assert "n2 has room for it" in event["note"]
    assert rig.metrics.value("plimsoll_relief_total", outcome="evicted") == 1
    assert rig.metrics.value("plimsoll_evictions_total", outcome="accepted") == 1


async def test_a_danger_that_does_not_last_moves_nobody():
    rig = cluster()
    for minute in range(16):
        await rig.once(NOW + 60 * minute)
        rig.engine.day_mib["big"] = 1000.0 if minute == 4 else 1800.0
    assert rig.api.evicted == []
    assert rig.metrics.value("plimsoll_relief_kube_nodes", state="endangered") == 1


async def test_ten_minutes_pass_also_where_nodes_change_places(monkeypatch):
    monkeypatch.setattr(relieving, "PLACES_A_LOOP", 1)
    nodes = [room_node("n1"), room_node("n2"), room_node("n3", memory="8Gi")]
    pods = [owned("left", "left-0", "n1"), owned("right", "right-0", "n2")]
    pods += [owned("small", f"small-{at}", f"n{at + 1}") for at in range(2)]
    rig = placing(nodes, pods, {"left": 3500.0, "right": 3600.0, "small": 1000.0})
    rig.api.put("memorypolicies", raw_policy(mode=RECREATE, placement=EVICT))
    for minute in range(13):  # a little more on the one, then on the other
        await rig.once(NOW + 60 * minute)
        day = rig.engine.day_mib
        day["left"], day["right"] = day["right"], day["left"]
    assert rig.api.evicted != []


@pytest.mark.parametrize(
    ("placement", "mode"),
    [
        ({"node": "Prefer"}, RECREATE),
        ({"node": "Prefer", "relief": "Propose"}, RECREATE),
        (EVICT, "InPlace"),
    ],
)
async def test_without_a_policy_that_lets_us_it_is_proposed(placement, mode):
    rig = await lasted(cluster(placement, mode))
    assert rig.api.evicted == []
    (event,) = events(rig, "ReliefProposed")
    assert event["regarding"]["name"] == "small-0"
    assert rig.metrics.value("plimsoll_relief_total", outcome="proposed") == 1


async def test_who_consents_goes_before_who_does_not():
    rig = cluster({"node": "Prefer"})
    rig.api.put("memorypolicies", evicting("web"))
    await lasted(rig)
    assert rig.api.evicted == ["web-0"]


def evicting(workload, **spec):
    """A policy for one workload that lets its pods be evicted."""
    target = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": workload}
    return raw_policy(f"own-{workload}", mode=RECREATE, targetRef=target, placement=EVICT, **spec)


async def test_the_least_important_goes_first():
    rig = cluster()
    rig.api.put("memorypolicies", evicting("web", importance="Low"))
    await lasted(rig)
    assert rig.api.evicted == ["web-0"]


async def test_nobody_leaves_who_has_no_place_elsewhere():
    rig = await lasted(cluster(elsewhere="3Gi"))  # 2500 of 3072 MiB are spoken for
    assert rig.api.evicted == []
    assert events(rig, "ReliefProposed") == []
    assert rig.metrics.value("plimsoll_relief_kube_nodes", state="unrelieved") == 1


async def test_the_scheduler_would_have_to_allow_it():
    rig = cluster()
    taint = {"key": "dedicated", "value": "gpu", "effect": "NoSchedule"}
    rig.api.put("nodes", room_node("n2", taints=[taint]))
    await lasted(rig)
    assert rig.api.evicted == []


async def test_a_disruption_budget_means_not_now_and_another_one_is_asked_for():
    rig = cluster()
    rig.api.fail("evict", TOO_MUCH_BUDGET)
    await lasted(rig)
    assert rig.metrics.value("plimsoll_relief_total", outcome="refused") == 1
    assert rig.api.evicted == ["web-0"]  # in the next loop; `small-0` is not asked for again so soon


async def test_one_at_a_time_until_the_last_one_is_gone_and_back():
    rig = cluster(elsewhere="32Gi")
    rig.engine.day_mib |= {"web": 2500.0, "big": 2600.0, "small": 1800.0}
    await lasted(rig)
    assert len(rig.api.evicted) == 2
    # `web` is alone by now, and `small` too: with a single replica an eviction is an outage.
    for minute in range(3, 8):
        await rig.once(LATE + 60 * minute)
    assert len(rig.api.evicted) == 2


async def test_the_policys_budget_holds():
    rig = await lasted(cluster(policy={"updates": {"budget": {"evictionsPerHour": 0}}}))
    assert rig.api.evicted == []
    assert len(events(rig, "ReliefProposed")) == 1


async def test_the_operators_budget_holds():
    rig = await lasted(cluster(relief_evictions_per_hour=0))
    assert rig.api.evicted == []


async def test_who_has_just_come_stays():
    rig = cluster()
    for name, node in (("small-0", "n1"), ("web-0", "n1")):
        pod = owned(name[:-2], name, node)
        pod["status"]["containerStatuses"][0]["state"]["running"]["startedAt"] = stamp(NOW - 60)
        rig.api.put("pods", pod)
    await lasted(rig)
    assert rig.api.evicted == []


def silent(rig):
    rig.engine.silent = {"n1"}


def untrusted(rig):
    rig.engine.hindcast = (3.0, 2.0)


def failing(rig):
    rig.engine.problems = ("metrics-api: no answer",)


def paused(rig):
    rig.paused = True


@pytest.mark.parametrize("fault", [silent, untrusted, failing, paused])
async def test_what_is_missing_stale_or_doubted_moves_nobody(fault):
    rig = cluster()
    fault(rig)
    await lasted(rig)
    assert rig.api.evicted == []
    assert events(rig, "ReliefProposed") == []


async def test_a_node_that_falls_silent_is_left_alone_at_once():
    rig = cluster()
    for now in (NOW, NOW + 60, LATE - 60):
        await rig.once(now)
    silent(rig)
    await rig.once(LATE)
    assert rig.api.evicted == []


async def test_after_a_start_nobody_is_moved_before_the_operator_has_settled():
    rig = await lasted(cluster(settle="1h"))
    assert rig.api.evicted == []


async def test_only_the_leader_moves_pods():
    rig = await lasted(cluster(), leading=False)
    assert rig.api.evicted == []
    rig = cluster()
    for now in (NOW, NOW + 60, LATE - 60):
        await rig.once(now)
    rig.monotonic = 1e6  # it was stopped, and the Lease has run out
    await rig.once(LATE, leading=False)
    assert rig.api.evicted == []


async def test_of_two_operators_that_see_the_same_one_evicts():
    one = cluster()
    other = one.restart()
    other.engine = one.engine
    for now in (NOW, NOW + 60, LATE - 60, LATE, LATE + 60):
        await one.once(now)
        await other.once(now, leading=False)
    assert one.api.evicted == ["small-0"]


async def test_a_pod_that_leaves_by_itself_is_counted_as_gone():
    rig = cluster()
    pod = owned("small", "small-0", "n1")
    pod["metadata"]["deletionTimestamp"] = stamp(NOW)
    rig.api.put("pods", pod)
    await lasted(rig)
    assert rig.api.evicted == []
    assert rig.metrics.value("plimsoll_relief_kube_nodes", state="endangered") == 0
