"""A container that is mostly file cache, its agent's law and its operator, on one clock moved by hand.

In: MiB of its own memory and of file cache, its limit, its policy, a past. Out: minute by minute what it
uses, what its agent says, its limit. Real: the law of reclaim, the search by refaults, need, the agent's side
of a shrink, desk, engine, pipeline, guards, actor. Not real: kernel, kubelet (it measures all that is used
and does every resize at once), API server, stream.
"""

from dataclasses import dataclass, field

import numpy as np

from builders.clusters import MIB, NOW, furnish, raw_pod, raw_policy
from builders.desks import Desks
from builders.kubeapi import MemoryApi
from builders.loops import Rig, WholeEngine
from plimsoll.api.reclaim import ReclaimMode
from plimsoll.coordinate.messages import SampleBatch, ShrinkCancel, ShrinkRequest, ShrinkStage
from plimsoll.coordinate.sought import unsure_bytes
from plimsoll.coordinate.towards import TowardsReading, TowardsTarget
from plimsoll.pages.control_law import ReclaimLaw
from plimsoll.pages.control_types import ContainerReading, Reason, ReclaimPolicy
from plimsoll.pages.refault_set import RefaultSet
from plimsoll.pages.working_set import need
from plimsoll_operator.observe.backfill import ContainerPast

STEP, LOOK, LOOP = 5.0, 10.0, 15.0  # of this clock; between two looks of the agent; between two loops
HOUR = 3600.0
SUFFERS = (Reason.THRASHING, Reason.PRESSURE)


@dataclass
class CacheHeavy:
    """What the kernel has of it, and the agent's law; amounts in bytes."""

    own_bytes: int
    cache_bytes: int
    hot_bytes: int = 0
    """Of the cache, what is read all the time: it comes back at once."""
    out_bytes: int = 0
    returned_bytes: int = 0
    law: ReclaimLaw = field(default_factory=lambda: ReclaimLaw(ReclaimPolicy(ReclaimMode.COLD)))
    probed: RefaultSet = field(default_factory=RefaultSet)

    @property
    def usage_bytes(self) -> int:
        """All that is charged."""
        return self.own_bytes + self.cache_bytes - self.out_bytes

    def take(self, wanted_bytes: int) -> int:
        """What is idle goes first; what is hot is back before anybody looks."""
        taken = min(wanted_bytes, self.cache_bytes - self.out_bytes)
        self.out_bytes += taken
        back = max(0, self.out_bytes - (self.cache_bytes - self.hot_bytes))
        self.out_bytes -= back
        self.returned_bytes += back
        return taken

    def read_again(self, limit_mib: float) -> None:
        """All that was given back is asked for; what is beyond the limit goes as it comes."""
        self.returned_bytes += self.out_bytes
        self.out_bytes = max(0, self.own_bytes + self.cache_bytes - int(limit_mib * MIB))

    def look(self, now_seconds: float, *, rests: bool) -> dict[str, np.ndarray]:
        """The agent's tick: act, unless a shrink is under way, and say what it says."""
        files = self.cache_bytes - self.out_bytes
        cold = self.probed.see(now_seconds, self.usage_bytes, self.returned_bytes, 0.01)
        reading = ContainerReading(
            now_seconds, self.usage_bytes, 0.0, 0.0, self.returned_bytes, files, 0, self.usage_bytes, cold
        )
        decision = self.law.step(reading)
        columns = {"usage_bytes": self.usage_bytes, "working_set_bytes": self.usage_bytes}
        if cold is not None:
            suffers = decision.reason in SUFFERS
            said = need(self.usage_bytes, cold, files, 0, self.law.yield_ratio, thrashes=suffers)
            unsure = unsure_bytes(self.usage_bytes, said.needed_bytes, files, suffers=suffers)
            columns |= {"needed_bytes": said.needed_bytes, "unsure_bytes": unsure}
        if decision.reclaim_bytes and not rests:
            taken = self.take(decision.reclaim_bytes)
            self.law.settle(decision.reclaim_bytes, taken)
            self.probed.took(taken)
        return {name: np.array([float(value)]) for name, value in columns.items()}


class Life:
    """It, its agent and its operator."""

    def __init__(self, container: CacheHeavy, limit_mib: int = 192, **spec: object) -> None:
        self.container, self.now, self.attends = container, NOW, True
        self.lies_mib: float | None = None  # what the agent says is needed, whatever is
        self.rows: list[tuple[float, ...]] = []
        spec = {"limits": {"basis": "needed", "min": "112Mi"}, "reclaim": {"mode": "Cold"}} | spec
        pod = raw_pod(limit=f"{limit_mib}Mi", request="48Mi")
        self.api = furnish(MemoryApi(), pod, policy=raw_policy(**spec))
        self._request: ShrinkRequest | None = None
        self._towards: TowardsTarget | None = None
        self._starts()

    def _starts(self) -> None:
        self.rig = Rig(self.api, WholeEngine())
        self.desks = Desks(self.rig)
        self.desks.attend(self.now)
        self._woken = self.desks.woken

    def restart(self) -> None:
        """Another operator process on the same cluster; the agent finds it at once."""
        self._request = self._towards = None
        self._starts()

    async def begin(self, past_mib: float | None = 24.0, hours: int = 96) -> None:
        """The policy is there: the first loop, then the past that Prometheus has of it."""
        self._measure()
        await self.rig.once(self.now)
        if past_mib is not None:
            seconds = self.now - np.arange(0.0, hours * HOUR, 300.0)[::-1]
            told = ContainerPast(seconds, np.full(len(seconds), past_mib * MIB), np.empty(0), np.empty(0))
            self.rig.engine.core._take_in(0, told, self.now)
            self.rig.engine.core.rows.due_at_once(np.array([0]))

    async def live(self, minutes: float) -> None:
        """So long."""
        until = self.now + minutes * 60.0
        while self.now < until:
            self.now += STEP
            if self.attends:
                await self._agent()
            if self.now % LOOP == 0.0 or self.desks.woken > self._woken:
                self._woken = self.desks.woken
                await self._loop()

    @property
    def limit_mib(self) -> float:
        """In force."""
        return self.rig.limit()

    @property
    def told_mib(self) -> float:
        """The highest that the history holds of the last two bins; NaN: nothing."""
        return self._highest_mib(2)

    def highest_mib(self) -> float:
        """The highest that the history holds of the last day."""
        return self._highest_mib(288)

    def _highest_mib(self, bins: int) -> float:
        rows = self.rig.engine.core.rows
        return float(np.fmax.reduce(rows.store(0).history.five_minute(rows.place(0), bins)[0])) / MIB

    def sought(self) -> bool:
        """Whether what is needed is still being found out, by the operator's last loop."""
        view = self.rig.loop._parts.asks.basis(0)
        return view is not None and view.sought

    def said_mib(self) -> float:
        """What its agent said last that it needs."""
        view = self.desks.desk.views.container("n1", "uid-web-0", "web-0-0")
        return float("nan") if view is None or view.needed_bytes is None else view.needed_bytes / MIB

    def _measure(self) -> None:
        self.rig.engine.use({"web-0": self.container.usage_bytes / MIB})

    async def _loop(self) -> None:
        self._measure()
        if self.attends:
            self.desks.attendance.heard("n1", self.now)
        before = self.limit_mib
        await self.rig.once(self.now)
        if self.limit_mib < before:
            assert self.container.usage_bytes <= self.limit_mib * MIB, "a limit fell below what is in use"
        row = (self.container.usage_bytes / MIB, self.said_mib(), self.told_mib, self.limit_mib)
        self.rows.append((self.now - NOW, *row))

    async def _agent(self) -> None:
        self.desks.attendance.heard("n1", self.now)
        if self.now % LOOK == 0.0:
            columns = self.container.look(self.now, rests=self._towards is not None)
            columns |= {"memory_max_bytes": np.array([self.limit_mib * MIB])}
            if self.lies_mib is not None:
                columns |= {"needed_bytes": np.array([self.lies_mib * MIB]), "unsure_bytes": np.array([0.0])}
            batch = SampleBatch(self.now, np.array([0]), columns, available_bytes=8 << 30)
            self.desks.says(batch, self.now)
        for body in self.desks.told():
            if isinstance(body, ShrinkRequest) and (
                self._request is None or body.shrink_id != self._request.shrink_id
            ):
                self._request, self._towards = body, TowardsTarget(body, 0.01, self.now)
            elif isinstance(body, ShrinkCancel):
                self._request = self._towards = None
        if self._request is not None and self._towards is not None:
            self._shrink(self._request, self._towards)

    def _shrink(self, request: ShrinkRequest, towards: TowardsTarget) -> None:
        if self.limit_mib * MIB <= request.target_bytes:
            self._report(request, ShrinkStage.OBSERVED)
            self._request = self._towards = None
            return
        step = towards.step(TowardsReading(self.now, self.container.usage_bytes, 0.0))
        if step.reclaim_bytes:
            towards.settle(step.reclaim_bytes, self.container.take(step.reclaim_bytes))
        self._report(request, step.stage, step.reason)

    def _report(self, request: ShrinkRequest, stage: ShrinkStage, reason: str = "") -> None:
        left, most = self.container.usage_bytes / MIB, self.limit_mib
        self.desks.report(request, stage, left, self.now, max_mib=most, reason=reason)
