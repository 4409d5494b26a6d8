"""The part of an operator that moves limits with agents, as a process that can be killed in the middle.

In: the file in which its API server keeps what it has acknowledged, what is to happen, from when on. Out: a
line for each step, and one when all of it is over. Loop, guards, desk and actor are the operator's own; the
API server answers at once and so does the kubelet, and what either has done is in the file. The agent is of
the same process, and says what an honest one says: it comes anew with each operator.
"""

import os
import pickle
from pathlib import Path

from builders.clusters import MIB, furnish
from builders.desks import Desks
from builders.killable import Stepped, one_after_the_other
from builders.kubeapi import MemoryApi
from builders.loops import Rig, SpokenEngine
from plimsoll.coordinate.messages import ShrinkCancel, ShrinkRequest, ShrinkStage
from plimsoll.coordinate.session import AgentSession
from plimsoll_operator.coordinate.shrinks import Shrinks
from plimsoll_operator.loop import Loop

TARGETS_MIB = {"shrink": 700, "lease": 1024}
MINUTE = 60
LASTS_SECONDS = 45 * MINUTE  # until a lease has ended, and the limit has fallen after the policy's cooldown
REPORT_SECONDS = 5
RECLAIMED_MIB = 100  # by an agent, from one report to the next


class StoredApi(MemoryApi):
    """What it has acknowledged outlives who asked for it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self.used_mib = 0.0
        self.writes = []  # every limit that was written, and what was in use then, MiB
        if path.exists():
            self.objects, self._version, self.writes = pickle.loads(path.read_bytes())
        else:
            furnish(self)

    def limit_mib(self) -> float:
        """Of the only container."""
        (pod,) = self.world().pods
        return pod.containers[0].spec.limit_bytes / MIB

    def _keep(self) -> None:
        beside = self._path.with_suffix(".new")
        beside.write_bytes(pickle.dumps((self.objects, self._version, self.writes)))
        beside.replace(self._path)

    async def resize(self, pod, values):
        before = self.limit_mib()
        await super().resize(pod, values)
        self.settle()
        if self.limit_mib() != before:
            self.writes.append((self.limit_mib(), self.used_mib))
        self._keep()
        return await self.read_pod(pod)

    async def read_pod(self, pod):
        """As the API server answers a resize."""
        return self.get("pods", pod.namespace, pod.name)

    async def create(self, *arguments):
        return self._kept(await super().create(*arguments))

    async def replace(self, *arguments):
        return self._kept(await super().replace(*arguments))

    async def patch_status(self, *arguments):
        return self._kept(await super().patch_status(*arguments))

    def _kept(self, answer):
        self._keep()
        return answer


STEPS = ((StoredApi, "resize"), (Desks, "_offer"), (Shrinks, "hear"), (Loop, "raise_now"))


class Agent:
    """Reclaims what it is asked to, and says what it sees."""

    def __init__(self, made: Desks, used_mib: float) -> None:
        self._made, self._asked = made, None
        self.used_mib = used_mib

    def says(self, now_seconds: float) -> None:
        """Its samples, and a report on what it was asked last."""
        made, api = self._made, self._made.rig.api
        for each in made.told():
            if isinstance(each, ShrinkRequest):
                self._asked = each
            elif isinstance(each, ShrinkCancel):
                self._asked = None
        if self._asked is not None and not self._asked.written:
            self.used_mib = max(self._asked.target_bytes / MIB * 0.9, self.used_mib - RECLAIMED_MIB)
        api.used_mib = self.used_mib
        made.samples(self.used_mib, now_seconds)
        if self._asked is not None:
            stage = self._stage()
            made.report(self._asked, stage, self.used_mib, now_seconds, max_mib=api.limit_mib())
            if stage is ShrinkStage.OBSERVED:
                self._asked = None

    def _stage(self) -> ShrinkStage:
        if self._asked.written:
            return ShrinkStage.OBSERVED
        reached = self.used_mib <= self._asked.target_bytes / MIB * 0.95
        return ShrinkStage.REACHED if reached else ShrinkStage.RECLAIMING


async def operate(stepped: Stepped, path: str, what: str, begin: float) -> None:
    """A loop a minute, and at once where a report wakes it; a lease is asked for unless it was written."""
    stepped.watch(STEPS)
    api = StoredApi(Path(path))
    made = Desks(Rig(api, SpokenEngine({"app": TARGETS_MIB[what]})), epoch_id=os.getpid())
    made.agent = AgentSession(os.getpid())
    agent = Agent(made, min(900.0, api.limit_mib() - 50.0))
    await made.once(begin)
    made.attend(begin)
    for seconds in range(REPORT_SECONDS, LASTS_SECONDS, REPORT_SECONDS):
        now, woken = begin + seconds, made.woken
        agent.says(now)
        if what == "lease" and seconds == 2 * MINUTE and not api.writes:
            await made.asks_for(400, now)
        if seconds % MINUTE == 0 or made.woken > woken:
            await made.once(now)
    print(f"done {stepped.done}", flush=True)


if __name__ == "__main__":
    one_after_the_other(operate)
