"""One simulated agent: the real agent's stream, with made-up containers behind it.

In: a number, a plan of what to say how often. Out: samples, leases asked for and their round trips, numbered
deltas that can be counted at the other end. The link, its numbers and its reconnecting are the agent's own
code; only what is measured on a node is drawn.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from plimsoll.coordinate.messages import (
    LeaseAnswer,
    LeaseRequest,
    ModelDelta,
    NodeFacts,
    OperatorBody,
    Roster,
    RosterEntry,
    SampleBatch,
)
from plimsoll.coordinate.session import AgentSession
from plimsoll_nodeagent.coordinate.link import AgentSide, Link, Shows

PAGE_BYTES = 4096
MIB = 1 << 20
LEASED_BYTES = 8 * MIB
# Connections of their own: else gRPC would put all simulated agents on one.
OWN_CONNECTION = (("grpc.use_local_subchannel_pool", 1),)


@dataclass(frozen=True, slots=True)
class Said:
    """How much each agent says, seconds between two; 0: never."""

    containers: int = 30
    sample_seconds: float = 1.0
    lease_seconds: float = 10.0
    delta_seconds: float = 10.0


@dataclass(frozen=True, slots=True)
class Names:
    """What a simulated agent calls itself and its first container; `{number}` is replaced."""

    kube_node: str = "node-{number}"
    pod_uid: str = "uid-web-{number}"
    container_id: str = "web-{number}-0"

    def of(self, number: int) -> tuple[str, str, str]:
        """Node, pod uid and container id of one agent."""
        texts = (self.kube_node, self.pod_uid, self.container_id)
        kube_node, pod_uid, container_id = (each.format(number=number) for each in texts)
        return kube_node, pod_uid, container_id


@dataclass(slots=True)
class Tally:
    """What one agent has done."""

    samples: int = 0
    deltas: list[str] = field(default_factory=list)
    refused_offers: int = 0
    leases_asked: int = 0
    round_trips: list[tuple[float, float]] = field(
        default_factory=list
    )  # when it ended, what it took; seconds
    granted: int = 0


class SimulatedAgent:
    """One agent; `clock` counts up in seconds."""

    def __init__(
        self,
        number: int,
        address: str,
        identity: Shows,
        said: Said,
        names: Names,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._said, self._clock = said, clock
        self._draw = np.random.default_rng(number)
        self._usage = self._draw.integers(12_800, 262_144, said.containers).astype(np.float64)  # pages
        self._asked: dict[int, float] = {}
        self._leased_max_bytes = 1 << 30  # memory.max of the container that asks for leases
        self._next_id = number << 32
        self.kube_node, pod_uid, container_id = names.of(number)
        entries = [RosterEntry(0, pod_uid, container_id)]
        entries += [
            RosterEntry(index, f"{self.kube_node}-pod-{index}", f"{self.kube_node}-{index}")
            for index in range(1, said.containers)
        ]
        roster = Roster(tuple(entries))
        session: AgentSide = AgentSession((number << 20 | 7) + 1)
        self.session, self.tally = session, Tally()
        self.silent = False  # says nothing more, and goes on hearing
        self.link = Link(
            address,
            identity,
            session,
            lambda: NodeFacts(self.kube_node, "loadgen", roster=roster, sent_seconds=time.time()),
            self._hear,
            now=time.time,
            draw=lambda: float(self._draw.random()),
            options=OWN_CONNECTION,
        )

    async def run(self) -> None:
        """Attend and speak, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.link.attend())
            for every, say in (
                (self._said.sample_seconds, self._sample),
                (self._said.lease_seconds, self._lease),
                (self._said.delta_seconds, self._delta),
            ):
                if every > 0:
                    tasks.create_task(self._repeat(every, say))

    async def _repeat(self, every_seconds: float, say: Callable[[], None]) -> None:
        await asyncio.sleep(every_seconds * float(self._draw.random()))  # nodes do not tick together
        while not self.silent:
            say()
            await asyncio.sleep(every_seconds)

    def _sample(self) -> None:
        steps = self._draw.integers(-256, 257, len(self._usage))
        self._usage = np.maximum(self._usage + steps, 256.0)
        usage = self._usage * PAGE_BYTES
        columns = {"usage_bytes": usage, "working_set_bytes": usage * 0.75 // PAGE_BYTES * PAGE_BYTES}
        columns |= {"memory_max_bytes": np.full(len(usage), float(1 << 30))}
        batch = SampleBatch(
            time.time(),
            np.arange(len(usage), dtype=np.int64),
            columns,
            32 << 30,
            self.session.outbox.dropped_total,
        )
        self.link.offer(batch, level=True)
        self.tally.samples += 1

    def _lease(self) -> None:
        if not self.link.state.attending:
            return
        self._next_id += 1
        self.tally.leases_asked += 1
        self._asked[self._next_id] = self._clock()
        limit = self._leased_max_bytes
        ask = LeaseRequest(self._next_id, 0, LEASED_BYTES, limit, MIB, 3.0, time.time())
        self.tally.refused_offers += not self.link.offer(ask)

    def _delta(self) -> None:
        checksum = f"{self.kube_node}/{len(self.tally.deltas)}"
        if self.link.offer(ModelDelta(checksum, "loadgen", "none", 1, "", 1, b"")):
            self.tally.deltas.append(checksum)
        else:
            self.tally.refused_offers += 1

    def _hear(self, body: OperatorBody) -> None:
        if isinstance(body, LeaseAnswer) and (asked := self._asked.pop(body.lease_id, None)) is not None:
            ended = self._clock()
            self.tally.round_trips.append((ended, ended - asked))
            self.tally.granted += body.limit_bytes > 0
            self._leased_max_bytes = max(self._leased_max_bytes, body.limit_bytes)
