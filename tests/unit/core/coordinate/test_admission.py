"""Doors that hold a storm, and agents that come back at different times."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plimsoll.coordinate.admission import Admission, AdmissionRate, EachAdmission, returns_after
from plimsoll.coordinate.attendance import Presence
from plimsoll.coordinate.authority import TokenFacts, hello_refusal, judged_roster, token_refusal
from plimsoll.coordinate.degradation import lowered_with_care, operator_away
from plimsoll.coordinate.messages import RosterEntry
from plimsoll.coordinate.reconnect import Backoff

MIB = 1 << 20


def test_five_thousand_agents_that_obey_are_all_in_within_a_minute(counted):
    """Every agent comes at once, and again after the time it was told."""
    door = Admission(AdmissionRate(per_second=100.0, burst=200.0))
    backoff, draw = Backoff(), np.random.default_rng(7)
    due = [(0.0, agent) for agent in range(5000)]
    admitted_at = []
    while due:
        due.sort()
        now, agent = due.pop(0)
        wait = door.wait_seconds(now)
        if wait:
            due.append((now + backoff.wait_seconds(1, float(draw.random()), wait), agent))
        else:
            admitted_at.append(now)
    assert len(admitted_at) == 5000
    assert max(admitted_at) <= 60.0
    for second in range(60):
        arrived = sum(second <= at < second + 1 for at in admitted_at)
        assert arrived <= 200 + 100 + 1
    survived = len(admitted_at)
    counts = {"injected": 5000, "survived": survived, "lost": 5000 - survived, "of": 5000}
    counted("5,000 reconnects at once", **counts, what="agents")


@settings(deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), max_size=200))
def test_never_more_than_the_rate_whatever_the_clock_does(times):
    door = Admission(AdmissionRate(per_second=1.0, burst=3.0))
    waits = [door.wait_seconds(now) for now in times]
    grown = sum(max(0.0, b - a) for a, b in pairwise(times))
    assert door.admitted_total <= 3 + grown + 1
    assert door.admitted_total + door.refused_total == len(times)
    assert all(0.0 <= wait <= 52.0 for wait in waits)


def test_a_fleet_that_is_sent_away_comes_back_as_fast_as_a_door_lets_it_in():
    """Of 5,000 nobody is sent away a second time, and the last is in within a minute."""
    rate, backoff, draw = AdmissionRate(per_second=100.0, burst=200.0), Backoff(), np.random.default_rng(7)
    waits = returns_after(5000, rate, 1.0)
    door = Admission(rate)
    arrivals = sorted(backoff.wait_seconds(1, float(draw.random()), wait) for wait in waits)
    refused = sum(door.wait_seconds(now) > 0.0 for now in arrivals)
    assert refused == 0
    assert max(arrivals) <= 60.0
    together = Admission(rate)
    at_once = sorted(backoff.wait_seconds(1, float(draw.random()), 1.0) for _ in waits)
    assert sum(together.wait_seconds(now) > 0.0 for now in at_once) > 4000, "as it was: all within 0.2 s"


def test_who_comes_without_end_waits_alone_and_callers_without_end_take_no_room():
    doors = EachAdmission(AdmissionRate(per_second=1.0, burst=3.0), most=10)
    waits = [doors.wait_seconds("storm", 0.0) for _ in range(100)]
    assert [wait == 0.0 for wait in waits] == [True] * 3 + [False] * 97
    for number in range(1000):
        assert doors.wait_seconds(f"caller {number}", 0.0) == 0.0
        assert doors.wait_seconds("storm", 0.0) > 0.0, "who still comes is not forgotten"
    assert len(doors) == 10


@settings(deadline=None)
@given(st.integers(1, 40), st.floats(0, 1, exclude_max=True), st.floats(0, 100))
def test_a_wait_is_bounded_and_never_shorter_than_what_was_asked(failures, drawn, asked):
    wait = Backoff().wait_seconds(failures, drawn, asked)
    assert wait >= asked
    assert 0.0 < wait <= max(30.0, asked * 1.2)


FACTS = TokenFacts(True, "system:serviceaccount:plimsoll-system:plimsoll-agent", "node-a", ("plimsoll",))


def refusal(**changes: object) -> str:
    facts = TokenFacts(**({name: getattr(FACTS, name) for name in FACTS.__slots__} | changes))
    return token_refusal(facts, FACTS.username, "plimsoll")


def test_a_token_must_be_valid_of_the_agents_for_us_and_bound_to_a_node():
    assert refusal() == ""
    assert "not valid: expired" in refusal(authenticated=False, problem="expired")
    assert "not of the agents'" in refusal(username="system:serviceaccount:default:default").replace(
        "not of the agents' service account", "not of the agents'"
    )
    assert "audience" in refusal(audiences=("https://kubernetes.default.svc",))
    assert "not bound" in refusal(kube_node="")


def test_a_token_speaks_for_its_own_node_alone():
    assert hello_refusal(FACTS, "node-a") == ""
    assert "node-a does not speak for node-b" in hello_refusal(FACTS, "node-b")
    assert hello_refusal(FACTS, "")


def test_a_roster_is_sorted_by_whose_pods_they_are():
    entries = [RosterEntry(index, uid, "c") for index, uid in enumerate(("mine", "theirs", "new"))]
    judged = judged_roster(entries, "node-a", {"mine": "node-a", "theirs": "node-b"}.get)
    assert [each.pod_uid for each in judged.own] == ["mine"]
    assert [each.pod_uid for each in judged.alien] == ["theirs"]
    assert [each.pod_uid for each in judged.unknown] == ["new"]


@pytest.mark.parametrize(
    ("presence", "expected"), [(Presence.AWAY, 75), (Presence.PRESENT, 50), (Presence.NEVER, 50)]
)
def test_without_an_agent_that_was_there_limits_fall_by_half_steps(presence, expected):
    assert lowered_with_care(presence, 100 * MIB, 50 * MIB) == expected * MIB
    assert lowered_with_care(presence, 100 * MIB, 120 * MIB) == 120 * MIB


def test_an_operator_is_away_that_was_never_heard_or_not_for_long_or_in_the_future():
    assert operator_away(None, 100.0, 15.0)
    assert operator_away(80.0, 100.0, 15.0)
    assert operator_away(700.0, 100.0, 15.0)
    assert not operator_away(90.0, 100.0, 15.0)
