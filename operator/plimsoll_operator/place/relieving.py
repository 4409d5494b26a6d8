"""Relief: pods leave a kube node before it is forecast to be short, where another has room for them.

In: the placer's state of each loop, and who leads. Out: evictions through the fenced API where a pod's policy
says `placement.relief: Evict`, events that propose it for the others. A node must have been in danger for ten
minutes, every container of ours on it must have been heard of lately; at most one pod leaves a node in one
loop, and of a workload none while its last one is not back. Where a pod starts soon for which no node has
room (`place.coming`), all who stand in its way leave at once, as for a pod that is held. Whatever is missing,
stale or doubtful ends as nothing done.
"""

import asyncio
import logging
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from plimsoll.api.effective import Importance, Mode
from plimsoll.api.policy import NodePlacement, Relief
from plimsoll.api.precedence import EffectivePolicy
from plimsoll.placement.choose import DEFAULT_BOUND
from plimsoll.placement.lanes import Loads
from plimsoll.placement.relief import DANGER, MOST_A_NODE, Moving, Room, endangered, make_room, room_on
from plimsoll.placement.relief import Relief as Move
from plimsoll.placement.starts import PREPARE_SECONDS
from plimsoll.usage.sample import HOUR_SECONDS
from plimsoll_operator.acting import Actor
from plimsoll_operator.actuate.api import PodRef
from plimsoll_operator.actuate.evict import RECREATING
from plimsoll_operator.membership import Group, Membership
from plimsoll_operator.place.coming import Coming
from plimsoll_operator.place.gate import GATE_SECONDS
from plimsoll_operator.place.gating import candidates
from plimsoll_operator.place.placer import Placer
from plimsoll_operator.place.residents import Fleet, Standing, fleet_on, importance_of
from plimsoll_operator.place.room import Taken
from plimsoll_operator.place.state import PlacementState
from plimsoll_operator.records import PodRecord

logger = logging.getLogger(__name__)

LASTING_SECONDS = 600.0  # in danger for so long before anybody goes: forecasts change their mind
SETTLED_SECONDS = 3600.0  # a pod that runs for less stays: nobody is sent round in circles
LEAVE_SECONDS = (
    1.0  # of a gate's time that is not a pod's to end in: until the eviction, and until it is seen
)
MOVING_SECONDS = 60.0  # a start that is due any moment is made room for by whoever ends within so long
LEAVING_SECONDS = 180.0  # an eviction that was accepted counts for so long, whatever the watch shows
REFUSED_SECONDS = 600.0  # a pod whose disruption budget refused is not asked for again so soon
PLACES_A_LOOP = 16  # kube nodes looked at closely in one loop
MOVING_KINDS = RECREATING - {"DaemonSet"}  # a DaemonSet's pod comes back to where it was


@dataclass(slots=True)
class ReliefBudget:
    """Evictions of the last hour, by kube node and over all."""

    most_per_hour: int
    _times: list[tuple[float, str]] = field(default_factory=list)

    def refusal(self, kube_node: str, now_seconds: float) -> str:
        """Why nobody may be evicted from a node now; "" where one may."""
        self._times = [each for each in self._times if 0 <= now_seconds - each[0] < HOUR_SECONDS]
        if len(self._times) >= self.most_per_hour:
            return f"{self.most_per_hour} evictions in an hour are all there may be"
        if sum(name == kube_node for _, name in self._times) >= MOST_A_NODE:
            return f"{MOST_A_NODE} pods have been evicted from kube node {kube_node} within the hour"
        return ""

    def left(self, kube_node: str, now_seconds: float) -> int:
        """How many more may be evicted from a node."""
        self.refusal(kube_node, now_seconds)
        here = sum(name == kube_node for _, name in self._times)
        return min(self.most_per_hour - len(self._times), MOST_A_NODE - here)

    def count(self, kube_node: str, now_seconds: float) -> None:
        """Count one eviction."""
        self._times.append((now_seconds, kube_node))


@dataclass(frozen=True, slots=True)
class Leaving:
    """Who leaves for one pod."""

    uids: tuple[str, ...]
    whole: bool  # and that is all who stand in its way


NOBODY = Leaving((), whole=False)


class Reliever:
    """Relieves kube nodes; asked by the loop of the leader."""

    def __init__(self, placer: Placer, membership: Membership, actor: Actor, most_per_hour: int) -> None:
        """`most_per_hour`: evictions over the whole cluster."""
        self._placer, self._membership, self._actor = placer, membership, actor
        self._metrics = actor.metrics
        self._budget = ReliefBudget(most_per_hour)
        self._since: dict[str, float] = {}  # kube node -> in danger since
        self._left: dict[str, float] = {}  # pod uid -> when its eviction was accepted
        self._refused: dict[str, float] = {}  # pod uid -> when it was refused

    def rest(self) -> None:
        """Nobody is relieved here now; what lasted has to last anew."""
        self._since.clear()
        self._report(0, 0)

    async def answer(self, now_seconds: float) -> None:
        """Look at every node once, and act for those that have been in danger for long."""
        self._forget(now_seconds)
        state = self._placer.believed(now_seconds)
        if state is None or not state.settled:
            self.rest()
            return
        # Who is leaving is still in these sums, so that no node is missed.
        rough = [
            place for place in endangered(state.chooser.nodes, DANGER) if self._may_relieve(state, place)
        ]
        lasted = self._lasting(state, rough, now_seconds)
        # Those that have lasted first, then by margin: by that nodes change places from loop to loop.
        closely = sorted(rough, key=lambda place: place not in lasted)[:PLACES_A_LOOP]
        fleet = self._fleet(state, closely, now_seconds)
        moving = Moving(fleet.loads, fleet.residents, DEFAULT_BOUND, fleet.allowed)
        among = set(closely)
        places = [place for place in moving.endangered(DANGER) if place in among]
        relieved = 0
        for place in [place for place in places if place in lasted]:
            await asyncio.sleep(0)
            relieved += moving.relieve(place)
        await self._carry_out(state, fleet, moving.found, now_seconds)
        for coming in self._placer.room.unfit:
            if coming.slot.start_seconds - now_seconds <= PREPARE_SECONDS:
                await self._prepare(state, coming, now_seconds)
        self._report(len(places), len(moving.left))

    async def make_room(self, pod: PodRecord, now_seconds: float) -> Leaving:
        """Evict who stands in the way of a pod that waits for its kube node; nobody unless all may go."""
        self._forget(now_seconds)
        state, policy = self._placer.believed(now_seconds), self._placer.policy_of(pod)
        if state is None or not state.settled or policy is None or not self._placer.expects(pod):
            return NOBODY
        place = state.nodes.place.get(pod.placed.kube_node) if pod.placed is not None else None
        if place is None or not state.heard[place]:  # the node is gone, or nothing is known of it
            return NOBODY
        least = importance_of(policy.spec.importance)
        fleet = self._fleet(state, [place], now_seconds, least, GATE_SECONDS - LEAVE_SECONDS)
        room = room_on(fleet.loads, fleet.residents, place, DEFAULT_BOUND, fleet.allowed)
        if room is None or not self._may_all_go(fleet, room.moves, now_seconds):
            return NOBODY
        left = await self._evict_all(state, fleet, room.moves, now_seconds)
        uids = tuple(fleet.pods[each.pod].uid for each in room.moves[:left])
        return Leaving(uids, whole=left == len(room.moves))

    def find_room(
        self,
        state: PlacementState,
        loads: Loads,
        places: list[int],
        importance: Importance,
        now_seconds: float,
    ) -> Room | None:
        """Where room could be made for a pod to be, by whose leaving; nothing is changed."""
        fleet = self._fleet(
            state, places, now_seconds, importance_of(importance), GATE_SECONDS - LEAVE_SECONDS
        )
        room = make_room(fleet.loads, fleet.residents, loads, places, DEFAULT_BOUND, fleet.allowed)
        return room if room is not None and self._may_all_go(fleet, room.moves, now_seconds) else None

    async def _prepare(self, state: PlacementState, coming: Coming, now_seconds: float) -> None:
        """Evict who stands in the way of a pod that starts soon and for which no node has room; nobody unless
        all may go. Those who wait for a gate are served the same way, when they are there.

        What they leave is the start's from this moment on: their successors are placed as if it ran already.
        """
        importance, kept = importance_of(coming.importance), self._placer.room
        at = kept.making(state, coming)
        left_seconds = max(coming.slot.start_seconds - now_seconds, MOVING_SECONDS)
        if at is None:
            places = candidates(state, coming.slot.loads, self._placer.open_to(coming, state))
            fleet = self._fleet(state, places, now_seconds, importance, left_seconds)
            room = make_room(
                fleet.loads, fleet.residents, coming.slot.loads, places, DEFAULT_BOUND, fleet.allowed
            )
        else:  # its loads are in the sums
            fleet = self._fleet(state, [at], now_seconds, importance, left_seconds)
            room = room_on(fleet.loads, fleet.residents, at, DEFAULT_BOUND, fleet.allowed)
        if room is None or not self._may_all_go(fleet, room.moves, now_seconds):
            return
        if at is None:
            kept.make(coming, state.nodes.records[room.place].name)
        soon = datetime.fromtimestamp(coming.slot.start_seconds, UTC).strftime("%H:%M")
        why = f"room is made for {coming.workload}, which starts at {soon} UTC: "
        left = await self._evict_all(state, fleet, room.moves, now_seconds, why)
        if at is None and room.moves and not left:
            kept.give_up(coming)

    async def _evict_all(
        self, state: PlacementState, fleet: Fleet, moves: Sequence[Move], now_seconds: float, why: str = ""
    ) -> int:
        """Evict them, if the API server would let each of them go by itself; returns how many left.

        Budgets that several of them share may still end it half-way.
        """
        if len(moves) > 1:
            for each in moves:
                pod = fleet.pods[each.pod]
                if not await self._actor.may_evict(pod):
                    self._is_refused(pod, now_seconds)
                    return 0
        for number, each in enumerate(moves):
            if not await self._evict(state, fleet, each, now_seconds, why):
                return number
        return len(moves)

    def _may_all_go(self, fleet: Fleet, moves: Sequence[Move], now_seconds: float) -> bool:
        """Whether they consent, and what may be evicted within the hour suffices for all of them."""
        pods = [fleet.pods[each.pod] for each in moves]
        groups = [self._membership.group_of_pod(pod.uid) for pod in pods]
        policies = [each.policy for each in groups if each is not None]
        of_policy = Counter(each.ref for each in policies if isinstance(each, EffectivePolicy))
        left = {
            each.ref: self._actor.evictions.left(each, now_seconds)
            for each in policies
            if isinstance(each, EffectivePolicy)
        }
        of_node = Counter(pod.kube_node for pod in pods)
        return (
            all(fleet.standing[each.pod].willing for each in moves)
            and all(count <= left[ref] for ref, count in of_policy.items())
            and all(count <= self._budget.left(name, now_seconds) for name, count in of_node.items())
        )

    def _may_relieve(self, state: PlacementState, place: int) -> bool:
        """Not where somebody was not heard of; where room is being made, who leaves leaves for that."""
        name = state.nodes.records[place].name
        return bool(state.heard[place]) and name not in self._placer.room.making_on

    # -- who -------------------------------------------------------------------------------------------------

    def _fleet(
        self,
        state: PlacementState,
        places: list[int],
        now_seconds: float,
        importance: int | None = None,
        within_seconds: float = math.inf,
    ) -> Fleet:
        """`importance`: only who is not above it, whose policy consents and who is surely gone within so many
        seconds may be moved.
        """

        def standing(pod: PodRecord, group: Group) -> Standing:
            found = self._standing(pod, group, now_seconds)
            gone = pod.grace_seconds <= within_seconds
            if importance is None or (found.willing and found.importance <= importance and gone):
                return found
            return Standing(movable=False, willing=False, importance=found.importance)

        return fleet_on(
            self._placer, self._membership, state, places, standing, self._is_leaving, now_seconds
        )

    def _standing(self, pod: PodRecord, group: Group, now_seconds: float) -> Standing:
        policy = group.policy
        if not isinstance(policy, EffectivePolicy) or policy.mode is Mode.OFF:
            return Standing(movable=False, willing=False, importance=0)
        movable = group.ref.kind in MOVING_KINDS and pod.live and not pod.mirror
        willing = movable and not self._refusal(pod, group, policy, now_seconds)
        return Standing(movable, willing, importance_of(policy.spec.importance))

    def _refusal(self, pod: PodRecord, group: Group, policy: EffectivePolicy, now_seconds: float) -> str:
        """Why a pod is only proposed; "" where it may be evicted now."""
        placement = policy.spec.placement
        if placement.relief is not Relief.EVICT:
            return "placement.relief is Propose"
        if placement.node is NodePlacement.OFF:
            return "placement.node is Off: its successor might come back"
        started = [each.started_seconds for each in pod.containers if each.started_seconds is not None]
        if not started or now_seconds - min(started) < SETTLED_SECONDS:
            return "it has not run for an hour"
        if pod.uid in self._refused:
            return "its disruption budget refused a moment ago"
        if any(uid in self._left for uid in group.pods):
            return "another of its workload is leaving"
        return self._budget.refusal(pod.kube_node, now_seconds) or self._actor.evictions.refusal(
            pod, group, now_seconds
        )

    def _is_leaving(self, pod: PodRecord) -> bool:
        return pod.terminating or pod.uid in self._left

    def _lasting(self, state: PlacementState, places: list[int], now_seconds: float) -> set[int]:
        """Those of all places in danger that have been so for long."""
        names = {place: state.nodes.records[place].name for place in places}
        self._since = {name: self._since.get(name, now_seconds) for name in names.values()}
        return {place for place, name in names.items() if now_seconds - self._since[name] >= LASTING_SECONDS}

    # -- what is done ----------------------------------------------------------------------------------------

    async def _carry_out(
        self, state: PlacementState, fleet: Fleet, moves: list[Move], now_seconds: float
    ) -> None:
        busy: set[int] = set()
        for move in moves:
            if not fleet.standing[move.pod].willing:
                await self._propose(state, fleet, move, now_seconds)
            elif move.from_place not in busy and await self._evict(state, fleet, move, now_seconds):
                busy.add(move.from_place)

    async def _evict(
        self, state: PlacementState, fleet: Fleet, move: Move, now_seconds: float, why: str = ""
    ) -> bool:
        """Evict a pod, unless what has happened since the planning forbids it."""
        pod = fleet.pods[move.pod]
        group = self._membership.group_of_pod(pod.uid)
        if group is None or not isinstance(group.policy, EffectivePolicy):
            return False
        if self._refusal(pod, group, group.policy, now_seconds):
            return False
        said = why + _sentence(state, move)
        if not await self._actor.evict(pod, group, "Relieved", said, now_seconds):
            self._is_refused(pod, now_seconds)
            return False
        logger.info("%s/%s evicted: %s", pod.namespace, pod.name, said)
        self._left[pod.uid] = now_seconds
        there = Taken(
            pod.uid, state.nodes.records[move.to_place].name, fleet.residents.loads.take([move.pod])
        )
        self._placer.room.expect_successor(group.ref, there, now_seconds)
        self._budget.count(pod.kube_node, now_seconds)
        self._metrics.count("plimsoll_relief_total", outcome="evicted")
        return True

    def _is_refused(self, pod: PodRecord, now_seconds: float) -> None:
        self._refused[pod.uid] = now_seconds
        self._metrics.count("plimsoll_relief_total", outcome="refused")

    async def _propose(self, state: PlacementState, fleet: Fleet, move: Move, now_seconds: float) -> None:
        pod = fleet.pods[move.pod]
        ref = PodRef(pod.namespace, pod.name, pod.uid)
        if await self._actor.events.say(ref, "ReliefProposed", _sentence(state, move), now_seconds):
            self._metrics.count("plimsoll_relief_total", outcome="proposed")

    def _forget(self, now_seconds: float) -> None:
        for known, seconds in ((self._left, LEAVING_SECONDS), (self._refused, REFUSED_SECONDS)):
            for uid in [uid for uid, when in known.items() if not 0 <= now_seconds - when < seconds]:
                del known[uid]

    def _report(self, endangered_nodes: int, unrelieved: int) -> None:
        counts = {"endangered": float(endangered_nodes), "unrelieved": float(unrelieved)}
        self._metrics.replace("plimsoll_relief_kube_nodes", "state", counts)


def _sentence(state: PlacementState, move: Move) -> str:
    here, there = (state.nodes.records[place].name for place in (move.from_place, move.to_place))
    return (
        f"kube node {here} is short of memory within a day with chance {move.short_before:.1%}, without this "
        f"pod {move.short_after:.1%}; {there} has room for it ({move.short_there:.1%} with it)"
    )
