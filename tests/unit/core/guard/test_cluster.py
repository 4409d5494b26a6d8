"""In: asks and situations. Out: decisions with a reason for every guard. Nothing is mocked; there is nothing
to.
"""

from dataclasses import replace

import pytest

from builders.situations import GIB, MIB, NOW, ask, container, guaranteed, policy, situation
from plimsoll.api.effective import Controlled, Mode
from plimsoll.api.window import parse_window
from plimsoll.guard.bounds import present_use_floor_bytes
from plimsoll.guard.cluster import guard
from plimsoll.guard.decision import DecisionKind
from plimsoll.guard.state import (
    ControlState,
    KubeNodeState,
    MemoryRange,
    NamespaceState,
    PodState,
    Purpose,
    QosClass,
    QuotaRoom,
    ResizeStatus,
)

POD = PodState("shop", "web-0")


NODE = KubeNodeState("n1", 64 * GIB, 16 * GIB)


GATES = [
    ("NoPolicy", "keep", {"policy": None}),
    ("PolicyOff", "keep", {"policy": policy(mode=Mode.OFF)}),
    ("Paused", "hold", {"control": ControlState(paused=True)}),
    ("PodTerminating", "hold", {"pod": replace(POD, terminating=True)}),
    ("PodNotRunning", "hold", {"pod": replace(POD, running=False)}),
    ("StaticPod", "hold", {"pod": replace(POD, mirror=True)}),
    ("InitContainer", "hold", {"container": container(resizable=False)}),
    ("BestEffort", "hold", {"pod": replace(POD, qos=QosClass.BEST_EFFORT)}),
    ("NoMemoryValues", "hold", {"container": container(limit_bytes=None, request_bytes=None)}),
    ("MemoryHPA", "hold", {"pod": replace(POD, memory_hpa="web")}),
    ("SourceProblem", "hold", {"control": ControlState(problems=("prometheus: no answer",))}),
    ("NoUsage", "hold", {"container": container(usage_bytes=None)}),
    ("NoUsage", "hold", {"container": container(usage_age_seconds=None)}),
    ("NoUsage", "hold", {"container": container(usage_age_seconds=999.0)}),
    ("NoUsage", "hold", {"container": container(usage_bytes=float("nan"))}),
    ("NoUsage", "hold", {"container": container(usage_bytes=-1.0)}),
    ("KubeNodeUnknown", "hold", {"kube_node": None}),
    ("NotReported", "hold", {"container": container(reported=False)}),
    ("Infeasible", "hold", {"pod": replace(POD, resize=ResizeStatus.INFEASIBLE)}),
    ("Infeasible", "hold", {"pod": replace(POD, refused="the kubelet said no")}),
    ("ResizeUnderWay", "hold", {"pod": replace(POD, resize=ResizeStatus.DEFERRED)}),
    ("ResizeUnderWay", "hold", {"pod": replace(POD, resize=ResizeStatus.IN_PROGRESS)}),
    ("RestartRequired", "hold", {"container": container(restarts_on_resize=True)}),
    ("PolicyProblem", "keep", {"policy": policy(problem="containers[app]: min above max")}),
    ("RecommendOnly", "keep", {"policy": policy(mode=Mode.RECOMMEND)}),
    ("InitialOnly", "keep", {"policy": policy(mode=Mode.INITIAL)}),
    ("KubernetesTooOld", "keep", {"control": ControlState(supported=False, version="v1.34.2")}),
    ("Cooldown", "keep", {"container": container(last_change_seconds=NOW - 60)}),
    ("OutsideWindow", "keep", {"policy": policy(window=parse_window("Mon 03:00-03:01"))}),
    ("BudgetSpent", "keep", {"control": ControlState(routine_left=0)}),
]


@pytest.mark.parametrize(("reason", "kind", "parts"), GATES, ids=lambda value: str(value)[:40])
@pytest.mark.parametrize("limit_mib", [2048, 512])
def test_every_gate_leaves_the_container_alone_and_says_why(reason, kind, parts, limit_mib):
    told = situation(**parts)
    decision = guard(ask(limit_mib, 256), told)
    assert (decision.kind, decision.reason) == (kind, reason)
    assert decision.message
    assert decision.limit_bytes == told.container.limit_bytes
    assert decision.request_bytes == told.container.request_bytes


def test_holds_when_nothing_is_recommended():
    assert guard(None, situation()).reason == "NoHistory"
    assert guard(ask(2048, ready=False), situation()).reason == "NoHistory"


def test_static_memory_manager_pins_guaranteed_pods_only():
    node = replace(NODE, static_memory_manager=True)
    assert guard(ask(2048, 512), guaranteed(kube_node=node)).reason == "StaticMemoryManager"
    assert guard(ask(2048, 512), situation(kube_node=node)).kind is DecisionKind.RAISE


def test_a_static_memory_manager_is_asked_for_an_urgent_raise_where_its_no_moves_the_pod():
    node = replace(NODE, static_memory_manager=True)
    recreating = policy(mode=Mode.IN_PLACE_OR_RECREATE)
    urgent = ask(2048, 2048, purpose=Purpose.URGENT)
    assert guard(urgent, guaranteed(kube_node=node, policy=recreating)).kind is DecisionKind.RAISE
    assert guard(urgent, guaranteed(kube_node=node)).reason == "StaticMemoryManager"
    routine = guard(ask(2048, 2048), guaranteed(kube_node=node, policy=recreating))
    assert routine.reason == "StaticMemoryManager"  # nobody is evicted for a forecast


def test_a_resize_that_was_refused_may_be_asked_anew():
    stuck = replace(POD, resize=ResizeStatus.ERROR, resize_message="below current usage")
    assert guard(ask(2048, 512), situation(pod=stuck)).kind is DecisionKind.RAISE


@pytest.mark.parametrize(
    ("asked", "kind", "limit_mib", "request_mib"),
    [
        (ask(2048, 768), "raise", 2048, 768),
        (ask(700, 300), "lower", 700, 300),
        (ask(100, 50), "lower", 512, 50),  # one decision takes away half at most
        (ask(700.3, 300), "lower", 701, 300),  # whole MiB, rounded up
        (ask(1000, 500), "keep", 1024, 512),  # below minChange
        (ask(700, 300, lower_bytes=600 * MIB, upper_bytes=2 * GIB), "keep", 1024, 512),  # within the band
        (ask(2048, None), "raise", 2048, 512),  # no word about the request: it stays
    ],
)
def test_routine_changes_of_a_burstable_container(asked, kind, limit_mib, request_mib):
    decision = guard(asked, situation())
    assert decision.kind == kind
    assert (decision.limit_bytes, decision.request_bytes) == (limit_mib * MIB, request_mib * MIB)


def test_a_limit_in_band_still_moves_into_the_policys_bounds():
    told = situation(policy=policy(max_bytes=768 * MIB))
    decision = guard(ask(900, 300, lower_bytes=600 * MIB, upper_bytes=2 * GIB), told)
    assert (decision.kind, decision.limit_bytes) == (DecisionKind.LOWER, 768 * MIB)


@pytest.mark.parametrize(
    ("controlled", "limit_mib", "request_mib"),
    [
        (Controlled.REQUESTS_AND_LIMITS, 2048, 768),
        (Controlled.LIMITS_ONLY, 2048, 512),
        (Controlled.REQUESTS_ONLY, 1024, 768),
    ],
)
def test_only_controlled_values_are_written(controlled, limit_mib, request_mib):
    decision = guard(ask(2048, 768), situation(policy=policy(controlled=controlled)))
    assert (decision.limit_bytes, decision.request_bytes) == (limit_mib * MIB, request_mib * MIB)


def test_limits_only_never_goes_below_the_request():
    told = situation(
        policy=policy(controlled=Controlled.LIMITS_ONLY), container=container(request_bytes=900 * MIB)
    )
    assert guard(ask(600, 300), told).limit_bytes == 900 * MIB


def test_requests_only_stays_below_the_limit():
    told = situation(policy=policy(controlled=Controlled.REQUESTS_ONLY))
    assert guard(ask(4096, 2048), told).request_bytes == GIB


def test_an_unset_limit_stays_unset_for_it_could_not_be_taken_away_again():
    told = situation(container=container(limit_bytes=None))
    decision = guard(ask(2048, 700), told)
    assert (decision.limit_bytes, decision.request_bytes) == (None, 700 * MIB)


@pytest.mark.parametrize(("limit_mib", "kind"), [(2048, "raise"), (700, "lower")])
def test_guaranteed_keeps_request_equal_to_limit(limit_mib, kind):
    decision = guard(ask(limit_mib, 100), guaranteed())
    assert decision.kind == kind
    assert decision.limit_bytes == decision.request_bytes == limit_mib * MIB


@pytest.mark.parametrize("controlled", [Controlled.LIMITS_ONLY, Controlled.REQUESTS_ONLY])
def test_guaranteed_with_half_of_it_controlled_is_left_alone(controlled):
    decision = guard(ask(2048, 512), guaranteed(policy=policy(controlled=controlled)))
    assert (decision.kind, decision.reason) == (DecisionKind.KEEP, "QoSClass")


def test_burstable_does_not_become_guaranteed_by_accident():
    told = situation(container=container(cpu_guaranteed=True), pod=replace(POD, others_guaranteed=True))
    decision = guard(ask(2048, 2048), told)
    assert decision.request_bytes < decision.limit_bytes


def test_swap_pins_the_request_and_leaves_the_limit_free():
    node = replace(NODE, swap=True)
    decision = guard(ask(2048, 768), situation(kube_node=node))
    assert (decision.limit_bytes, decision.request_bytes) == (2 * GIB, 512 * MIB)
    lowered = guard(ask(400, 300), situation(kube_node=node))
    assert (lowered.limit_bytes, lowered.request_bytes) == (512 * MIB, 512 * MIB)
    assert guard(ask(2048, 1), guaranteed(kube_node=node)).request_bytes == 2 * GIB


def test_a_container_that_restarts_on_resize_is_resized_where_the_mode_allows_it():
    told = situation(
        policy=policy(mode=Mode.IN_PLACE_OR_RECREATE), container=container(restarts_on_resize=True)
    )
    assert guard(ask(2048, 512), told).kind is DecisionKind.RAISE


@pytest.mark.parametrize(
    ("bounds", "asked", "limit_mib"),
    [
        ({"max_bytes": 1536 * MIB}, ask(2048, 512), 1536),
        ({"min_bytes": 800 * MIB}, ask(600, 300), 800),
        ({"min_bytes": 1500 * MIB}, ask(900, 300), 1500),
        ({"max_bytes": 600 * MIB}, ask(900, 300), 600),
    ],
)
def test_policy_bounds(bounds, asked, limit_mib):
    assert guard(asked, situation(policy=policy(**bounds))).limit_bytes == limit_mib * MIB


def test_policy_min_holds_for_the_request_where_there_is_no_limit():
    told = situation(policy=policy(min_bytes=600 * MIB), container=container(limit_bytes=None))
    assert guard(ask(900, 300), told).request_bytes == 600 * MIB


def test_present_use_wins_over_every_upper_bound():
    used = 900.0 * MIB
    told = situation(policy=policy(max_bytes=600 * MIB), container=container(usage_bytes=used))
    decision = guard(ask(700, 300), told)
    assert decision.limit_bytes == present_use_floor_bytes(used) > used


def test_a_limit_already_below_its_use_is_not_lowered():
    told = situation(container=container(usage_bytes=1100.0 * MIB))
    assert guard(ask(700, 512), told).limit_bytes == GIB


RANGES = [
    (MemoryRange("r", "Container", max_bytes=1536 * MIB), ask(2048, 512), 1536, 512),
    (MemoryRange("r", "Container", min_bytes=400 * MIB), ask(700, 300), 700, 400),
    (MemoryRange("r", "Container", min_bytes=800 * MIB), ask(600, 300), 800, 800),
    (MemoryRange("r", "Container", max_ratio=2.0), ask(2048, 512), 2048, 1024),
    (MemoryRange("r", "Pod", max_bytes=1800 * MIB), ask(2048, 512), 1300, 512),
    (MemoryRange("r", "Pod", min_bytes=1 * MIB), ask(2048, 512), 2048, 512),
]


@pytest.mark.parametrize(("item", "asked", "limit_mib", "request_mib"), RANGES, ids=str)
def test_limit_ranges(item, asked, limit_mib, request_mib):
    pod = replace(POD, others_limit_bytes=500 * MIB)
    decision = guard(asked, situation(pod=pod, namespace=NamespaceState("shop", ranges=(item,))))
    assert (decision.limit_bytes, decision.request_bytes) == (limit_mib * MIB, request_mib * MIB)
    assert decision.kind is not DecisionKind.HOLD


def test_a_pod_range_with_an_unlimited_sibling_forbids_raises():
    pod = replace(POD, others_limit_bytes=None)
    namespace = NamespaceState("shop", ranges=(MemoryRange("r", "Pod", max_bytes=4 * GIB),))
    decision = guard(ask(2048, 512), situation(pod=pod, namespace=namespace))
    assert (decision.kind, decision.reason) == (DecisionKind.KEEP, "LimitRange")


QUOTAS = [
    (QuotaRoom("q", limits_left_bytes=256 * MIB), 1280, 768, "raise"),
    (QuotaRoom("q", limits_left_bytes=0, requests_left_bytes=0), 1024, 512, "keep"),
    (QuotaRoom("q", limits_left_bytes=-5 * MIB), 1024, 768, "raise"),  # only the request may rise
    (QuotaRoom("q", requests_left_bytes=100 * MIB), 2048, 612, "raise"),
]


@pytest.mark.parametrize(("room", "limit_mib", "request_mib", "kind"), QUOTAS, ids=str)
def test_quotas_cut_raises(room, limit_mib, request_mib, kind):
    decision = guard(ask(2048, 768), situation(namespace=NamespaceState("shop", quotas=(room,))))
    assert decision.kind == kind
    assert (decision.limit_bytes, decision.request_bytes) == (limit_mib * MIB, request_mib * MIB)


def test_an_exhausted_quota_does_not_stop_lowering():
    rooms = (QuotaRoom("q", limits_left_bytes=-1, requests_left_bytes=-1),)
    decision = guard(ask(700, 300), situation(namespace=NamespaceState("shop", quotas=rooms)))
    assert decision.kind is DecisionKind.LOWER


def test_quota_of_requests_cuts_a_guaranteed_limit_too():
    rooms = (QuotaRoom("q", requests_left_bytes=100 * MIB),)
    decision = guard(ask(2048, 1), guaranteed(namespace=NamespaceState("shop", quotas=rooms)))
    assert decision.limit_bytes == decision.request_bytes == (1024 + 100) * MIB


def test_kube_node_headroom_cuts_requests_and_caps_limits():
    small = KubeNodeState("n1", 4 * GIB, 4 * GIB - 100 * MIB)
    decision = guard(ask(8192, 2048), situation(kube_node=small))
    assert (decision.limit_bytes, decision.request_bytes) == (4 * GIB, 612 * MIB)
    tied = guard(ask(8192, 1), guaranteed(kube_node=small))
    assert tied.limit_bytes == tied.request_bytes == 1124 * MIB


def test_a_guaranteed_pod_that_may_move_asks_a_full_kube_node_for_all_it_wants():
    full = KubeNodeState("n1", 4 * GIB, 4 * GIB - 3 * MIB)
    moves = policy(mode=Mode.IN_PLACE_OR_RECREATE)
    assert guard(ask(2048, 1), guaranteed(kube_node=full, policy=moves)).limit_bytes == 2048 * MIB
    # No more than it could ever have, or the answer would be Infeasible and not Deferred.
    assert guard(ask(8192, 1), guaranteed(kube_node=full, policy=moves)).limit_bytes == 4 * GIB
    stays = guard(ask(2048, 1), guaranteed(kube_node=full))
    assert (stays.reason, stays.limit_bytes) == ("BelowMinChange", GIB)  # 3 MiB are not worth a resize
    roomy = KubeNodeState("n1", 4 * GIB, 4 * GIB - 200 * MIB)
    assert guard(ask(2048, 1), guaranteed(kube_node=roomy, policy=moves)).limit_bytes == 1224 * MIB
    burstable = guard(ask(2048, 768), situation(kube_node=full, policy=moves))
    assert (burstable.limit_bytes, burstable.request_bytes) == (2048 * MIB, 515 * MIB)


def test_a_guaranteed_pod_of_several_asks_for_no_more_than_its_siblings_leave_of_a_kube_node():
    full = KubeNodeState("n1", 4 * GIB, 4 * GIB - 3 * MIB)
    moves = policy(mode=Mode.IN_PLACE_OR_RECREATE)
    beside = guaranteed(kube_node=full, policy=moves)
    beside = replace(beside, pod=replace(beside.pod, others_request_bytes=1500 * MIB))
    decision = guard(ask(8192, 1), beside)
    assert (decision.limit_bytes, decision.request_bytes) == (2596 * MIB, 2596 * MIB)
    assert guard(ask(2048, 1), beside).limit_bytes == 2048 * MIB
    # Siblings that have all of it leave what is held, and nothing is lowered for them.
    crowded = replace(beside, pod=replace(beside.pod, others_request_bytes=4 * GIB))
    assert guard(ask(8192, 1), crowded).kind is DecisionKind.KEEP


def test_unknown_headroom_forbids_raises_only():
    unknown = KubeNodeState("n1", None, None)
    assert guard(ask(2048, 768), situation(kube_node=unknown)).kind is DecisionKind.KEEP
    assert guard(ask(700, 300), situation(kube_node=unknown)).kind is DecisionKind.LOWER


def test_nothing_is_lowered_while_settling_and_raises_go_on():
    control = ControlState(settled=False)
    assert guard(ask(700, 300), situation(control=control)).reason == "Settling"
    assert guard(ask(2048, 768), situation(control=control)).kind is DecisionKind.RAISE
