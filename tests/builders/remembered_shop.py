"""Two days of a small shop as its operators remember them: nothing in the memory is written by a test's hand.

In: directories for their files, an address of Redis. Out: an operator's real loop, engine, keeper and memory
on an API server in this process, whose kubelet and kernel are played: `web` follows the day and is killed
once, `cart` leaks. The first operator is killed ten minutes after the kill; another with an empty file of its
own goes on, with the same Redis.
"""

import copy
import math
from dataclasses import dataclass, field
from pathlib import Path

from builders.clusters import NOW, furnish, owner, raw_pod, raw_policy, stamp
from builders.kubeapi import MemoryApi
from builders.loops import Rig, WholeEngine
from builders.remembering import Remembering
from plimsoll.store.memory import open_memory

STEP_SECONDS = 600.0
HOURS = 48
KILLED_HOUR = 40
HOUR = 3600.0


@dataclass
class Shop:
    """A cluster, and the operator that runs on it now."""

    directory: Path
    redis_url: str
    api: MemoryApi = field(default_factory=MemoryApi)
    operators: list[Remembering] = field(default_factory=list)
    killed_seconds: float = 0.0
    now_seconds: float = NOW

    def __post_init__(self) -> None:
        cart = raw_pod("cart-0", owner=owner("StatefulSet", "cart"), limit="2Gi")
        furnish(self.api, raw_pod("web-0"), cart, policy=raw_policy(mode="InPlace"))

    @property
    def operator(self) -> Remembering:
        return self.operators[-1]

    def start(self) -> None:
        """Another operator: its file is new, the profiles and Redis are not."""
        path = self.directory / f"operator-{len(self.operators)}.db"
        made = Rig(self.api, WholeEngine())
        self.operators.append(Remembering(made, open_memory(str(path), self.redis_url)))

    def used_mib(self) -> dict[str, float]:
        """What both use now."""
        hours = (self.now_seconds - NOW) / HOUR
        return {"web-0": 400.0 + 200.0 * math.sin(hours * math.tau / 24), "cart-0": 300.0 + 15.0 * hours}

    def kill(self) -> None:
        """The kernel kills `web` at its limit, and the kubelet starts it again."""
        pod = copy.deepcopy(self.api.get("pods", "shop", "web-0"))
        (status,) = pod["status"]["containerStatuses"]
        ended = {"reason": "OOMKilled", "exitCode": 137, "finishedAt": stamp(self.now_seconds - 5)}
        status |= {"restartCount": 1, "lastState": {"terminated": ended | {"containerID": "c"}}}
        status["state"] = {"running": {"startedAt": stamp(self.now_seconds - 4)}}
        self.killed_seconds = self.now_seconds - 5
        self.api.put("pods", pod)

    async def step(self) -> None:
        """A loop, the kubelet's part, and what the memory does meanwhile."""
        made = self.operator.rig
        made.engine.use(self.used_mib())
        await made.once(self.now_seconds)
        self.api.settle()
        await self.operator.round()
        self.now_seconds += STEP_SECONDS

    async def days(self) -> None:
        """All of it."""
        self.start()
        while self.now_seconds < NOW + HOURS * HOUR:
            if self.now_seconds == NOW + KILLED_HOUR * HOUR:
                self.kill()
            if self.now_seconds == NOW + KILLED_HOUR * HOUR + 2 * STEP_SECONDS:
                self.start()  # the first ends without a word
            await self.step()
        await self.step()  # what was sent is read back
