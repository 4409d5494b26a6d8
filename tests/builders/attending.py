"""An operator's coordination served on loopback with real TLS, and agents that attend it.

In: directories for certificates and tokens. Out: the service, links of the agent's own code, and what either
has heard. TokenReview is answered from a table of tokens: who checks tokens in a cluster is the API server.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from builders.authority import AGENT_HOST, OPERATOR_HOST, Authority
from plimsoll.coordinate.admission import Admission, AdmissionRate, EachAdmission
from plimsoll.coordinate.attendance import Attendance
from plimsoll.coordinate.messages import NodeFacts, Roster, RosterEntry, Unread
from plimsoll.coordinate.reconnect import Backoff
from plimsoll.coordinate.session import AgentSession
from plimsoll_nodeagent.coordinate.identity import Identity
from plimsoll_nodeagent.coordinate.link import Link
from plimsoll_operator.actuate.api import ApiError
from plimsoll_operator.coordinate.identity import ServerIdentity
from plimsoll_operator.coordinate.relay import Relay
from plimsoll_operator.coordinate.server import Coordination, start
from plimsoll_operator.coordinate.tokens import NODE_NAME, Tokens

AGENTS = "system:serviceaccount:plimsoll-system:plimsoll-agent"
WIDE = AdmissionRate(per_second=1e4, burst=1e4)
QUICK = Backoff(first_seconds=0.05, most_seconds=0.2)


@dataclass
class Reviews:
    """Answers TokenReviews: token to the node it is bound to."""

    kube_nodes: dict[str, str] = field(default_factory=dict)
    usernames: dict[str, str] = field(default_factory=dict)
    down: bool = False
    asked: int = 0

    async def create(self, resource: Any, namespace: str, body: dict[str, Any]) -> dict[str, Any]:
        self.asked += 1
        if self.down:
            raise ApiError(503, "ServiceUnavailable", "the API server is away")
        token, audiences = body["spec"]["token"], body["spec"]["audiences"]
        if token not in self.kube_nodes:
            return {"status": {"authenticated": False, "error": "token not known"}}
        user = {"username": self.usernames.get(token, AGENTS), "extra": {NODE_NAME: [self.kube_nodes[token]]}}
        return {"status": {"authenticated": True, "audiences": audiences, "user": user}}


@dataclass
class Heard:
    """What the operator's side heard."""

    greeted_nodes: list[str] = field(default_factory=list)
    bodies: list[tuple[str, object]] = field(default_factory=list)

    def greeted(self, kube_node: str, facts: NodeFacts, now_seconds: float) -> None:
        self.greeted_nodes.append(kube_node)

    def heard(self, kube_node: str, body: object, now_seconds: float) -> None:
        self.bodies.append((kube_node, body.read() if isinstance(body, Unread) else body))


@dataclass
class Attended:
    """A served operator."""

    directory: Path
    authority: Authority
    reviews: Reviews = field(default_factory=Reviews)
    heard: Heard = field(default_factory=Heard)
    pods: dict[str, str] = field(default_factory=lambda: {"pod-a": "node-a", "pod-b": "node-b"})
    epoch_id: int = 1
    leading: bool = True
    port: int = 0
    admission: Admission = field(default_factory=Admission)
    addresses: EachAdmission = field(default_factory=lambda: EachAdmission(WIDE))  # all are at one
    hearer: Any = None
    attendance: Attendance | None = None
    now: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    options: tuple[tuple[str, int], ...] = ()  # of gRPC, instead of the operator's own
    username: str = AGENTS
    review_seconds: float = 60.0  # between two reviews of an open stream's token
    leader: Callable[[], str] | None = None  # where a replica that does not lead carries streams to
    service: Coordination = None  # set while it is served
    identity: ServerIdentity = None

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["Attended"]:
        """Serve until the block ends."""
        self.identity = ServerIdentity(self.authority.write(self.directory / "server", "operator"))
        relay = self.leader and Relay(self.identity, self.leader, OPERATOR_HOST, time.monotonic)
        self.service = Coordination(
            attendance=self.attendance or Attendance(self.epoch_id),
            tokens=Tokens(self.reviews, "plimsoll", self.monotonic),
            username=self.username,
            agents_name=AGENT_HOST,
            operators_name=OPERATOR_HOST,
            hearer=self.hearer or self.heard,
            kube_node_of_pod=self.pods.get,
            leads=lambda: self.leading,
            now=self.now,
            monotonic=self.monotonic,
            admission=self.admission,
            addresses=self.addresses,
            streams=WIDE,
            relay=relay,
            review_seconds=self.review_seconds,
        )
        server, self.port = await start(self.service, self.identity, "127.0.0.1", self.port, self.options)
        try:
            yield self
        finally:
            await server.stop(None)

    def agent(
        self,
        kube_node: str = "node-a",
        *,
        token: str | None = None,
        authority: Authority | None = None,
        expired: bool = False,
        session: AgentSession | None = None,
        roster: Roster | None = None,
        address: str = "",
        hosts: tuple[str, ...] = (),
    ) -> tuple[Link, list[object]]:
        """An agent's link, and the list of what it hears."""
        token = token or f"token-{kube_node}"
        self.reviews.kube_nodes.setdefault(token, kube_node)
        directory = self.directory / f"agent-{token[-40:]}"
        (authority or self.authority).write(directory, kube_node, expired=expired, hosts=hosts)
        (directory / "token").write_text(token + "\n")
        heard: list[object] = []
        own = roster or Roster((RosterEntry(0, f"pod-{kube_node[-1]}", "c0"),))
        link = Link(
            address or f"127.0.0.1:{self.port}",
            Identity(directory, directory / "token"),
            session or AgentSession(7),
            lambda: NodeFacts(kube_node, roster=own, sent_seconds=time.time()),
            heard.append,
            now=time.time,
            draw=lambda: 0.5,
            backoff=QUICK,
            server_name=OPERATOR_HOST,
        )
        return link, heard


@asynccontextmanager
async def attending(*links: Link) -> AsyncIterator[None]:
    """Links that attend until the block ends."""
    tasks = [asyncio.create_task(each.attend()) for each in links]
    try:
        yield
    finally:
        for each in tasks:
            each.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def until(what: Callable[[], object], seconds: float = 120.0) -> None:
    """Wait until something holds; the event loop runs meanwhile. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while not what():  # noqa: ASYNC110 -- what is waited for happens in code that knows no event
            await asyncio.sleep(0.01)
