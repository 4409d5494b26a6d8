"""Where a pod that is being created should go: the state behind the webhook's answer, and the answer.

In: each loop's world and tick, pods of admission reviews. Out: a `Verdict`, or none. State is found anew from
the world in every loop (level-based); between two loops each pod sees those that were placed before it.
Whatever is not known, old or doubtful ends as no opinion: the pod is scheduled as without us.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from plimsoll.api.precedence import EffectivePolicy
from plimsoll.guard.state import ControlState
from plimsoll.placement.choose import COMFORT, DEFAULT_BOUND, Chooser
from plimsoll.placement.lanes import Loads
from plimsoll.workload import ContainerKey, WorkloadRef
from plimsoll_operator import parse
from plimsoll_operator.engine.messages import Tick
from plimsoll_operator.membership import Membership
from plimsoll_operator.owners import OwnerResolver, replica_set_owner_guess
from plimsoll_operator.parse.needs import DoubtError, needs_of
from plimsoll_operator.parse.pods import MIRROR_ANNOTATION, PLACEMENT_ANNOTATION
from plimsoll_operator.parse.scalars import Raw, part
from plimsoll_operator.place.affinity import Verdict
from plimsoll_operator.place.book import LoadBook
from plimsoll_operator.place.coming import Coming, ComingPods, places
from plimsoll_operator.place.expected import Expected, ExpectedPods
from plimsoll_operator.place.gating import Gating
from plimsoll_operator.place.kube_nodes import BoolArray
from plimsoll_operator.place.others import others_on
from plimsoll_operator.place.room import KeptRoom
from plimsoll_operator.place.state import (
    Breathe,
    PlacementState,
    chosen,
    heard_of,
    node_loads,
    table_of,
)
from plimsoll_operator.place.sums import add_up, constant_bytes, gathered, started_seconds
from plimsoll_operator.place.watch import NodeWatch
from plimsoll_operator.records import ContainerSpec, PodRecord
from plimsoll_operator.serve.metrics import Metrics
from plimsoll_operator.world import World

logger = logging.getLogger(__name__)


class Placer:
    """Places pods of policies that ask for it."""

    def __init__(
        self,
        membership: Membership,
        owners: OwnerResolver,
        metrics: Metrics,
        now: Callable[[], float],
        fresh_seconds: float,
        gating: Gating | None = None,
        watch: NodeWatch | None = None,
    ) -> None:
        """`fresh_seconds`: a loop that is older than this is no basis for an opinion. Without `gating` no
        pod is held.
        """
        self._membership, self._owners, self._metrics = membership, owners, metrics
        self._now, self._fresh_seconds, self._gating = now, fresh_seconds, gating
        self._book = LoadBook()
        self._expected = ExpectedPods()
        self._watch = watch or NodeWatch()
        self._coming = ComingPods(membership, self._book)
        self._room = KeptRoom()
        self._world = World()
        self._state: PlacementState | None = None

    # -- each loop ------------------------------------------------------------------------------------------

    def wanted(self, world: World) -> bool:
        """Whether any policy asks for placement; otherwise nothing is computed, sent or kept."""
        return not world.paused and any(places(each.policy) for each in world.policies)

    def forget(self, rows: Sequence[int]) -> None:
        """These rows stand for nothing any more."""
        self._book.forget(tuple(rows))

    async def refresh(self, world: World, tick: Tick, control: ControlState, breathe: Breathe) -> None:
        """Find the state anew; where that fails, there is no opinion until it succeeds."""
        try:
            self._state = await self._found(world, tick, control, breathe)
        except Exception:
            self._state = None
            logger.exception("placement failed; pods go where the scheduler alone puts them")

    @property
    def awake(self) -> bool:
        """Whether there may be an opinion of anything."""
        return self._state is not None

    def rest(self) -> None:
        """No policy asks for placement any more."""
        self._state = None
        self._metrics.replace("plimsoll_placement_coming_pods", "room", {})

    def policy_of(self, pod: PodRecord) -> EffectivePolicy | None:
        """The policy that speaks for a pod, also for one that no loop has seen yet."""
        ref = self._workload_of(pod)
        found = None if ref is None else self._membership.resolve(ref, pod.labels)
        return found if isinstance(found, EffectivePolicy) else None

    def expects(self, pod: PodRecord) -> bool:
        """Whether a pod counts on the kube node that it was given."""
        return pod.placed is not None and pod.placed.decision in self._expected

    def believed(self, now_seconds: float) -> PlacementState | None:
        """The state, where an opinion may rest on it; else None."""
        state = self._state
        if state is None or state.why_not or not state.trusted:
            return None
        return state if abs(now_seconds - state.made_seconds) <= self._fresh_seconds else None

    def loads_of(self, pods: Sequence[PodRecord], now_seconds: float) -> tuple[Loads, BoolArray]:
        """[P] loads of bound pods, and of which all containers are foretold; the others count with requests,
        as in the sums.
        """
        rows, constant, started, of = [], [], [], []
        for place, pod in enumerate(pods):
            for container in pod.containers:
                rows.append(self._membership.row_of_container((pod.uid, container.spec.name)))
                constant.append(constant_bytes(container))
                started.append(started_seconds(container))
                of.append(place)
        loads = self._book.of_running(np.array(rows, dtype=np.int64), np.array(started), now_seconds)
        return gathered(loads, constant, of, len(pods))

    @property
    def room(self) -> KeptRoom:
        """Room that is kept for pods to come."""
        return self._room

    def open_to(self, coming: Coming, state: PlacementState) -> BoolArray:
        """[N] where the scheduler would let a pod to come go."""
        mask = state.nodes.allowed(coming.needs, state.sums.requested)
        return mask & self.without(coming.workload, state) if coming.needs.apart else mask

    def without(self, ref: WorkloadRef, state: PlacementState) -> BoolArray:
        """[N] False where pods of the workload are, or are expected."""
        open_ = np.ones(len(state.nodes), dtype=np.bool_)
        group = self._membership.groups.get((ref, ""))
        names = [each.kube_node for each in group.pods.values()] if group is not None else []
        names += [each.kube_node for each in self._expected if each.workload == ref]
        open_[[state.nodes.place[name] for name in names if name in state.nodes.place]] = False
        return open_

    async def _found(
        self, world: World, tick: Tick, control: ControlState, breathe: Breathe
    ) -> PlacementState:
        now_seconds, before = tick.now_seconds, self._state
        self._world = world
        if self._gating is not None:
            self._gating.look(world.pods)
        await self._watch.recall(now_seconds)
        self._book.take(tick.loads, now_seconds)
        self._watch.hindcast(tick.loads)
        nodes = await table_of(world, before, breathe)
        row_of = self._membership.row_of_container
        sums = await add_up(world.pods, nodes, row_of, self._book, now_seconds, breathe)
        self._watch.look(nodes, sums, tick.node_use, now_seconds)
        on_their_way = Counter(each.workload for each in self._expected)
        coming = await self._coming.look(world, on_their_way, now_seconds, breathe)
        # From here on nothing else runs in between: what was placed meanwhile is expected, too.
        self._expected.settle(world.pods, self._loads_of, now_seconds)
        judge = self._watch.judge
        inflation = judge.inflation_of(tuple(nodes.place))
        others = others_on(nodes, sums, tick.node_use, world.node_memories, now_seconds)
        state = PlacementState(
            nodes,
            sums,
            Chooser(node_loads(nodes, sums, tick.node_use, inflation, others), comfort=COMFORT),
            judge.trusted,
            _why_not(tick, control),
            now_seconds,
            heard_of(nodes, sums, tick.node_use),
            control.settled,
            others,
        )
        for each in self._expected:
            state.expect(each)
        self._room.keep(state, coming, self.open_to, now_seconds)
        self._report(state)
        return state

    def seen(self, pod: PodRecord) -> None:
        """A watch shows a pod; one that another replica has placed is expected from now on."""
        if self._gating is not None:
            self._gating.seen(pod)
        if pod.placed is None or pod.kube_node or self._state is None:
            return
        if pod.placed.decision in self._expected:
            return
        found = self._expected.of(pod, self._loads_of, self._now())
        if found is not None:
            self._expected.add(pod.placed.decision, found)
            self._state.expect(found)
            self._room.came(found.workload)

    # -- each pod -------------------------------------------------------------------------------------------

    def place(
        self,
        pod: Raw,
        ref: WorkloadRef | None,
        requests: Mapping[str, int],
        decision: str,
        *,
        remember: bool,
    ) -> Verdict | None:
        """Where a pod of workload `ref` should go; None: no opinion. Nothing here waits for anything.

        `requests` are memory requests by container that admission writes. A dry run is not to `remember`.
        """
        policy = self._policy(pod, ref)
        if ref is None or policy is None or _settled(pod, ref):
            return None
        began = time.perf_counter()
        verdict, outcome = None, "failed"
        try:
            verdict, outcome = self._decide(pod, ref, policy, requests, decision, remember=remember)
        except DoubtError as doubt:
            outcome = f"doubt-{doubt}"
        finally:
            self._metrics.count("plimsoll_placements_total", outcome=outcome)
            self._metrics.observe("plimsoll_placement_seconds", time.perf_counter() - began)
        return verdict

    def _policy(self, pod: Raw, ref: WorkloadRef | None) -> EffectivePolicy | None:
        if ref is None:
            return None
        policy = self._membership.resolve(ref, parse.labels(part(pod, "metadata")))
        return policy if isinstance(policy, EffectivePolicy) and places(policy) else None

    def _decide(
        self,
        pod: Raw,
        ref: WorkloadRef,
        policy: EffectivePolicy,
        requests: Mapping[str, int],
        decision: str,
        *,
        remember: bool,
    ) -> tuple[Verdict | None, str]:
        state, now_seconds = self._state, self._now()
        if state is None or not abs(now_seconds - state.made_seconds) <= self._fresh_seconds:
            return None, "stale"
        if state.why_not or not state.trusted:
            return None, state.why_not or "untrusted"
        needs = needs_of(pod, requests)
        taken = self._room.take(ref)
        verdict, loads = None, self._loads(ref, parse.specs(part(pod, "spec")))
        try:
            if loads is None:
                return None, "unknown"
            allowed = state.nodes.allowed(needs, state.sums.requested)
            if needs.apart:
                allowed &= self.without(ref, state)
            verdict, outcome = self._chosen(state, loads, allowed, policy, now_seconds)
        finally:
            self._room.settle(ref, taken, placed=verdict is not None and remember)
        if verdict is None:
            untold = bool(allowed.any() and state.others.unknown[allowed].all())
            return None, "node-memory" if untold and outcome == "half-known" else outcome
        outcome = outcome if state.others.measured else f"{outcome}-unmeasured"
        verdict = replace(verdict, decision=decision)
        if remember:
            memory, cpu = float(needs.request_bytes), float(needs.request_cpu_millis)
            expected = Expected(verdict.kube_nodes[0], ref, loads, memory, cpu, now_seconds)
            self._expected.add(decision, expected)
            state.expect(expected)
            if self._gating is not None and verdict.room_until_seconds is not None:
                self._gating.decided(decision, now_seconds)
        return verdict, outcome

    def _chosen(
        self,
        state: PlacementState,
        loads: Loads,
        allowed: BoolArray,
        policy: EffectivePolicy,
        now_seconds: float,
    ) -> tuple[Verdict | None, str]:
        """The best node; where none keeps the bound, the one on which room can be made for a held pod."""
        found, outcome = chosen(state, loads, allowed, policy.spec.placement.node)
        if self._gating is None or outcome == "half-known":  # room may be where nobody has looked
            return found, outcome
        if found is not None and found.short_after <= DEFAULT_BOUND:
            return found, outcome
        held = self._gating.held(state, loads, allowed, policy.spec.importance, now_seconds)
        return (found, outcome) if held is None else (held, "held")

    # -- parts ----------------------------------------------------------------------------------------------

    def _loads_of(self, pod: PodRecord) -> tuple[WorkloadRef, Loads] | None:
        """Workload and loads of a pod that is not bound yet; what is not known counts with its request."""
        ref = self._workload_of(pod)
        if ref is None:
            return None
        if (run := self._coming.of_run(ref, self._now())) is not None:
            return ref, run
        rows = [self._membership.row_of(ContainerKey(ref, each.spec.name, "")) for each in pod.containers]
        loads = self._book.of(np.array([-1 if row is None else row for row in rows]), self._now())
        constant = np.array([constant_bytes(each) for each in pod.containers])
        return ref, loads.filled(constant).total()

    def _workload_of(self, pod: PodRecord) -> WorkloadRef | None:
        top = self._owners.top_of(pod, self._world.owners)
        if top is not None or pod.owner is None:
            return None if top is None else top.ref
        # Of a ReplicaSet too new for the last loop, the Deployment is in its name.
        guess = replica_set_owner_guess(pod.owner, pod.owner.name.rpartition("-")[2])
        return None if guess is None else WorkloadRef(pod.namespace, "Deployment", guess)

    def _loads(self, ref: WorkloadRef, specs: Sequence[ContainerSpec]) -> Loads | None:
        """Loads of a pod to be; None unless all its containers are known, or it comes by the clock."""
        if (run := self._coming.of_run(ref, self._now())) is not None:
            return run
        rows = [self._membership.row_of(ContainerKey(ref, each.name, "")) for each in specs]
        known = [row for row in rows if row is not None]
        if not rows or len(known) < len(rows):
            return None
        loads = self._book.of(np.array(known), self._now())
        return loads.total() if np.isfinite(loads.mean_bytes).all() else None

    def _report(self, state: PlacementState) -> None:
        metrics, judge = self._metrics, self._watch.judge
        opinion = int(np.isfinite(state.chooser.need_bytes).sum())
        metrics.set("plimsoll_placement_trusted", float(judge.trusted))
        metrics.set("plimsoll_placement_inflation", judge.inflation)
        metrics.set("plimsoll_placement_expected_pods", float(len(self._expected)))
        starts = {"kept": float(len(self._room)), "unfit": float(len(self._room.unfit))}
        metrics.replace("plimsoll_placement_coming_pods", "room", starts)
        counts = {"known": float(opinion), "unknown": float(len(state.nodes) - opinion)}
        counts["untold"] = float(np.count_nonzero(state.others.unknown))
        metrics.replace("plimsoll_placement_kube_nodes", "state", counts)


def _settled(pod: Raw, ref: WorkloadRef) -> bool:
    """True for a pod whose node is somebody else's to say, or was said by us before."""
    annotations = part(part(pod, "metadata"), "annotations")
    bound = bool(part(pod, "spec").get("nodeName"))
    named = MIRROR_ANNOTATION in annotations or PLACEMENT_ANNOTATION in annotations
    return bound or named or ref.kind == "DaemonSet"


def _why_not(tick: Tick, control: ControlState) -> str:
    if tick.problems or control.problems:
        return "no-usage"
    return "" if control.supported else "unsupported"
