"""Certificates that end and are renewed while agents speak: real TLS on loopback, every message counted.

Connections last half a second here (half an hour in production), so that each of them meets the files as they
are then. Both ways each message is numbered: what was said is heard once, whatever becomes of a connection.
"""

import datetime as dt
from collections import Counter

import pytest

from builders.attending import Attended, attending, until
from builders.authority import Authority
from plimsoll.coordinate.mailbox import Bounds
from plimsoll.coordinate.messages import ModelDelta, ShrinkCancel
from plimsoll.coordinate.session import AgentSession

SHORT_CONNECTIONS = (("grpc.max_connection_age_ms", 500), ("grpc.max_connection_age_grace_ms", 50))
AGENTS = 6
MOMENT = dt.timedelta(seconds=2)


class Fleet:
    """Agents that speak all the time, and what either side heard."""

    def __init__(self, operator: Attended, count: int = AGENTS) -> None:
        self.operator, self.said = operator, 0
        self.injected = self.survived = 0
        self.nodes = [f"node-{number}" for number in range(count)]
        made = [operator.agent(node, session=AgentSession(7, Bounds(most_kept=5000))) for node in self.nodes]
        self.links = [link for link, _ in made]
        self.heard = {node: bodies for node, (_, bodies) in zip(self.nodes, made, strict=True)}

    def speak(self, times: int = 20) -> None:
        """Everybody says so many messages, and is told as many."""
        for _ in range(times):
            self.said += 1
            for link in self.links:
                assert link.offer(ModelDelta(f"{self.said}", "survival", "web", 1, "", self.said, b""))
            for node in self.nodes:
                assert self.operator.service.offer(node, ShrinkCancel(self.said, "counted"))

    def renew(self, authority: Authority, *nodes: str, **how: object) -> None:
        """New pairs for these agents (for all, where none is named)."""
        for node in nodes or self.nodes:
            authority.write(self.operator.directory / f"agent-token-{node}", node, **how)

    def all_attend(self) -> bool:
        return all(link.state.attending for link in self.links)

    async def reconnected(self) -> None:
        """Each agent has opened another stream since."""
        before = [link.state.streams_total for link in self.links]
        pairs = list(zip(self.links, before, strict=True))
        await until(lambda: all(link.state.streams_total > was for link, was in pairs))

    def counts(self) -> tuple[int, int]:
        """Messages that were lost, and that were heard more than once, both ways together."""
        up = Counter((node, body.checksum) for node, body in self.operator.heard.bodies)
        down = Counter((node, body.shrink_id) for node, bodies in self.heard.items() for body in bodies)
        expected = len(self.nodes) * self.said
        lost = 2 * expected - len(up) - len(down)
        return lost, sum(up.values()) + sum(down.values()) - len(up) - len(down)

    async def settled(self) -> None:
        """Until everything that was said is heard; whatever is heard besides would be seen by then, too."""
        await until(lambda: self.counts()[0] == 0)
        await until(lambda: all(len(link._session.outbox) == 0 for link in self.links))


def told(counted, fault: str, fleet: Fleet) -> None:
    """Write down how often the fault was made, and after how many of them everybody went on."""
    lost, _ = fleet.counts()
    of = 2 * len(fleet.nodes) * fleet.said
    counted(fault, injected=fleet.injected, survived=fleet.survived, lost=lost, of=of, what="messages")
    assert fleet.survived == fleet.injected


@pytest.fixture
def operator(tmp_path):
    made = Attended(tmp_path, Authority(), options=SHORT_CONNECTIONS)
    made.pods = {f"pod-{number}": f"node-{number}" for number in range(10)}
    return made


async def test_pairs_that_end_within_seconds_are_renewed_under_load_and_nothing_is_lost_or_heard_twice(
    operator, counted
):
    async with operator.serving():
        fleet = Fleet(operator)
        async with attending(*fleet.links):
            await until(fleet.all_attend)
            for _ in range(3):
                fleet.speak()
                operator.authority.write(operator.directory / "server", "operator", lasts=MOMENT * 30)
                fleet.renew(operator.authority, lasts=MOMENT * 30)
                fleet.injected += 1
                fleet.speak()
                await fleet.reconnected()
                await fleet.settled()
                fleet.survived += 1
            await fleet.settled()
        assert fleet.counts() == (0, 0)
        assert operator.identity.reloads_total >= 3
        assert operator.service.counts.streams_total >= 4 * AGENTS
        told(counted, "certificates renewed under load", fleet)


async def test_one_authority_takes_over_from_another_under_load(operator):
    newer = Authority("next")
    async with operator.serving():
        fleet = Fleet(operator)
        async with attending(*fleet.links):
            await until(fleet.all_attend)
            old, server = operator.authority, operator.directory / "server"
            fleet.speak()
            old.write(server, "operator", trusts=(newer,))  # first all trust both
            fleet.renew(old, trusts=(newer,))
            await fleet.reconnected()
            fleet.speak()
            newer.write(server, "operator", trusts=(old,))  # then each has a pair of the new one
            fleet.renew(newer, trusts=(old,))
            await fleet.reconnected()
            fleet.speak()
            newer.write(server, "operator")  # then the old one is trusted by nobody
            fleet.renew(newer)
            await fleet.reconnected()
            fleet.speak()
            await fleet.settled()
            assert fleet.counts() == (0, 0)
        link, _ = operator.agent("node-9", authority=old)
        async with attending(link):
            await until(lambda: link.state.failures_total["unavailable"] >= 2)
        assert "node-9" not in operator.heard.greeted_nodes


async def test_an_agent_whose_certificate_has_ended_is_refused_keeps_what_it_says_and_loses_nothing(
    operator, counted
):
    async with operator.serving():
        fleet = Fleet(operator)
        late, others = fleet.links[0], fleet.links[1:]
        async with attending(*fleet.links):
            await until(fleet.all_attend)
            fleet.renew(operator.authority, "node-0", expired=True)
            fleet.injected += 1
            await until(lambda: late.state.failures_total["unavailable"] >= 3 and not late.state.attending)
            greeted = operator.heard.greeted_nodes.count("node-0")
            fleet.speak()
            await until(lambda: all(len(each._session.outbox) == 0 for each in others))
            assert operator.heard.greeted_nodes.count("node-0") == greeted  # refused in the handshake
            assert not any(node == "node-0" for node, _ in operator.heard.bodies)
            assert len(late._session.outbox) == fleet.said
            fleet.renew(operator.authority, "node-0")
            await fleet.settled()
            fleet.survived += fleet.counts() == (0, 0)
        assert fleet.counts() == (0, 0)
        told(counted, "an agent's certificate has ended", fleet)


async def test_an_operator_whose_certificate_has_ended_is_not_spoken_to_until_it_is_renewed(
    operator, counted
):
    async with operator.serving():
        fleet = Fleet(operator)
        async with attending(*fleet.links):
            await until(fleet.all_attend)
            fleet.speak()
            operator.authority.write(operator.directory / "server", "operator", expired=True)
            fleet.injected += 1
            failing = [link.state.failures_total for link in fleet.links]
            await until(lambda: all(each["unavailable"] >= 3 for each in failing))
            fleet.speak()
            operator.authority.write(operator.directory / "server", "operator")
            await fleet.settled()
            fleet.survived += fleet.counts() == (0, 0)
        assert fleet.counts() == (0, 0)
        told(counted, "the operator's certificate has ended", fleet)
