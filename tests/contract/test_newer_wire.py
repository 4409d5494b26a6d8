"""A wire that a newer minor version speaks, over real gRPC, both ways: fields and kinds that this one lacks.

The newer side is this one with bytes added to what it says: a field that nobody knows in the message and in
its body, in the greeting too, and letters whose body is of a kind that is not in the `oneof`. A field is not
read. A letter of an unknown kind is taken over, or it would be said on each stream anew; it is counted, and
nothing else is lost by it.
"""

from collections import Counter

import pytest

from builders.attending import Attended, attending, until
from builders.authority import Authority
from builders.unknown_fields import unknown_field
from plimsoll.coordinate.messages import LeaseAnswer, LeaseRequest, ModelDelta, ShrinkCancel
from plimsoll.coordinate.session import AgentSession
from plimsoll.coordinate.versions import PROTOCOL, ProtocolVersion
from plimsoll_proto import service

NEWER = ProtocolVersion(PROTOCOL.major, PROTOCOL.minor + 1)
OF_A_NEW_KIND = "of a kind that only the newer side has"
LEASE = LeaseRequest(9, 0, 1 << 20, 1 << 30, 1 << 20, 3.0, 0.0)


@pytest.fixture
def operator(tmp_path):
    return Attended(tmp_path, Authority())


class Newer:
    """Writes messages as the next version does."""

    def __init__(self, write, minor: int = NEWER.minor) -> None:
        self._write, self._minor, self.said = write, minor, Counter()

    def __call__(self, message) -> bytes:
        made = type(message)()
        made.CopyFrom(message)
        name = made.WhichOneof("body")
        self.said[name] += 1
        if name is None:
            return self._write(made) + unknown_field()
        if OF_A_NEW_KIND in str(made):
            self.said[OF_A_NEW_KIND] += 1
            made.ClearField(name)
            return self._write(made) + unknown_field(number=99)
        body = getattr(made, name)
        body.MergeFromString(unknown_field())
        if name == "welcome":
            body.protocol_version.minor_number = self._minor
        return self._write(made) + unknown_field()


def delta(checksum: str) -> ModelDelta:
    return ModelDelta(checksum, "survival", "web", 1, "", 1, b"")


async def test_an_operator_hears_of_a_newer_agent_all_that_it_knows(operator, monkeypatch):
    newer = Newer(service.request_bytes)
    monkeypatch.setattr(service, "request_bytes", newer)
    async with operator.serving():
        session = AgentSession(7, version=NEWER)
        link, heard = operator.agent(session=session)
        said = [delta("first"), delta(OF_A_NEW_KIND), LEASE, delta(OF_A_NEW_KIND), delta("last")]
        async with attending(link):
            await until(lambda: link.state.attending)
            assert all(link.offer(each) for each in said)
            await until(lambda: len(operator.heard.bodies) == 3)
            await until(lambda: len(session.outbox) == 0)  # those of the new kind are acknowledged too
            assert operator.service.offer("node-a", LeaseAnswer(9, 1 << 31, 300.0))
            await until(lambda: heard)
        assert [body for _, body in operator.heard.bodies] == [said[0], LEASE, said[-1]]
        assert heard == [LeaseAnswer(9, 1 << 31, 300.0)]
        assert operator.service.counts.refusals_total == {"nonsense": 2}
        assert session.version == PROTOCOL, "spoken is what both know"
    assert (link.state.streams_total, sum(link.state.failures_total.values())) == (1, 0)
    assert (newer.said["hello"], newer.said[OF_A_NEW_KIND]) == (1, 2)


async def test_an_agent_hears_of_a_newer_operator_all_that_it_knows(operator, monkeypatch, caplog):
    newer = Newer(service._written)
    monkeypatch.setattr(service, "_written", newer)
    async with operator.serving():
        session = AgentSession(7)
        link, heard = operator.agent(session=session)
        async with attending(link):
            await until(lambda: link.state.attending)
            for reason in ("first", OF_A_NEW_KIND, "last"):
                assert operator.service.offer("node-a", ShrinkCancel(7, reason))
            await until(lambda: len(heard) == 2)
            outbox = operator.service.attendance.session("node-a").outbox
            await until(lambda: len(outbox) == 0)
            assert link.offer(LEASE)
            await until(lambda: operator.heard.bodies)
        assert heard == [ShrinkCancel(7, "first"), ShrinkCancel(7, "last")]
        assert operator.heard.bodies == [("node-a", LEASE)]
        assert session.version == PROTOCOL
    assert (link.state.streams_total, sum(link.state.failures_total.values())) == (1, 0)
    assert (newer.said["welcome"], newer.said[OF_A_NEW_KIND]) == (1, 1)
    assert "makes no sense" in caplog.text


async def test_an_operator_that_is_two_minor_versions_ahead_is_not_spoken_with(operator, monkeypatch):
    monkeypatch.setattr(service, "_written", Newer(service._written, PROTOCOL.minor + 2))
    async with operator.serving():
        link, _ = operator.agent()
        async with attending(link):
            await until(lambda: link.state.failures_total["ProtocolError"] >= 1)
            assert "more than 1 minor version" in link.state.why
    assert operator.heard.bodies == []
