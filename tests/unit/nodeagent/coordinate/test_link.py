"""What a link makes of an operator's last word; its streams: tests/contract/test_coordination.py."""

import pytest

from plimsoll.coordinate.messages import Drain
from plimsoll.coordinate.session import AgentSession, Envelope, WelcomeNumbers
from plimsoll.coordinate.versions import PROTOCOL
from plimsoll_nodeagent.coordinate.link import Link
from plimsoll_proto import wire


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
