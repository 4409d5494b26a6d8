"""Operator's loop and agent's loop joined by a real stream, each with a clock of its own.

In: a directory, by how many seconds the agent's clock is ahead. Out: both, with a container of 64 MiB whose
limit is 80 MiB and whose forecast asks for 60. Not real: the kernel (a twin behind the same door), the API
server and the kubelet (`kubelet` writes memory.max as one does once the resize is in the pod's spec).
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from builders.agents import AgentOn
from builders.attending import QUICK, Attended, attending, until
from builders.authority import Authority
from builders.cgroup_tree import MIB
from builders.clusters import NOW, raw_pod, raw_policy
from builders.desks import Desks
from builders.loops import rig
from plimsoll.coordinate.attendance import Presence
from plimsoll_nodeagent.coordinate.assemble import accompany
from plimsoll_nodeagent.main import parser

TOLD = {"policy": None, "flags": ("--policies-from-operator", "--operator-address=of-the-link:1")}


@dataclass
class Joined:
    """Both loops; time is moved by hand."""

    desks: Desks
    agent: AgentOn
    beside: object
    served: Attended
    skew_seconds: float = 0.0
    """How far the agent's clock is ahead; a clock that is set is another value here and in `agent.now`."""

    @property
    def rig(self):
        return self.desks.rig

    @property
    def now(self) -> float:
        """The operator's clock."""
        return self.agent.now - self.skew_seconds

    def leap(self, seconds: float) -> None:
        """Somebody sets the agent's clock."""
        self.skew_seconds += seconds
        self.agent.now += seconds

    def spec_mib(self) -> float:
        return self.rig.limit()

    def kubelet(self) -> None:
        """Do what the pod's spec says."""
        self.agent.node.file(1, "memory.max").write_text(f"{int(self.spec_mib()) * MIB}\n")

    def usage_mib(self) -> float:
        return int(self.agent.node.file(1, "memory.current").read_text()) / MIB

    async def heed(self, seconds: int) -> None:
        """The agent's seconds, with time for messages between them."""
        for _ in range(seconds):
            self.agent.now += 1.0
            self.agent.made.agent.heed(0.0, lambda: self.agent.now)
            await asyncio.sleep(0.05)

    def burst(self) -> list:
        """Usage grows by 6 MiB a second towards the limit; what the agent asks for meanwhile."""
        asked = []
        for quarter in range(1, 8):
            self.agent.now += 0.25
            self.agent.node.file(1, "memory.current").write_text(f"{int((64 + 1.5 * quarter) * MIB)}\n")
            asked += list(self.beside.companion.look_for_bursts(self.agent.now))
        return asked

    async def loop(self, now_seconds: float):
        """One of the operator's, at its own time."""
        self.agent.now = max(self.agent.now, now_seconds + self.skew_seconds - 5.0)
        self.agent.tick()
        present = self.desks.attendance.presence
        await until(lambda: present("n1", self.now) is Presence.PRESENT)
        await until(lambda: self.beside.link.state.heard_seconds >= self.agent.now - 1.0)
        return await self.rig.once(self.now)


@asynccontextmanager
async def join(
    directory: Path, skew_seconds: float = 0.0, *, told: bool = False, **spec: object
) -> AsyncIterator[Joined]:
    """Both, until the block ends; `spec` goes into the operator's policy, of which it tells with `told`."""
    agent = AgentOn(directory / "agent", 1, **(TOLD if told else {}))
    agent.made.agent.sink = None  # there is no API server for NodeMemories
    agent.now = NOW + skew_seconds
    own = agent.node.discovered()[0]
    pod = raw_pod(uid=own.pod_uid, limit="80Mi", request="40Mi")
    pod["status"]["containerStatuses"][0]["containerID"] = f"containerd://{own.container_id}"
    agent.node.file(1, "memory.max").write_text(f"{80 * MIB}\n")
    made = rig(pod, policy=raw_policy(**spec), targets={"app": 60})
    made.engine.used_mib = 40.0
    await made.once(NOW)
    desks = Desks(made)
    desks.desk.begin(made.loop.world, NOW)
    joined = Joined(desks, agent, None, None, skew_seconds)
    served = joined.served = Attended(
        directory, Authority(), attendance=desks.attendance, now=lambda: joined.now
    )
    served.hearer, served.pods = desks.desk, {own.pod_uid: "n1"}
    async with served.serving():
        link, _ = served.agent("n1")  # its files; the agent's own link reads them
        identity = link._identity
        arguments = ["run", "--operator-address", f"127.0.0.1:{served.port}", "--kube-node", "n1"]
        arguments += ["--operator-identity-dir", str(identity.directory)]
        arguments += ["--operator-token-file", str(identity.token_file)]
        joined.beside = accompany(parser().parse_args(arguments), agent.made.agent)
        link = joined.beside.link
        link._backoff, link._now = QUICK, lambda: agent.now
        facts = link._facts
        link._facts = lambda: replace(facts(), sent_seconds=agent.now)
        desks.offer = served.service.offer
        async with attending(link):
            await until(lambda: link.state.attending)
            agent.tick()
            await until(lambda: desks.desk.views.available_bytes("n1", joined.now))
            yield joined
