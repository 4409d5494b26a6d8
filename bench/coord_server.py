"""The operator's side of `bench/coord.py`, in a process of its own so that its cost can be told.

In: how many agents there will be, certificates, a port. Out: "ready PORT" on standard output, then streams
until SIGTERM; at its end what it heard, as JSON in a file. Deltas are written to a file beside it as each is
heard, before it is acknowledged, so that they can be counted after SIGKILL too. The door, sessions, desk,
guards and actor are the operator's, and each minute the desk's part of a loop: what has ended, metrics, and
the need that agents tell, under a policy that asks for it; of each node's containers one is in the cluster.
The rest of a loop (`make bench-loop`) and merges of shared models are not in it. Its API server is one in
memory that answers at once, tokens are taken from their names. With `--relay-to` it does not lead, and
carries its streams to the one at that port.
"""

import argparse
import asyncio
import json
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from builders.attending import AGENTS, Reviews
from builders.authority import AGENT_HOST, OPERATOR_HOST
from builders.clusters import raw_kube_node, raw_pod, raw_policy
from builders.desks import Desks
from builders.loops import rig
from plimsoll.coordinate.admission import Admission, AdmissionRate, EachAdmission
from plimsoll.coordinate.messages import AgentBody, ModelDelta, NodeFacts
from plimsoll_operator.coordinate.desk import Desk
from plimsoll_operator.coordinate.identity import ServerIdentity
from plimsoll_operator.coordinate.relay import Relay
from plimsoll_operator.coordinate.server import Coordination, start
from plimsoll_operator.coordinate.tokens import Tokens
from plimsoll_operator.world import World

LIMIT_MIB = 1024
LOOP_SECONDS = 60.0  # the operator's own interval


@dataclass
class NamedTokens(Reviews):
    """A token `loadgen-7` is bound to `node-7`."""

    async def create(self, resource: Any, namespace: str, body: dict[str, Any]) -> dict[str, Any]:  # noqa: ANN401
        """A TokenReview."""
        token = body["spec"]["token"]
        self.kube_nodes[token] = f"node-{token.rpartition('-')[2]}"
        return await super().create(resource, namespace, body)


@dataclass
class Counting:
    """Passes on to the desk, and writes the deltas down."""

    desk: Desk
    deltas: BinaryIO  # unbuffered

    def greeted(self, kube_node: str, facts: NodeFacts, now_seconds: float) -> None:
        """A node's stream was opened."""
        self.desk.greeted(kube_node, facts, now_seconds)

    def heard(self, kube_node: str, body: AgentBody, now_seconds: float) -> None:
        """A node has said something."""
        if isinstance(body, ModelDelta):
            self.deltas.write(f"{body.checksum}\n".encode())
        self.desk.heard(kube_node, body, now_seconds)


async def cluster(agents: int) -> Desks:
    """As many nodes with a pod each, whose limits are as the forecast wants them."""
    now = time.time()
    made = rig(
        *(raw_pod(f"web-{number}", node=f"node-{number}") for number in range(agents)),
        targets={"app": LIMIT_MIB},
        policy=raw_policy(limits={"basis": "needed"}),
    )
    for number in range(agents):
        made.api.put("nodes", raw_kube_node(f"node-{number}"))
    for _ in range(2):  # the first puts the originals on record
        await made.once(now)
    return Desks(made, time.time_ns())


async def loop(desk: Desk, world: World) -> None:
    """The desk's part of the operator's loop, each minute."""
    while True:
        desk.begin(world, time.time())
        await desk.needs(world)
        await asyncio.sleep(LOOP_SECONDS)


async def serve(options: argparse.Namespace, deltas: BinaryIO) -> dict[str, object]:
    """Serve until SIGTERM."""
    desks = await cluster(options.agents)
    counting = Counting(desks.desk, deltas)
    membership = desks.rig.membership
    identity, leader = ServerIdentity(options.identity_dir), f"127.0.0.1:{options.relay_to}"
    service = Coordination(
        attendance=desks.attendance,
        tokens=Tokens(NamedTokens(), "plimsoll", time.monotonic),
        username=AGENTS,
        agents_name=AGENT_HOST,
        operators_name=OPERATOR_HOST,
        hearer=counting,
        kube_node_of_pod=lambda uid: None if (pod := membership.pod(uid)) is None else pod.kube_node,
        leads=lambda: not options.relay_to,
        now=time.time,
        monotonic=time.monotonic,
        admission=Admission(AdmissionRate(options.per_second, 2 * options.per_second)),
        addresses=EachAdmission(AdmissionRate(1e6, 1e6)),  # all simulated agents are at one
        relay=Relay(identity, lambda: leader, OPERATOR_HOST, time.monotonic) if options.relay_to else None,
    )
    desks.offer = service.offer
    server, port = await start(service, identity, "127.0.0.1", options.port)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    looping = asyncio.create_task(loop(desks.desk, desks.rig.loop.world))
    print(f"ready {port}", flush=True)
    await ended.wait()
    looping.cancel()
    await server.stop(None)
    counts = service.counts
    return {
        "streams": counts.streams_total,
        "refusals": dict(counts.refusals_total),
        "messages": dict(counts.messages_total),
        "reviews": service.tokens.reviews_total,
        "resizes": len(desks.rig.api.resizes),
    }


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agents", type=int, required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--relay-to", type=int, default=0)
    parser.add_argument("--identity-dir", type=Path, required=True)
    parser.add_argument("--per-second", type=float, default=100.0)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    with options.out.with_suffix(".deltas").open("wb", buffering=0) as deltas:
        options.out.write_text(json.dumps(asyncio.run(serve(options, deltas))))


if __name__ == "__main__":
    main()
