"""What a link makes of an operator's last word; its streams: tests/contract/test_coordination.py."""

import logging

import pytest

from plimsoll.coordinate.messages import Drain, ModelDelta
from plimsoll.coordinate.session import AgentSession, Envelope, WelcomeNumbers
from plimsoll.coordinate.versions import PROTOCOL
from plimsoll_nodeagent.coordinate.link import IN_PART_SECONDS, Link
from plimsoll_proto import service, wire


class Call:
    """A stream on which one thing is said."""

    def __init__(self, body: object) -> None:
        self.said = wire.response(Envelope(1, 0, 0, body))

    async def read(self):
        return self.said


@pytest.mark.parametrize(("asked_seconds", "seconds"), [(5.0, 5.0), (4e6, 600.0)])
async def test_a_drain_keeps_an_agent_away_for_ten_minutes_at_the_most(asked_seconds, seconds):
    session = AgentSession(7)
    session.greet()
    session.welcome(WelcomeNumbers(PROTOCOL, 1, 0))
    link = Link("", None, session, None, None, now=lambda: 0.0, draw=lambda: 0.0, monotonic=lambda: 0.0)
    assert await link._listen(Call(Drain(asked_seconds, "upgrade"))) == seconds
    assert link.state.why == "the operator drains: upgrade"


def test_what_is_too_large_is_counted_each_time_logged_once_and_told_for_an_hour(caplog):
    session, clock = AgentSession(7), [0.0]
    session.greet()
    session.welcome(WelcomeNumbers(PROTOCOL, 1, 0))
    link = Link(
        "", None, session, None, None, now=lambda: 0.0, draw=lambda: 0.0, monotonic=lambda: clock[0]
    )  # fmt: skip
    assert link.in_part() == ""
    with caplog.at_level(logging.WARNING):
        for number in range(3):
            link.offer(ModelDelta(f"{number}", "k", "c", 1, "", 1, bytes(service.MOST_REQUEST_BYTES)))
            link.offer(ModelDelta(f"small-{number}", "k", "c", 1, "", 1, b""))
            message = link._next(0)
            assert message.model_delta.delta_checksum == f"small-{number}"
            assert message.follows_sequence_number == max(0, 2 * number), "the gap is declared"
    assert link.state.too_large_total == {"model_delta": 3}
    assert session.outbox.dropped_total == 3
    assert [each for each in caplog.messages if "too large" in each] == [caplog.messages[0]]
    assert "model_delta of" in link.in_part()
    clock[0] = IN_PART_SECONDS - 1.0
    assert link.in_part()
    clock[0] = IN_PART_SECONDS
    assert link.in_part() == ""
