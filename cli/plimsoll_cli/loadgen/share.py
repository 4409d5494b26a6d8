"""One process's share of the simulated agents: from their start to what they saw.

In: flags, which numbers the agents have, and when all began, on the clock that the processes of a machine
share. Out: a `Part`, which can be sent to another process. Agents start at a rate, and not together: what
does not come in within the agent's patience gives up and tries again, and then nobody comes in at all.
"""

import argparse
import asyncio
import contextlib
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass

import grpc

from plimsoll.coordinate.messages import ModelDelta
from plimsoll_cli.loadgen.agent import Names, Said, SimulatedAgent
from plimsoll_nodeagent.coordinate.identity import Identity
from plimsoll_proto.service import AUTHORIZATION

LOOK_SECONDS = 0.1
LAST_SECONDS = 10.0  # for what was said last to be acknowledged


@dataclass(frozen=True, slots=True)
class Shown:
    """The same certificate for all, a token for each."""

    identity: Identity
    token: str

    def credentials(self) -> grpc.ChannelCredentials:
        """TLS both ways."""
        return self.identity.credentials()

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """The token."""
        return ((AUTHORIZATION, f"Bearer {self.token}"),)


@dataclass(frozen=True, slots=True)
class Part:
    """What the agents of one process saw; moments are of the machine's monotonic clock, seconds."""

    agents: int
    silent_at: float  # from when on nothing more was said
    changes: list[tuple[float, int]]  # when, and how many attended from then on
    streams: int
    samples: int
    samples_given_up: int
    refused_offers: int
    leases_asked: int
    granted: int
    round_trips: list[tuple[float, float]]  # of leases: when each ended, and what it took
    deltas: list[str]
    deltas_waiting: list[str]
    failures: dict[str, int]
    cpu_seconds: float


async def attend(options: argparse.Namespace, numbers: range, began: float) -> Part:
    """Attend with these agents for as long as was asked, from when all are in or had their time for it."""
    agents = _agents(options, numbers)
    changes: list[tuple[float, int]] = []
    tasks = [
        asyncio.create_task(_from(began + number / options.starts_per_second, agent))
        for number, agent in zip(numbers, agents, strict=True)
    ]
    tasks.append(asyncio.create_task(_look(agents, changes)))
    started = began + options.agents / options.starts_per_second
    await asyncio.sleep(started - time.monotonic())
    while not all(each.link.state.attending for each in agents):
        if time.monotonic() > started + options.starting_seconds:
            break
        await asyncio.sleep(LOOK_SECONDS)
    await asyncio.sleep(options.seconds)
    silent_at = time.monotonic()
    for agent in agents:
        agent.silent = True
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LAST_SECONDS):
            while any(_waiting(each) for each in agents):  # noqa: ASYNC110 -- sessions know no event
                await asyncio.sleep(LOOK_SECONDS)
    for each in tasks:
        each.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return _part(agents, silent_at, changes)


def _agents(options: argparse.Namespace, numbers: Sequence[int]) -> list[SimulatedAgent]:
    identity = Identity(options.identity_dir, options.identity_dir / "token")
    said = Said(options.containers, options.sample_seconds, options.lease_seconds, options.delta_seconds)
    template, names = options.token_template, Names()
    return [
        SimulatedAgent(
            number, options.operator_address, Shown(identity, template.format(number=number)), said, names
        )
        for number in numbers
    ]


async def _from(at: float, agent: SimulatedAgent) -> None:
    await asyncio.sleep(at - time.monotonic())
    await agent.run()


async def _look(agents: Sequence[SimulatedAgent], changes: list[tuple[float, int]]) -> None:
    """How many attend, each time that this has changed."""
    while True:
        attending = sum(each.link.state.attending for each in agents)
        if not changes or changes[-1][1] != attending:
            changes.append((round(time.monotonic(), 2), attending))
        await asyncio.sleep(LOOK_SECONDS)


def _waiting(agent: SimulatedAgent) -> bool:
    return bool(agent.tally.deltas) and len(agent.session.outbox) > 0


def _part(agents: Sequence[SimulatedAgent], silent_at: float, changes: list[tuple[float, int]]) -> Part:
    failures: dict[str, int] = {}
    for agent in agents:
        for kind, number in agent.link.state.failures_total.items():
            failures[kind] = failures.get(kind, 0) + number
    times = os.times()
    return Part(
        agents=len(agents),
        silent_at=silent_at,
        changes=changes,
        streams=sum(each.link.state.streams_total for each in agents),
        samples=sum(each.tally.samples for each in agents),
        samples_given_up=sum(each.session.outbox.dropped_total for each in agents),
        refused_offers=sum(each.tally.refused_offers for each in agents),
        leases_asked=sum(each.tally.leases_asked for each in agents),
        granted=sum(each.tally.granted for each in agents),
        round_trips=[trip for each in agents for trip in each.tally.round_trips],
        deltas=[checksum for each in agents for checksum in each.tally.deltas],
        deltas_waiting=[
            body.checksum
            for each in agents
            for body in each.session.outbox.held
            if isinstance(body, ModelDelta)
        ],
        failures=failures,
        cpu_seconds=times.user + times.system,
    )
