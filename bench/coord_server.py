"""The operator's side of `bench/coord.py`, in a process of its own so that its cost can be told.

In: how many agents there will be, certificates, a port. Out: "ready PORT" on standard output, then streams
until SIGTERM; at its end what it heard and what it cost each second, as JSON in a file. Deltas are written to
a file beside it as each is heard, before it is acknowledged, so that they can be counted after SIGKILL too.
With `--held` it says "held" when all is made, and listens once it is told to on standard input. The door,
sessions, desk, guards and actor are the operator's, and each minute the desk's part of a loop: what has
ended, metrics, and the need that agents tell, under a policy that asks for it; of each node's containers one
is in the cluster. The rest of a loop (`make bench-loop`) and merges of shared models are not in it. Its API
server is one in memory that answers at once, tokens are taken from their names. With `--relay-to` it does not
lead, and carries its streams to the one at that port.
"""

import argparse
import asyncio
import json
import logging
import os
import signal
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from builders.attending import AGENTS, Reviews
from builders.authority import AGENT_HOST, OPERATOR_HOST
from builders.clusters import raw_kube_node, raw_pod, raw_policy
from builders.desks import Desks
from builders.loops import rig
from plimsoll.coordinate.admission import Admission, AdmissionRate, EachAdmission
from plimsoll.coordinate.messages import (
    AgentBody,
    LeaseAnswer,
    LeaseRequest,
    ModelDelta,
    NodeFacts,
    OperatorBody,
)
from plimsoll_operator.coordinate.desk import Desk
from plimsoll_operator.coordinate.identity import ServerIdentity
from plimsoll_operator.coordinate.relay import Relay
from plimsoll_operator.coordinate.server import Coordination, start
from plimsoll_operator.coordinate.tokens import Tokens
from plimsoll_operator.world import World

LIMIT_MIB = 1024
LOOK_SECONDS = 1.0
TICK, PAGE_BYTES = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
LOOP_SECONDS = 60.0  # the operator's own interval


@dataclass
class NamedTokens(Reviews):
    """A token `loadgen-7` is bound to `node-7`."""

    async def create(self, resource: Any, namespace: str, body: dict[str, Any]) -> dict[str, Any]:  # noqa: ANN401
        """A TokenReview."""
        token = body["spec"]["token"]
        self.kube_nodes[token] = f"node-{token.rpartition('-')[2]}"
        return await super().create(resource, namespace, body)


@dataclass(frozen=True, slots=True)
class Look:
    """This process at a moment: seconds of the monotonic clock, then totals, then what is so now."""

    at: float
    cpu_seconds: float
    machine_busy_seconds: float  # of all its cores together
    samples: int
    attending: int
    memory_mib: float
    open_files: int


@dataclass
class Counting:
    """Passes on to the desk, writes the deltas down, and tells how long a lease takes in this process."""

    desk: Desk
    deltas: BinaryIO  # unbuffered
    asked: dict[int, float] = field(default_factory=dict)
    leases: list[tuple[float, float]] = field(default_factory=list)  # when each was answered, what it took

    def greeted(self, kube_node: str, facts: NodeFacts, now_seconds: float) -> None:
        """A node's stream was opened."""
        self.desk.greeted(kube_node, facts, now_seconds)

    def heard(self, kube_node: str, body: AgentBody, now_seconds: float) -> None:
        """A node has said something."""
        if isinstance(body, ModelDelta):
            self.deltas.write(f"{body.checksum}\n".encode())
        if isinstance(body, LeaseRequest):
            self.asked[body.lease_id] = time.monotonic()
        self.desk.heard(kube_node, body, now_seconds)

    def answered(self, body: OperatorBody) -> None:
        """Something was said to a node."""
        if isinstance(body, LeaseAnswer) and (asked := self.asked.pop(body.lease_id, None)) is not None:
            self.leases.append((now := time.monotonic(), now - asked))


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
    return Desks(made, time.time_ns(), pause=asyncio.sleep)


async def loop(desk: Desk, world: World) -> None:
    """The desk's part of the operator's loop, each minute."""
    while True:
        desk.begin(world, time.time())
        await desk.needs(world)
        await asyncio.sleep(LOOP_SECONDS)


async def look(service: Coordination, looks: list[Look]) -> None:
    """What it costs, each second."""
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        looks.append(looked(service))


def looked(service: Coordination) -> Look:
    """What it has cost by now."""
    times, carried = os.times(), 0 if service.relay is None else len(service.relay)
    busy = Path("/proc/stat").read_text().split("\n", 1)[0].split()
    return Look(
        at=time.monotonic(),
        cpu_seconds=times.user + times.system,
        machine_busy_seconds=sum(int(each) for each in (*busy[1:4], *busy[6:9])) / TICK,
        samples=service.counts.messages_total["sample_batch"],
        attending=len(service._streams) + carried,  # noqa: SLF001
        memory_mib=int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES / 2**20,
        open_files=len(list(Path("/proc/self/fd").iterdir())),
    )


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

    def offer(kube_node: str, body: OperatorBody) -> bool:
        counting.answered(body)
        return service.offer(kube_node, body)

    desks.offer = offer
    if options.held:
        print("held", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
    server, port = await start(service, identity, "127.0.0.1", options.port)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    looks = list[Look]()
    tasks = [
        asyncio.create_task(each) for each in (loop(desks.desk, desks.rig.loop.world), look(service, looks))
    ]
    print(f"ready {port}", flush=True)
    await ended.wait()
    for each in tasks:
        each.cancel()
    await server.stop(None)
    counts = service.counts
    return {
        "streams": counts.streams_total,
        "refusals": dict(counts.refusals_total),
        "messages": dict(counts.messages_total),
        "reviews": service.tokens.reviews_total,
        "resizes": len(desks.rig.api.resizes),
        "leases": counting.leases,
        "looks": [asdict(each) for each in looks],
    }


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agents", type=int, required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--relay-to", type=int, default=0)
    parser.add_argument("--identity-dir", type=Path, required=True)
    parser.add_argument("--per-second", type=float, default=100.0)
    parser.add_argument("--held", action="store_true")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    with options.out.with_suffix(".deltas").open("wb", buffering=0) as deltas:
        options.out.write_text(json.dumps(asyncio.run(serve(options, deltas))))


if __name__ == "__main__":
    main()
