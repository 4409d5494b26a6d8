"""Operator's loop and agent's loop joined by a real stream: a forecast becomes memory.max, a burst a lease.

Not real here: the kernel (a twin behind the same door), the API server and the kubelet (the test writes
memory.max as a kubelet does once the resize is in the pod's spec).
"""

import asyncio
from dataclasses import dataclass

import pytest

from builders.agents import AgentOn
from builders.attending import QUICK, Attended, attending, until
from builders.authority import Authority
from builders.cgroup_tree import MIB
from builders.clusters import NOW, raw_pod
from builders.desks import Desks
from builders.loops import MINUTE, rig
from plimsoll.coordinate.attendance import Presence
from plimsoll_nodeagent.coordinate.assemble import accompany
from plimsoll_nodeagent.main import parser


@dataclass
class Joined:
    """Both loops; time is moved by hand."""

    desks: Desks
    agent: AgentOn
    beside: object
    served: Attended

    @property
    def rig(self):
        return self.desks.rig

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

    async def loop(self, now_seconds: float):
        self.agent.now = max(self.agent.now, now_seconds - 5.0)
        self.agent.tick()
        present = self.desks.attendance.presence
        await until(lambda: present("n1", self.agent.now) is Presence.PRESENT)
        await until(lambda: self.beside.link.state.heard_seconds >= self.agent.now - 1.0)
        return await self.rig.once(self.agent.now)


@pytest.fixture
async def joined(tmp_path):
    """A container of 64 MiB with a limit of 80, for which the forecast asks 60."""
    agent = AgentOn(tmp_path / "agent", containers=1)
    agent.now = NOW
    own = agent.node.discovered()[0]
    pod = raw_pod(uid=own.pod_uid, limit="80Mi", request="40Mi")
    pod["status"]["containerStatuses"][0]["containerID"] = f"containerd://{own.container_id}"
    agent.node.file(1, "memory.max").write_text(f"{80 * MIB}\n")
    made = rig(pod, targets={"app": 60})
    made.engine.used_mib = 40.0
    await made.once(NOW)
    desks = Desks(made)
    served = Attended(tmp_path, Authority(), attendance=desks.attendance, now=lambda: agent.now)
    served.hearer, served.pods = desks.desk, {own.pod_uid: "n1"}
    async with served.serving():
        link, _ = served.agent("n1")  # its files; the agent's own link reads them
        identity = link._identity
        arguments = ["run", "--operator-address", f"127.0.0.1:{served.port}", "--kube-node", "n1"]
        arguments += ["--operator-identity-dir", str(identity.directory)]
        arguments += ["--operator-token-file", str(identity.token_file)]
        beside = accompany(parser().parse_args(arguments), agent.made.agent)
        beside.link._backoff, beside.link._now = QUICK, lambda: agent.now
        desks.offer = served.service.offer
        async with attending(beside.link):
            await until(lambda: beside.link.state.attending)
            agent.tick()
            await until(lambda: desks.desk.views.available_bytes("n1"))
            yield Joined(desks, agent, beside, served)


async def test_a_forecast_lowers_the_limit_after_the_agent_has_made_room(joined):
    await joined.loop(NOW + MINUTE)
    assert joined.spec_mib() == 80
    await until(lambda: not joined.beside.companion._heard.empty())
    await joined.heed(8)
    assert joined.usage_mib() <= 57  # taken in the kernel before the limit falls
    await until(lambda: joined.desks.woken)
    assert joined.spec_mib() == 80
    await joined.loop(joined.agent.now)
    assert joined.spec_mib() == 60
    assert joined.usage_mib() < 60
    await until(lambda: not joined.beside.companion._heard.empty())
    joined.kubelet()
    await joined.heed(3)
    await until(lambda: joined.rig.metrics.value("plimsoll_shrinks_total", outcome="done") == 1)


async def test_a_kubelet_that_does_nothing_is_rolled_back(joined):
    await joined.loop(NOW + MINUTE)
    await until(lambda: not joined.beside.companion._heard.empty())
    await joined.heed(8)
    await joined.loop(joined.agent.now)
    assert joined.spec_mib() == 60
    for _ in range(8):
        joined.agent.now += 10.0
        await joined.heed(1)
    await joined.loop(joined.agent.now)
    assert joined.spec_mib() == 80
    assert joined.rig.metrics.value("plimsoll_shrinks_total", outcome="rolled-back") == 1


async def test_a_burst_is_lent_room_before_it_meets_its_limit(joined):
    joined.rig.engine.targets["app"] = 80
    await joined.loop(NOW + MINUTE)
    lent = []
    for quarter in range(1, 8):
        joined.agent.now += 0.25
        joined.agent.node.file(1, "memory.current").write_text(f"{int((64 + 1.5 * quarter) * MIB)}\n")
        lent += list(joined.beside.companion.look_for_bursts(joined.agent.now))
    assert lent
    await until(lambda: joined.spec_mib() > 80)
    assert joined.usage_mib() < 80  # there was still room when it came
    await until(lambda: not joined.beside.companion._heard.empty())
    await joined.heed(1)
    assert joined.beside.companion.leases["granted"] == 1
