"""The operator's loop with everything real but the API server and the engine's process.

In: a `MemoryApi`, what the engine shall say. Out: a loop that a test drives one `once(now)` at a time; a
`restart` gives a new operator on the same cluster, as a SIGKILL would.
"""

from collections.abc import Mapping

import numpy as np

from builders.clusters import furnish
from builders.engine import ScriptedSource
from builders.kubeapi import MemoryApi
from plimsoll.forecast.workload_class import WorkloadClass
from plimsoll.recommend.recommendation import Recommendations
from plimsoll.usage.sample import Quantity
from plimsoll_operator.acting import Actor
from plimsoll_operator.actuate.events import Events
from plimsoll_operator.actuate.evict import Evictions
from plimsoll_operator.actuate.profile import Profiles
from plimsoll_operator.actuate.resize import Patience
from plimsoll_operator.asks import Asks
from plimsoll_operator.clock import FollowedClock
from plimsoll_operator.departed import Departed
from plimsoll_operator.engine.core import EngineCore
from plimsoll_operator.engine.frames import Sync
from plimsoll_operator.engine.messages import (
    EngineSettings,
    PodRaises,
    RowBases,
    RowShapes,
    RowUsage,
    Tick,
    empty_tick,
)
from plimsoll_operator.fence import FencedApi
from plimsoll_operator.keeping import Keeper
from plimsoll_operator.leader import Leader, LeaseSettings
from plimsoll_operator.loop import Loop
from plimsoll_operator.membership import Membership
from plimsoll_operator.owners import OwnerResolver
from plimsoll_operator.parts import Parts
from plimsoll_operator.place.gatekeeper import GateKeeper
from plimsoll_operator.place.gating import Gating
from plimsoll_operator.place.peaks import PeakTeller
from plimsoll_operator.place.placer import Placer
from plimsoll_operator.place.relieving import Reliever
from plimsoll_operator.serve.metrics import Metrics
from plimsoll_operator.settings import OperatorSettings
from plimsoll_operator.stages import Stages

MIB = 2**20
MINUTE = 60.0


class SpokenEngine:
    """Says what the test wants: targets by container, uses, raises by (pod uid, container)."""

    def __init__(self, targets: Mapping[str, float] | None = None, used_mib: float = 200.0):
        self.targets = dict(targets or {})
        self.used_mib = used_mib
        self.raises = {}
        self.problems = ()
        self.held = ""  # why all of them hold
        self.leaks_mib_per_hour = {}  # by container
        self.leaks_since_seconds = 0.0
        self.covered = ()  # containers whose last hour is known
        self.members = {}
        self.events = []
        self.restored = {}
        self.unsteered = set()  # rows whose past was to set no price
        self.related = {}
        self.forgotten = []
        self.needs = None  # what it was told last of needed memory
        self.bases = None  # what it says that limits are made for
        self.sought = False  # ... and whether that is still being found out
        self.stand_in = ""  # why another model speaks for all of them
        self.restarts = 0

    async def sync(self, added, removed):
        for uid in removed:
            self.members.pop(tuple(uid), None)
        self.members |= {(each.pod_uid, each.container): each for each in added}

    async def forget(self, rows):
        self.forgotten += rows

    async def observe(self, events):
        self.events += events
        return empty_tick(0.0).raises

    async def restore(self, checkpoints, *, steered=True):
        self.restored |= checkpoints
        self.unsteered |= set() if steered else set(checkpoints)
        return ()

    async def relate(self, steps, quantity):
        self.related[quantity] = dict(steps)

    async def tell_needs(self, needs):
        self.needs = needs

    async def checkpoints(self, rows):
        return {row: b"past of row %d" % row for row in rows}

    async def tick(self, now_seconds, *, loads=False):
        rows = np.array(sorted({each.row for each in self.members.values()}), dtype=np.int32)
        names = {each.row: each.container for each in self.members.values()}
        due = np.array([row for row in rows if names[int(row)] in self.targets], dtype=np.int32)
        target = np.array([self.targets[names[int(row)]] * MIB for row in due])
        pods = [uid for uid in self.raises if uid in self.members]
        return Tick(
            now_seconds=now_seconds,
            recommendations=_recommended(due, target),
            raises=PodRaises(
                rows=np.array([self.members[uid].row for uid in pods], dtype=np.int32),
                pods=tuple(pods),
                limit_bytes=np.array([self.raises[uid] * MIB for uid in pods], dtype=np.float64),
                reasons=("OomKilled",) * len(pods),
            ),
            usage=RowUsage(rows, np.full(len(rows), self.used_mib * MIB), np.full(len(rows), 5.0)),
            problems=self.problems,
            holds={self.held: rows} if self.held else {},
            bases=self._bases(rows),
            shapes=self._shapes(rows, names),
            covered=np.array([row for row in rows if names[int(row)] in self.covered], dtype=np.int32),
            stand_ins=dict.fromkeys(due.tolist(), self.stand_in) if self.stand_in else {},
        )

    def _bases(self, rows):
        """Of rows whose policy asks for needed memory; 200 MiB are needed."""
        if self.bases is None:
            return RowBases()
        codes = np.full(len(rows), self.bases, dtype=np.int8)
        return RowBases(rows, codes, np.full(len(rows), 200.0 * MIB), np.full(len(rows), self.sought))

    def _shapes(self, rows, names):
        """Containers of `leaks_mib_per_hour` leak; all are flat or grow."""
        slope = np.array([self.leaks_mib_per_hour.get(names[int(row)], np.nan) * MIB / 3600 for row in rows])
        leaks = np.isfinite(slope)
        return RowShapes(
            rows=rows,
            workload_class=np.where(leaks, WorkloadClass.GROWTH, WorkloadClass.FLAT).astype(np.int8),
            leaks=leaks,
            since_seconds=np.where(leaks, self.leaks_since_seconds, np.nan),
            slope=slope,
            slope_low=slope * 0.9,
            slope_high=slope * 1.1,
        )


class WholeEngine:
    """The engine itself, without its process, on samples that a test gives as MiB by pod."""

    restarts = 0

    def __init__(self):
        self.source = ScriptedSource()
        self.core = EngineCore(EngineSettings(), self.source)

    def use(self, used_mib):
        self.source.use = {("shop", pod, "app"): mib * MIB for pod, mib in used_mib.items()}

    async def sync(self, added, removed):
        self.core.sync(Sync(tuple(added), tuple(removed)))

    async def forget(self, rows):
        self.core.forget(tuple(rows))

    async def observe(self, events):
        return self.core.observe(tuple(events))

    async def restore(self, checkpoints, *, steered=True):
        return self.core.restore(checkpoints, steered=steered)

    async def relate(self, steps, quantity):
        self.core.relate(steps, quantity)

    async def tell_needs(self, needs):
        self.core.tell_needs(needs)

    async def checkpoints(self, rows):
        return self.core.checkpoints(tuple(rows))

    async def tick(self, now_seconds, *, loads=False):
        return self.core.tick(now_seconds, loads=loads)


def _recommended(rows, target):
    n = len(rows)
    return Recommendations(
        rows=rows,
        ready=np.ones(n, dtype=np.bool_),
        target_bytes=target,
        lower_bytes=target * 0.95,
        upper_bytes=target * 1.05,
        buffer_bytes=target * 0.1,
        request_bytes=target * 0.5,
        quantile_levels=np.array([0.5, 0.99]),
        quantile_bytes=np.column_stack([target * 0.5, target * 0.9]) if n else np.empty((0, 2)),
        oom_price=np.full(n, 1.234567),
    )


class Rig:
    """An operator on a cluster."""

    def __init__(self, api, engine, **settings):
        self.api, self.engine = api, engine
        self.settings = OperatorSettings(**{"settle": 1e-9, **settings})
        self.paused = False
        self.monotonic = 0.0
        self.metrics = Metrics("test")
        self.now_seconds = 0.0
        self.loop = self._assemble()

    def restart(self):
        """Another operator process on the same cluster: everything in memory is gone."""
        fresh = SpokenEngine(self.engine.targets, self.engine.used_mib)
        return Rig(self.api, fresh, **self.settings.model_dump())

    def _assemble(self):
        lease = LeaseSettings("plimsoll-system", "me")
        self.leader = Leader(self.api, lease, lambda: self.monotonic, lambda: self.now_seconds)
        fenced = FencedApi(self.api, self.leader.check, lambda _what, _status: None)
        owners = OwnerResolver()
        self.membership = Membership({"plimsoll-system"}, Quantity.WORKING_SET, owners)
        evictions = Evictions(admitting=True)
        self.gating = Gating("plimsoll-system") if self.settings.placement_gates else None
        clock = lambda: self.now_seconds  # noqa: E731
        self.placer = Placer(self.membership, owners, self.metrics, clock, 180.0, self.gating)
        patience = Patience()
        self.actor = Actor(fenced, Events(fenced, "me"), evictions, self.metrics, patience)
        most = self.settings.relief_evictions_per_hour
        self.reliever = Reliever(self.placer, self.membership, self.actor, most)
        if self.gating is not None:
            self.gating.find_room = self.reliever.find_room
        self.keeper_of_gates = GateKeeper(
            fenced, self.reliever, self._pods, self.leader.holds, self.metrics, clock
        )
        profiles = Profiles(fenced, self.settings.profile_interval)
        return Loop(
            Parts(
                settings=self.settings,
                clock=FollowedClock("", 0.0),  # stands still: the time is what `once` is told
                api=fenced,
                engine=self.engine,
                leader=self.leader,
                owners=owners,
                membership=self.membership,
                asks=Asks(),
                actor=self.actor,
                keeper=Keeper(fenced, self.engine, self.membership, profiles, departed=Departed(fenced)),
                metrics=self.metrics,
                stages=Stages(self.metrics, lambda: 0.0),
                snapshot=self._world,
                quantity=Quantity.WORKING_SET,
                model="seasonal",
                placer=self.placer,
                reliever=self.reliever,
                peaks=PeakTeller(self.placer, fenced),
            )
        )

    async def _pods(self):
        return self.api.world().pods

    async def _world(self):
        return self.api.world(paused=self.paused)

    async def once(self, now_seconds, leading=True):
        """One loop at `now_seconds`."""
        self.now_seconds = now_seconds
        if leading:
            await self.leader.renew()
        return await self.loop.once(now_seconds)

    def limit(self, pod="web-0", container="app"):
        """Limit in a pod's spec, MiB."""
        return self.record(pod, container).spec.limit_bytes / MIB

    def request(self, pod="web-0", container="app"):
        """Request in a pod's spec, MiB."""
        return self.record(pod, container).spec.request_bytes / MIB

    def record(self, pod="web-0", container="app"):
        """A container's record as the API holds it."""
        found = next(each for each in self.api.world().pods if each.name == pod)
        return next(each for each in found.containers if each.spec.name == container)


def rig(*pods, policy=None, targets=None, **settings):
    """A cluster with these pods (else one) whose engine asks for 2 GiB unless told otherwise."""
    api = furnish(MemoryApi(), *pods, policy=policy)
    return Rig(api, SpokenEngine({"app": 2048} if targets is None else targets), **settings)
