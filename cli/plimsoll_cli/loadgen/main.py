"""`plimsoll-loadgen`: many simulated agents on one operator, and what they saw of it as JSON.

In: an operator's address, certificates, how many agents and for how long. Out: one JSON document on standard
output. Tokens are made from a template, so it speaks with an operator that knows them: `bench/coord.py`'s, or
one whose API server was given such tokens. It is for measuring and holds nothing back; do not point it at an
operator that is in use.
"""

import argparse
import asyncio
import contextlib
import json
import logging
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np

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


@dataclass(slots=True)
class Watched:
    """How many attended, each time that changed: seconds since the start."""

    changes: list[tuple[float, int]]

    async def look(self, agents: Sequence[SimulatedAgent], began: float) -> None:
        """Look until cancelled."""
        while True:
            attending = sum(each.link.state.attending for each in agents)
            if not self.changes or self.changes[-1][1] != attending:
                self.changes.append((round(time.monotonic() - began, 2), attending))
            await asyncio.sleep(LOOK_SECONDS)


async def run(options: argparse.Namespace) -> dict[str, object]:
    """Attend for as long as was asked; returns what there is to say."""
    identity = Identity(options.identity_dir, options.identity_dir / "token")
    said = Said(options.containers, options.sample_seconds, options.lease_seconds, options.delta_seconds)
    names = Names()
    agents = [
        SimulatedAgent(
            number,
            options.operator_address,
            Shown(identity, options.token_template.format(number=number)),
            said,
            names,
        )
        for number in range(options.agents)
    ]
    watched, began = Watched([]), time.monotonic()
    tasks = [asyncio.create_task(each.run()) for each in agents]
    tasks.append(asyncio.create_task(watched.look(agents, began)))
    await asyncio.sleep(options.seconds)
    for agent in agents:
        agent.silent = True
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LAST_SECONDS):
            while any(_waiting(each) for each in agents):  # noqa: ASYNC110 -- sessions know no event
                await asyncio.sleep(LOOK_SECONDS)
    for each in tasks:
        each.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return summary(agents, watched)


def summary(agents: Sequence[SimulatedAgent], watched: Watched) -> dict[str, object]:
    """What all agents saw together."""
    trips = np.array([each for agent in agents for each in agent.tally.round_trip_seconds])
    failures: dict[str, int] = {}
    for agent in agents:
        for kind, number in agent.link.state.failures_total.items():
            failures[kind] = failures.get(kind, 0) + number
    return {
        "agents": len(agents),
        "attending": watched.changes,
        "streams": sum(agent.link.state.streams_total for agent in agents),
        "samples": sum(agent.tally.samples for agent in agents),
        "samples_given_up": sum(agent.session.outbox.dropped_total for agent in agents),
        "refused_offers": sum(agent.tally.refused_offers for agent in agents),
        "leases": len(trips),
        "granted": sum(agent.tally.granted for agent in agents),
        "lease_p50_ms": float(np.percentile(trips, 50)) * 1e3 if len(trips) else None,
        "lease_p99_ms": float(np.percentile(trips, 99)) * 1e3 if len(trips) else None,
        "deltas": [each for agent in agents for each in agent.tally.deltas],
        "deltas_waiting": [
            each.checksum
            for agent in agents
            for each in agent.session.outbox.held
            if isinstance(each, ModelDelta)
        ],
        "failures": failures,
    }


def _waiting(agent: SimulatedAgent) -> bool:
    box = agent.session.outbox
    return bool(agent.tally.deltas) and len(box) > 0


def parser() -> argparse.ArgumentParser:
    """The flags."""
    whole = argparse.ArgumentParser(prog="plimsoll-loadgen", description="Simulated node agents.")
    whole.add_argument("--operator-address", required=True, metavar="HOST:PORT")
    whole.add_argument("--identity-dir", type=Path, required=True, help="tls.crt, tls.key and ca.crt")
    whole.add_argument("--token-template", default="loadgen-{number}", help="(default: %(default)s)")
    whole.add_argument("--agents", type=int, default=100)
    whole.add_argument("--containers", type=int, default=30, help="of each agent (default: %(default)s)")
    whole.add_argument("--sample-seconds", type=float, default=1.0, help="0: none (default: %(default)s)")
    whole.add_argument("--lease-seconds", type=float, default=10.0, help="0: none (default: %(default)s)")
    whole.add_argument("--delta-seconds", type=float, default=10.0, help="0: none (default: %(default)s)")
    whole.add_argument("--seconds", type=float, default=30.0, help="how long (default: %(default)s)")
    return whole


def main(arguments: Sequence[str] | None = None) -> int:
    """The console script."""
    logging.basicConfig(level=logging.ERROR)  # what failed is counted
    json.dump(asyncio.run(run(parser().parse_args(arguments))), sys.stdout)
    print()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
