"""Sessions over streams that break, operators that come and go, and versions that differ."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plimsoll.coordinate.attendance import Attendance, Patience, Presence
from plimsoll.coordinate.mailbox import Bounds
from plimsoll.coordinate.session import ACKNOWLEDGE_EVERY, AgentSession, Envelope, Phase
from plimsoll.coordinate.versions import PROTOCOL, ProtocolError, ProtocolVersion, spoken

NODE = "node-a"


def opened(agent: AgentSession, attendance: Attendance, now_seconds: float = 0.0):
    session, welcome = attendance.greet(NODE, agent.greet(), now_seconds)
    agent.welcome(welcome)
    return session


def carried(teller, hearer, most: int = 1000, *, settle: bool = True) -> list[object]:
    heard = []
    for _ in range(most):
        envelope = teller.next(settle=settle)
        if envelope is None:
            break
        heard.append(hearer.hear(envelope))
    return [each for each in heard if each is not None]


def test_both_sides_hear_what_the_other_says():
    agent, attendance = AgentSession(7), Attendance(1)
    agent.offer("before there was a stream")
    operator = opened(agent, attendance)
    operator.offer("lease")
    assert carried(agent, operator) == ["before there was a stream"]
    assert carried(operator, agent) == ["lease"]
    carried(agent, operator)
    assert len(agent.outbox) == len(operator.outbox) == 0


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.sampled_from(["say", "tell", "carry", "bring", "break", "restart operator"]), max_size=120)
)
def test_kept_messages_arrive_once_though_streams_break_and_operators_are_replaced(events):
    """An operator that is replaced may have taken what it had not acknowledged: that much is heard twice."""
    agent: AgentSession[int, int] = AgentSession(7, Bounds(most_kept=500))
    attendance: Attendance[int, int] = Attendance(1)
    operator = opened(agent, attendance)
    said, heard, epochs = 0, [[]], 1
    for event in events:
        if event == "say":
            said += agent.offer(said)
        elif event == "tell":
            operator.offer(0)
        elif event == "carry":
            heard[-1] += carried(agent, operator, 3, settle=False)
        elif event == "bring":
            carried(operator, agent, 3)
        else:
            agent.part()
            if event == "restart operator":
                epochs += 1
                attendance = Attendance(epochs)
                heard.append([])
            operator = opened(agent, attendance)
    heard[-1] += carried(agent, operator)
    everything = [each for epoch in heard for each in epoch]
    assert sorted(set(everything)) == list(range(said))  # nothing is lost
    for epoch in heard:
        assert epoch == sorted(set(epoch))  # and one operator hears nothing twice


def test_an_acknowledgement_waits_for_a_letter_unless_many_are_owed():
    agent, attendance = AgentSession(7), Attendance(1)
    operator = opened(agent, attendance)
    for number in range(ACKNOWLEDGE_EVERY):
        agent.offer(number)
    carried(agent, operator, ACKNOWLEDGE_EVERY - 1)
    assert operator.next() is None
    carried(agent, operator, 1)
    assert operator.next() == Envelope(0, 0, ACKNOWLEDGE_EVERY, None)
    assert operator.next(settle=True) is None  # it is owed no more


def test_an_agent_that_was_restarted_starts_anew():
    attendance = Attendance(1)
    agent = AgentSession(7)
    first = opened(agent, attendance)
    agent.offer("a")
    carried(agent, first)
    again = AgentSession(8)
    again.offer("b")
    second = opened(again, attendance)
    assert second is not first
    assert carried(again, second) == ["b"]


def test_a_newer_stream_replaces_the_older_and_its_end_changes_nothing():
    agent, attendance = AgentSession(7), Attendance(1)
    operator = opened(agent, attendance)
    before = operator.streams
    agent.part()
    opened(agent, attendance)
    assert not attendance.part(NODE, before)
    assert attendance.presence(NODE, 1.0) is Presence.PRESENT
    assert attendance.part(NODE, before + 1)
    assert attendance.presence(NODE, 1.0) is Presence.AWAY


def test_presence_is_never_until_an_agent_came_and_away_when_it_is_silent():
    agent, attendance = AgentSession(7), Attendance(1, Patience(away_after_seconds=15.0))
    assert attendance.presence(NODE, 0.0) is Presence.NEVER
    opened(agent, attendance)
    assert attendance.presence(NODE, 14.0) is Presence.PRESENT
    assert attendance.presence(NODE, 16.0) is Presence.AWAY
    attendance.heard(NODE, 16.0)
    assert attendance.count(17.0) == {Presence.PRESENT: 1, Presence.AWAY: 0}
    attendance.forget(17.0, frozenset())
    assert attendance.presence(NODE, 17.0) is Presence.NEVER


def test_a_message_before_the_greeting_ends_the_stream():
    agent = AgentSession(7)
    agent.offer("early")
    assert agent.next() is None
    with pytest.raises(ProtocolError, match="before the greeting"):
        agent.hear(Envelope(1, 0, 0, "x"))
    agent.greet()
    assert agent.phase is Phase.GREETING


def test_a_lost_message_ends_the_stream_and_is_said_again_on_the_next():
    agent, attendance = AgentSession(7), Attendance(1)
    operator = opened(agent, attendance)
    agent.offer("a")
    agent.offer("b")
    agent.next()  # lost
    with pytest.raises(ProtocolError, match="message 2 follows 1, and 0 is known"):
        operator.hear(agent.next())
    agent.part()
    operator = opened(agent, attendance)
    assert carried(agent, operator) == ["a", "b"]


@pytest.mark.parametrize("minor", [0, 1, 2])
def test_one_minor_version_of_skew_is_spoken_by_the_lower(minor):
    assert spoken(ProtocolVersion(1, 1), ProtocolVersion(1, minor)) == ProtocolVersion(1, min(1, minor))


@pytest.mark.parametrize("theirs", [ProtocolVersion(1, 2), ProtocolVersion(2, 0), ProtocolVersion(0, 0)])
def test_a_version_too_far_is_refused_with_a_sentence(theirs):
    with pytest.raises(ProtocolError, match=f"protocol {theirs}"):
        spoken(PROTOCOL, theirs)


def test_sessions_of_neighbouring_versions_speak_the_lower():
    agent: AgentSession[str, str] = AgentSession(7, version=ProtocolVersion(1, 1))
    operator = opened(agent, Attendance(1, version=ProtocolVersion(1, 0)))
    assert agent.version == operator.version == ProtocolVersion(1, 0)
