"""A thousand agents a second at a served operator, over real gRPC and TLS, until all of them are in.

The door's clock is the test's: a second is over when a thousand streams were opened, however long the machine
takes, and who is sent away comes back by that clock, as the agent's own code waits. All streams are of one
connection; what handshakes cost is measured by `make bench-coord`.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np

from builders.attending import Attended
from builders.authority import OPERATOR_HOST, Authority
from plimsoll.coordinate.messages import NodeFacts, Roster, RosterEntry
from plimsoll.coordinate.reconnect import Backoff
from plimsoll.coordinate.session import AgentSession
from plimsoll_nodeagent.coordinate.identity import Identity
from plimsoll_proto import service, wire
from plimsoll_proto.v1 import operator_pb2

AGENTS, PER_SECOND = 3000, 1000
TOGETHER_SECONDS = 0.1  # who comes within such a time comes at once
STORM_SECONDS = 60.0


@dataclass
class Storm:
    """Agents that open streams and keep them; `now` is the clock of all."""

    operator: Attended
    now: float = 0.0
    told_to_wait: int = 0
    in_at: dict[int, float] = field(default_factory=dict)
    calls: list[Any] = field(default_factory=list)
    open_stream: Any = None

    @asynccontextmanager
    async def connected(self) -> AsyncIterator["Storm"]:
        """One connection for all."""
        directory = self.operator.authority.write(self.operator.directory / "agents", "agent")
        identity = Identity(directory, directory / "token")
        options = (("grpc.ssl_target_name_override", OPERATOR_HOST),)
        address = f"127.0.0.1:{self.operator.port}"
        async with grpc.aio.secure_channel(address, identity.credentials(), options=options) as channel:
            self.open_stream = channel.stream_stream(
                service.PATH,
                request_serializer=service.request_bytes,
                response_deserializer=service.response_of,
            )
            yield self
            for each in self.calls:
                each.cancel()

    async def comes(self, number: int) -> float | None:
        """An agent opens a stream; None: it is in. Else for how long it was told to stay away."""
        call = self.open_stream(metadata=((service.AUTHORIZATION, f"Bearer token-{number}"),))
        said = NodeFacts(
            f"node-{number}", roster=Roster((RosterEntry(0, f"pod-{number}", "c"),)), sent_seconds=time.time()
        )
        try:
            await call.write(wire.hello(AgentSession(number + 1).greet(), said))
            answer = await call.read()
        except grpc.aio.AioRpcError:
            answer = None
        if isinstance(answer, operator_pb2.AttendResponse):
            self.in_at[number] = self.now
            self.calls.append(call)
            return None
        wait = service.retry_seconds(await call.trailing_metadata())
        self.told_to_wait += wait > 0.0
        return wait

    async def rages(self) -> None:
        """Everybody comes, and comes back until all are in."""
        backoff, draw = Backoff(), np.random.default_rng(7)
        due = [(number / PER_SECOND, number) for number in range(AGENTS)]
        while due:
            due.sort()
            last = due[0][0] + TOGETHER_SECONDS
            together, due = (
                [each for each in due if each[0] < last],
                [each for each in due if each[0] >= last],
            )
            self.now = together[-1][0]
            waits = await asyncio.gather(*(self.comes(number) for _, number in together))
            due += [
                (self.now + backoff.wait_seconds(1, float(draw.random()), wait), number)
                for (_, number), wait in zip(together, waits, strict=True)
                if wait is not None
            ]


async def test_a_thousand_a_second_are_sent_away_before_any_review_and_all_in_within_a_minute(
    tmp_path, counted
):
    operator = Attended(tmp_path, Authority(), review_seconds=1e6)  # none again while a slow machine is at it
    storm = Storm(operator)
    operator.monotonic = lambda: storm.now
    operator.options = (("grpc.max_concurrent_streams", 2 * AGENTS),)
    operator.reviews.kube_nodes = {f"token-{number}": f"node-{number}" for number in range(AGENTS)}
    async with operator.serving(), storm.connected():
        await storm.rages()
        door, refusals = operator.admission, operator.service.counts.refusals_total
        assert storm.told_to_wait >= AGENTS / 2, "it was a storm"
        assert refusals["rate"] == door.refused_total == storm.told_to_wait
        assert operator.reviews.asked == door.admitted_total == AGENTS, (
            "nobody was reviewed who was sent away"
        )
        in_time = sum(at <= STORM_SECONDS for at in storm.in_at.values())
        attending = len(operator.service._streams)
        assert in_time == attending == len(set(operator.heard.greeted_nodes)) == AGENTS
        assert len(operator.heard.greeted_nodes) == AGENTS, "nobody came twice"
    counted(
        "1,000 reconnects a second, over gRPC", injected=AGENTS, survived=in_time, lost=AGENTS - attending,
        of=AGENTS, what="agents",
    )  # fmt: skip
