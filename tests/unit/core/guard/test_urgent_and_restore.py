"""In: raises that do not wait, restores, admissions, and whatever hypothesis thinks of. Out: decisions
that harm nothing.
"""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders.situations import GIB, MIB, NOW, ask, container, guaranteed, policy, restore, situation, urgent
from plimsoll.api.effective import Mode
from plimsoll.api.window import parse_window
from plimsoll.guard.cluster import admit, guard
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


BYPASSED = {
    "cooldown": {"container": container(last_change_seconds=NOW - 1)},
    "window": {"policy": policy(window=parse_window("Mon 03:00-03:01"))},
    "budget": {"control": ControlState(routine_left=0)},
    "source": {"control": ControlState(problems=("down",))},
    "usage": {"container": container(usage_bytes=None, usage_age_seconds=None)},
    "settling": {"control": ControlState(settled=False)},
    "min change": {"policy": policy(min_change_fraction=1.0)},
}


@pytest.mark.parametrize("parts", BYPASSED.values(), ids=BYPASSED.keys())
def test_an_oom_raise_does_not_wait(parts):
    decision = guard(urgent(1229), situation(**parts))
    assert (decision.kind, decision.reason) == (DecisionKind.RAISE, "OomKilled")
    assert (decision.limit_bytes, decision.request_bytes) == (1229 * MIB, 512 * MIB)


@pytest.mark.parametrize("status", [ResizeStatus.DEFERRED, ResizeStatus.IN_PROGRESS])
@pytest.mark.parametrize(
    ("asked", "in_force_mib", "reason"),
    [
        (urgent(1229), 2048, "OomKilled"),  # the limit is about to fall to 1 GiB, and the old one is better
        (urgent(1229), 1024, "ResizeUnderWay"),  # something else is under way
        (urgent(1229), 512, "ResizeUnderWay"),  # a raise is
        (urgent(1229), None, "ResizeUnderWay"),
        (urgent(1024), 2048, "ResizeUnderWay"),
        (ask(1229), 2048, "ResizeUnderWay"),
    ],
)
def test_an_urgent_raise_does_not_wait_for_a_fall_that_is_under_way(status, asked, in_force_mib, reason):
    in_force = None if in_force_mib is None else in_force_mib * MIB
    parts = {"pod": replace(POD, resize=status), "container": container(in_force_bytes=in_force)}
    assert guard(asked, situation(**parts)).reason == reason


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ({"control": ControlState(paused=True)}, "Paused"),
        ({"policy": policy(mode=Mode.RECOMMEND)}, "RecommendOnly"),
        ({"policy": policy(max_bytes=GIB)}, "PolicyMax"),
        ({"pod": replace(POD, memory_hpa="web")}, "MemoryHPA"),
        (
            {"namespace": NamespaceState("shop", quotas=(QuotaRoom("q", limits_left_bytes=0),))},
            "ResourceQuota",
        ),
    ],
)
def test_what_even_an_oom_raise_must_respect(parts, reason):
    decision = guard(urgent(1229), situation(**parts))
    assert (decision.acts, decision.reason) == (False, reason)


def test_an_urgent_ask_never_lowers():
    assert guard(urgent(512), situation()).kind is DecisionKind.KEEP


def test_an_oom_raise_of_a_guaranteed_pod_moves_both():
    decision = guard(urgent(1229), guaranteed())
    assert decision.limit_bytes == decision.request_bytes == 1229 * MIB


@pytest.mark.parametrize("mode", [Mode.OFF, Mode.RECOMMEND, Mode.IN_PLACE])
def test_restore_puts_the_original_back_in_every_mode_but_never_below_use(mode):
    told = situation(
        policy=policy(mode=mode, max_bytes=600 * MIB), container=container(last_change_seconds=NOW)
    )
    decision = guard(restore(700.5, 300), told)
    assert (decision.kind, decision.limit_bytes, decision.request_bytes) == (
        DecisionKind.LOWER,
        int(700.5 * MIB),
        300 * MIB,
    )
    used = situation(container=container(usage_bytes=800.0 * MIB))
    assert guard(restore(700, 300), used).limit_bytes > 800 * MIB


@pytest.mark.parametrize("request_mib", [300, None])
def test_restore_leaves_a_limit_that_was_not_there_at_first(request_mib):
    asked = restore(700, request_mib or 0)
    asked = replace(asked, limit_bytes=None, request_bytes=None if request_mib is None else 300 * MIB)
    decision = guard(asked, situation())
    assert decision.limit_bytes == GIB
    assert decision.request_bytes == (512 if request_mib is None else 300) * MIB
    if request_mib is None:
        assert decision.reason == "NoLimitAtFirst"


def test_restore_needs_no_policy():
    assert guard(restore(700, 300), situation(policy=None)).acts


def test_an_exception_is_a_hold_and_never_the_unguarded_value():
    broken = situation(namespace=None)
    decision = guard(ask(2048, 768), broken)
    assert (decision.kind, decision.reason) == (DecisionKind.HOLD, "GuardError")
    assert decision.limit_bytes == GIB
    assert admit(ask(2048, 768), broken).reason == "GuardError"


def test_a_decision_names_the_guards_that_cut_it():
    told = situation(policy=policy(max_bytes=1536 * MIB))
    message = guard(ask(2048, 512), told).message
    assert "PolicyMax" in message
    assert "1.50 GiB" in message


ADMITTED = [
    ({"policy": None}, "NotAdmitting"),
    ({"policy": policy(mode=Mode.RECOMMEND)}, "NotAdmitting"),
    ({"control": ControlState(paused=True)}, "NotAdmitting"),
    ({"pod": replace(POD, memory_hpa="web")}, "MemoryHPA"),
    ({"pod": replace(POD, qos=QosClass.BEST_EFFORT)}, "BestEffort"),
]


@pytest.mark.parametrize(("parts", "reason"), ADMITTED)
def test_admission_leaves_a_pod_as_its_template_says(parts, reason):
    decision = admit(ask(2048, 512), situation(**parts))
    assert (decision.acts, decision.reason) == (False, reason)


def test_admission_without_a_recommendation_changes_nothing():
    assert admit(None, situation()).reason == "NoHistory"


def test_admission_knows_bounds_qos_and_the_largest_kube_node_but_no_usage():
    fresh = {"container": container(usage_bytes=None, request_bytes=GIB)}
    decision = admit(
        ask(2048, 512), guaranteed(policy=policy(mode=Mode.INITIAL, max_bytes=1536 * MIB), **fresh)
    )
    assert decision.limit_bytes == decision.request_bytes == 1536 * MIB


def test_admission_lowers_no_limit_below_what_the_workload_uses_now():
    told = situation(policy=policy(max_bytes=100 * MIB), container=container(usage_bytes=200.0 * MIB))
    assert admit(ask(300), told).limit_bytes == 204 * MIB


@pytest.mark.parametrize("decide", [guard, admit])
@pytest.mark.parametrize(
    "parts",
    [
        {"policy": policy(max_bytes=4096)},
        {"namespace": NamespaceState("shop", ranges=(MemoryRange("r", "Container", max_bytes=4096),))},
    ],
)
def test_no_bound_lowers_a_limit_below_the_least(decide, parts):
    idle = container(limit_bytes=32 * MIB, request_bytes=8 * MIB, usage_bytes=0.0)
    assert decide(ask(24, 8), situation(container=idle, **parts)).limit_bytes == 16 * MIB
    tiny = replace(idle, limit_bytes=12 * MIB, usage_bytes=MIB)
    assert decide(ask(8, 8), situation(container=tiny, **parts)).limit_bytes == 12 * MIB


limits = st.integers(min_value=1, max_value=1 << 38)


@settings(max_examples=300, deadline=None)
@given(
    asked=limits,
    request=limits,
    limit=limits,
    share=st.floats(min_value=0.0, max_value=1.0),
    used=st.none() | st.floats(min_value=0, max_value=2**38),
    purpose=st.sampled_from(list(Purpose)),
    tied=st.booleans(),
    room=st.integers(min_value=-(1 << 38), max_value=1 << 38),
    ceilings=st.tuples(*[st.none() | limits] * 3),
)
def test_whatever_is_asked_no_decision_harms(
    *, asked, request, limit, share, used, purpose, tied, room, ceilings
):
    own_request = limit if tied else int(limit * share)
    fields = container(limit_bytes=limit, request_bytes=own_request, usage_bytes=used)
    policy_max, container_max, pod_max = ceilings
    ranges = (
        MemoryRange("c", "Container", max_bytes=container_max),
        MemoryRange("p", "Pod", max_bytes=pod_max),
    )
    namespace = NamespaceState("shop", ranges, quotas=(QuotaRoom("q", room, room),))
    build = guaranteed if tied else situation
    decision = guard(
        replace(ask(1), limit_bytes=asked, request_bytes=request, purpose=purpose),
        build(
            container=fields,
            namespace=namespace,
            policy=policy(min_change_fraction=0.0, max_bytes=policy_max),
        ),
    )
    assert decision.reason != "GuardError"
    assert decision.request_bytes <= decision.limit_bytes
    if tied:
        assert decision.request_bytes == decision.limit_bytes
    if decision.limit_bytes < limit:  # lowered: never below what is used now
        assert used is not None
        assert decision.limit_bytes > used
        assert purpose is Purpose.RESTORE or decision.limit_bytes >= 16 * MIB
    if purpose is Purpose.URGENT:
        assert decision.limit_bytes >= limit
        assert decision.request_bytes >= own_request
    if decision.limit_bytes > limit:
        assert decision.limit_bytes - limit <= max(room, 0)


@pytest.mark.parametrize(
    ("changed_ago", "asked_mib", "reason", "limit_mib"),
    [
        (3600, 700, "Forecast", 700),  # nothing has happened since the forecast was made
        (1800, 700, "ChangedSince", 1024),  # made 40 minutes ago, the limit rose 30 minutes ago
        (2400, 700, "ChangedSince", 1024),  # this very forecast has been acted on already
        (1800, 1500, "Forecast", 1500),  # rising it may always ask for
    ],
)
def test_a_forecast_lowers_once_and_nothing_that_changed_after_it(changed_ago, asked_mib, reason, limit_mib):
    changed = container(last_change_seconds=NOW - changed_ago)
    decision = guard(ask(asked_mib, 512, made_seconds=NOW - 2400), situation(container=changed))
    assert (decision.reason, decision.limit_bytes) == (reason, limit_mib * MIB)
