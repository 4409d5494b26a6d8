"""How far a leak is followed: by action, cap, reason of the ask, and what is in force."""

import pytest

from builders.situations import GIB, MIB, container, policy, situation
from plimsoll.api.effective import LeakAction
from plimsoll.guard.cluster import admit, guard
from plimsoll.guard.state import Ask, Purpose

ASK = Ask(2 * GIB, GIB)
CLIMB = Ask(2 * GIB, None, purpose=Purpose.URGENT, reason="Climb")
KILL = Ask(2 * GIB, None, purpose=Purpose.URGENT, reason="OomKilled")
REMEMBERED = Ask(2 * GIB, None, purpose=Purpose.URGENT, reason="OomRemembered")


def leaking(action, cap=None, **fields):
    said = policy(leak_action=action, leak_cap_bytes=cap, **fields)
    return situation(policy=said, container=container(leaks=True))


@pytest.mark.parametrize("ask", [ASK, CLIMB], ids=["forecast", "climb"])
@pytest.mark.parametrize(
    ("action", "cap", "limit"),
    [
        (LeakAction.ALERT, None, 2 * GIB),
        (LeakAction.ALERT, GIB, 2 * GIB),  # a cap is Raise's
        (LeakAction.RESTART, None, 2 * GIB),
        (LeakAction.RAISE, None, 2 * GIB),
        (LeakAction.RAISE, 3 * GIB, 2 * GIB),
        (LeakAction.RAISE, 1536 * MIB, 1536 * MIB),
        (LeakAction.RAISE, 512 * MIB, GIB),
        (LeakAction.LEAVE, None, GIB),
        (LeakAction.LEAVE, 3 * GIB, GIB),
    ],
)
def test_a_leak_is_followed_as_far_as_its_policy_says(ask, action, cap, limit):
    assert guard(ask, leaking(action, cap)).limit_bytes == limit


@pytest.mark.parametrize("ask", [KILL, REMEMBERED], ids=["kill", "remembered kill"])
@pytest.mark.parametrize("action", list(LeakAction))
def test_after_a_kill_the_limit_rises_whatever_the_action(ask, action):
    assert guard(ask, leaking(action, GIB)).limit_bytes == 2 * GIB


def test_only_the_policys_max_ends_raises_after_kills():
    assert guard(KILL, leaking(LeakAction.RAISE, GIB, max_bytes=1200 * MIB)).limit_bytes == 1200 * MIB


@pytest.mark.parametrize("action", list(LeakAction))
def test_what_does_not_leak_is_not_held_back(action):
    made = situation(policy=policy(leak_action=action, leak_cap_bytes=GIB), container=container())
    assert guard(ASK, made).limit_bytes == 2 * GIB


@pytest.mark.parametrize("action", [LeakAction.RAISE, LeakAction.LEAVE])
def test_a_leaks_limit_may_be_lowered(action):
    lower = Ask(768 * MIB, 400 * MIB)
    assert guard(lower, leaking(action, GIB)).limit_bytes == 768 * MIB


def test_the_decision_says_why_it_stopped():
    kept = guard(ASK, leaking(LeakAction.LEAVE))
    assert (kept.kind.value, kept.reason) == ("keep", "LeakLeft")
    cut = guard(ASK, leaking(LeakAction.RAISE, 1536 * MIB))
    assert "cut by LeakCap: it leaks, up to leak.cap 1.50 GiB" in cut.message


def test_a_new_pod_of_a_leaking_workload_starts_as_its_template_says_where_the_leak_is_left():
    assert admit(ASK, leaking(LeakAction.LEAVE)).limit_bytes == GIB
    assert admit(ASK, leaking(LeakAction.RAISE, 1536 * MIB)).limit_bytes == 1536 * MIB
