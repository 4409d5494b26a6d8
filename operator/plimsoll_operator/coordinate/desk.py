"""What agents say, brought to where it counts: the operator's part of coordination, one for the process.

In: bodies from the streams, each loop's world and plans. Out: plans without what has to wait, asks for single
pods, answers to agents. It is heard in the event loop and never waits there; a lease is answered by a task of
its own. Without leadership nothing is written, for the actor behind it is fenced.
"""

import asyncio
import logging
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from plimsoll.coordinate.attendance import Attendance, Presence
from plimsoll.coordinate.messages import (
    LASTS_SECONDS,
    AgentBody,
    ForecastBatch,
    LeaseAnswer,
    LeaseRequest,
    MessageError,
    NodeFacts,
    OperatorBody,
    OutcomeBatch,
    Roster,
    SampleBatch,
    ShrinkReport,
    Unread,
)
from plimsoll.coordinate.shrink import Shrink
from plimsoll.coordinate.sought import waits_for_need
from plimsoll.guard.state import Purpose
from plimsoll.workload import shared_class
from plimsoll_operator.asks import SOUGHT, Asks
from plimsoll_operator.coordinate.lease_notes import LeaseNotes
from plimsoll_operator.coordinate.lending import Lending, Overlaid, Raise
from plimsoll_operator.coordinate.needs import NeedBook
from plimsoll_operator.coordinate.policies import PolicyTelling
from plimsoll_operator.coordinate.presences import Presences
from plimsoll_operator.coordinate.shrinks import Around, Shrinks, Waits
from plimsoll_operator.coordinate.views import Views
from plimsoll_operator.engine.messages import Needs
from plimsoll_operator.membership import Membership, container_of
from plimsoll_operator.planning import Choice, Plans, PodPlan
from plimsoll_operator.records import ContainerRecord, PodRecord
from plimsoll_operator.serve.metrics import Metrics
from plimsoll_operator.world import World

if TYPE_CHECKING:  # it needs the extra `redis`, which an operator without a memory does without
    from plimsoll_operator.coordinate.sharing import Sharing

logger = logging.getLogger(__name__)

CLOCK_SKEW_SECONDS = 5.0  # an agent's clock that is further off is told; nothing is decided by it
GREETED_SECONDS = 10.0  # after a hello: requests that waited for the stream have come by then
LIKELY = 0.5  # pressure that is as likely as not
REPORTED_SECONDS = 1.0  # and reports, of which another comes each second
MOST_KINDS = 50  # of agent version and kernel that are told one by one: nodes may say anything


class Desk:
    """Hears the agents (`server.Hearer`) and takes part in the loop."""

    def __init__(  # noqa: PLR0913 -- one argument for each part
        self,
        attendance: Attendance[OperatorBody, AgentBody | MessageError],
        membership: Membership,
        asks: Asks,
        metrics: Metrics,
        *,
        offer: Callable[[str, OperatorBody], bool],
        draw_id: Callable[[], int],
        raise_now: Raise,
        overlaid: Overlaid,
        wake: Callable[[], None],
        notes: LeaseNotes,
    ) -> None:
        self._attendance, self._membership, self._asks = attendance, membership, asks
        self._metrics, self._offer, self._wake = metrics, offer, wake
        self.views = Views()
        self._presences = Presences(attendance)
        around = Around(membership.pod, self._presences.of, offer, draw_id, self._shrink_ended)
        self.shrinks = Shrinks(around)
        self.shrink_ended: Callable[[Shrink], None] = lambda _: None
        """Who else is to know of it: the memory of the fleet, where there is one."""
        self.sharing: Sharing | None = None
        """Set where there is a memory to keep models in."""
        self.lending = Lending(membership, asks, self.views, raise_now, overlaid, notes)
        self._needs = NeedBook(membership, self.views, self._presences.of)
        self.policies = PolicyTelling(membership, offer)
        self._world = World()
        self._skews: dict[str, float] = {}  # seconds that a node's clock was ahead of ours at its hello
        self._greeted: dict[str, tuple[float, float]] = {}  # when a hello was said and heard, by either clock
        self._facts: dict[str, tuple[str, str]] = {}  # what a node's hello said: version and kernel
        self._tasks: set[asyncio.Task[None]] = set()

    # -- what agents say ----------------------------------------------------------------------------------

    def greeted(self, kube_node: str, facts: NodeFacts, now_seconds: float) -> None:
        """A node's stream was opened."""
        self.views.greet(kube_node, facts.roster)
        skew = facts.sent_seconds - now_seconds
        self._skews[kube_node] = skew
        self._greeted[kube_node] = (facts.sent_seconds, now_seconds)
        if abs(skew) > CLOCK_SKEW_SECONDS:
            logger.warning("the clock of %s is %.0f s off", kube_node, skew)
        self._facts[kube_node] = (facts.agent_version, facts.kernel)
        lost = {each.engine: each.missing for each in facts.capabilities if each.missing}
        logger.info(
            "an agent attends",
            extra={
                "kube_node": kube_node,
                "agent": facts.agent_version,
                "kernel": facts.kernel,
                "lacks": lost,
            },
        )
        self.policies.greeted(facts, now_seconds)
        self.shrinks.repeat(kube_node)

    def heard(self, kube_node: str, body: AgentBody, now_seconds: float) -> None:
        """A node has said something."""
        if isinstance(body, SampleBatch | ForecastBatch | Unread):
            self.views.take(kube_node, body, now_seconds)
        elif isinstance(body, Roster):
            self.views.change(kube_node, body)
        elif isinstance(body, ShrinkReport):
            if self._just_greeted(kube_node, now_seconds, REPORTED_SECONDS):
                return  # it may have waited for this stream; the agent says it again in a second
            if self.shrinks.hear(body, kube_node, now_seconds):
                self._wake()
        elif isinstance(body, LeaseRequest) and self._waited(kube_node, body, now_seconds):
            self._metrics.count("plimsoll_leases_total", outcome="refused")
            self._offer(kube_node, LeaseAnswer(body.lease_id, 0, 0.0, "it was asked before the stream broke"))
        elif isinstance(body, LeaseRequest):
            task = asyncio.create_task(self._lend(kube_node, body, now_seconds))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif isinstance(body, OutcomeBatch):
            self.views.reclaimed(kube_node, body)
        elif self.sharing is not None:  # a ModelDelta: the only one left
            self.sharing.hear(kube_node, body, now_seconds)

    def classes_on(self, kube_node: str) -> frozenset[str]:
        """What a node may speak of: the images of the containers in its roster, as their pods' specs say."""
        found = set()
        for uid, container_id in self.views.containers(kube_node):
            pod = self._membership.pod(uid)
            if pod is not None and pod.kube_node == kube_node:
                found |= {
                    shared_class(each.spec.image, each.spec.name)
                    for each in pod.containers
                    if each.container_id in {container_id, ""}
                }
        return frozenset(found - {""})

    async def _lend(self, kube_node: str, request: LeaseRequest, now_seconds: float) -> None:
        try:
            answer = await self.lending.answer(kube_node, request, self._world, now_seconds)
        except Exception:
            logger.exception("a lease was not granted for a fault of ours")
            self._metrics.count("plimsoll_leases_total", outcome="failed")
            return
        outcome = "granted" if answer.limit_bytes else "refused"
        self._metrics.count("plimsoll_leases_total", outcome=outcome)
        logger.info("lease %s", outcome, extra={"kube_node": kube_node, "why": answer.refusal})
        self._offer(kube_node, answer)

    # -- the loop's part ----------------------------------------------------------------------------------

    def presences(self, now_seconds: float) -> dict[Presence, int]:
        """How many agents attend, and how many did and are away."""
        return self._presences.count(now_seconds)

    def rest(self) -> None:
        """Another replica leads: what is under way here is its own now, and is not taken up again later."""
        self._attendance.silence()
        self.policies.rest()
        self.shrinks.drop()
        self.lending.drop()

    def begin(self, world: World, now_seconds: float) -> set[int]:
        """A loop begins; returns the rows that are asked for, whatever else is due."""
        self._world = world
        self._presences.begin(world)
        self.policies.begin(world, now_seconds)
        self.shrinks.tick(now_seconds)
        self._asks.lent = {**self.lending.asks(now_seconds), **self.shrinks.asks()}
        self._attendance.forget(now_seconds, frozenset(world.kube_nodes))
        self._know(world)
        self._skews = {name: each for name, each in self._skews.items() if name in world.kube_nodes}
        self._greeted = {name: each for name, each in self._greeted.items() if name in world.kube_nodes}
        self._facts = {name: each for name, each in self._facts.items() if name in world.kube_nodes}
        if self.sharing is not None:
            self.sharing.forget(frozenset(world.kube_nodes))
        self._report(now_seconds)
        return {row for uid in self._asks.lent if (row := self._membership.row_in_group(uid)) is not None}

    async def note_leases(self, world: World, now_seconds: float) -> None:
        """Of the leader: what stands of leases is brought to where the next one finds it."""
        await self.lending.note(world, now_seconds)

    async def needs(self, world: World) -> Needs:
        """What the engine is told of needed memory before its tick."""
        self._know(world)
        return await self._needs.needs(world)

    def needed_bytes(self, pod: PodRecord, container: ContainerRecord, now_seconds: float) -> float | None:
        """What of a container's use is needed, for the guards; None: not known."""
        return self._needs.needed_bytes(pod, container, now_seconds)

    def gate(self, plans: Plans, now_seconds: float) -> None:
        """Take out of the plans what has to wait for an agent or a lease, each with its reason."""
        plans.pods = [kept for plan in plans.pods if (kept := self._gated(plan, plans, now_seconds)).choices]

    def still(self, plan: PodPlan, plans: Plans, now_seconds: float) -> PodPlan:
        """What of a plan that `gate` let pass may be written now; asked directly before each write.

        Between the two lie other stages, other pods' writes and their retries, and agents speak meanwhile: a
        lease may have been granted, the room taken again, or its word grown old.
        """
        choices: dict[str, Choice] = {}
        for name, choice in plan.choices.items():
            waits = self._burst(plan, name, now_seconds)
            waits = waits or self.shrinks.stands(plan.pod, choice, name, now_seconds)
            if waits is None:
                choices[name] = choice
            else:
                plans.withheld(plan, name, waits.reason, waits.text)
        return replace(plan, choices=choices)

    def wrote(self, plans: list[PodPlan], now_seconds: float) -> None:
        """These were written."""
        for plan in plans:
            for name, choice in plan.choices.items():
                self.shrinks.wrote((plan.pod.uid, name), choice.decision.limit_bytes, now_seconds)

    def failed(self, plans: list[PodPlan]) -> None:
        """These were not written, for certain."""
        for plan in plans:
            for name in plan.choices:
                self.shrinks.failed((plan.pod.uid, name))

    def _gated(self, plan: PodPlan, plans: Plans, now_seconds: float) -> PodPlan:
        choices = {}
        for name, choice in plan.choices.items():
            waits = self._burst(plan, name, now_seconds) or self._sought(plan, name, now_seconds)
            passed = waits or self.shrinks.gate(plan.pod, choice, name, now_seconds)
            if isinstance(passed, Waits):
                plans.withheld(plan, name, passed.reason, passed.text)
            else:
                choices[name] = passed
        return replace(plan, choices=choices)

    def _burst(self, plan: PodPlan, name: str, now_seconds: float) -> Waits | None:
        return self._leased(plan, name, now_seconds) or self._foreseen(plan, name, now_seconds)

    def _sought(self, plan: PodPlan, name: str, now_seconds: float) -> Waits | None:
        """What would follow a need that is still being found out waits for that, or for its target."""
        choice, container = plan.choices[name], container_of(plan.pod, name)
        to_bytes, from_bytes = choice.decision.limit_bytes, choice.from_bytes
        basis = self._asks.basis(plan.group.rows[name])
        if basis is None or not basis.sought or choice.purpose is not Purpose.FORECAST:
            return None
        if container is None or to_bytes is None or from_bytes is None or to_bytes > from_bytes:
            return None
        needed_bytes = self._needs.needed_bytes(plan.pod, container, now_seconds)
        return Waits("NeedSought", SOUGHT) if waits_for_need(to_bytes, needed_bytes) else None

    def _foreseen(self, plan: PodPlan, name: str, now_seconds: float) -> Waits | None:
        """Nothing is lowered where the agent sees the limit reached soon, or pressure coming."""
        choice, container = plan.choices[name], container_of(plan.pod, name)
        to_bytes, from_bytes = choice.decision.limit_bytes, choice.from_bytes
        if container is None or to_bytes is None or from_bytes is None or to_bytes >= from_bytes:
            return None
        seconds = self.views.limit_reached_seconds(
            plan.pod.kube_node, plan.pod.uid, container.container_id, now_seconds
        )
        if seconds is not None:
            return Waits("BurstForeseen", f"its agent sees it reach the present limit in {seconds:.0f} s")
        chance = self.views.pressure_probability(
            plan.pod.kube_node, plan.pod.uid, container.container_id, now_seconds
        )
        if chance < LIKELY:
            return None
        return Waits("PressureForeseen", f"its agent sees memory pressure coming, with {chance:.0%}")

    def _leased(self, plan: PodPlan, name: str, now_seconds: float) -> Waits | None:
        """A lease in force is not taken back, not by a raise either that was planned before and asks less."""
        uid, choice = (plan.pod.uid, name), plan.choices[name]
        most = max(choice.from_bytes or 0, self.lending.book.limit(uid) or 0)
        if (choice.decision.limit_bytes or 0) < most and self.lending.book.holds(uid, now_seconds):
            return Waits("Leased", "a burst lease is in force")
        return None

    def _waited(self, kube_node: str, request: LeaseRequest, now_seconds: float) -> bool:
        """True for a request that waited for this stream: older agents keep it over any absence.

        Both times are the agent's own. One that sets its clock later is not misunderstood for long: what
        waited comes right after the hello.
        """
        said_seconds, _ = self._greeted.get(kube_node, (-math.inf, -math.inf))
        late = request.asked_seconds < said_seconds - LASTS_SECONDS[LeaseRequest]
        return late and self._just_greeted(kube_node, now_seconds, GREETED_SECONDS)

    def _just_greeted(self, kube_node: str, now_seconds: float, within_seconds: float) -> bool:
        _, heard_seconds = self._greeted.get(kube_node, (-math.inf, -math.inf))
        return 0.0 <= now_seconds - heard_seconds <= within_seconds

    def _know(self, world: World) -> None:
        """What nodes there are, and what they have."""
        self.views.keep_only({name: each.capacity_bytes for name, each in world.kube_nodes.items()})

    def _report(self, now_seconds: float) -> None:
        counts = self._presences.count(now_seconds)
        shown = {each.value: float(counts[each]) for each in (Presence.PRESENT, Presence.AWAY)}
        self._metrics.replace("plimsoll_agents", "presence", shown)
        kinds = Counter(self._facts.values())
        told: dict[tuple[str, ...], float] = {
            kind: float(count) for kind, count in kinds.most_common(MOST_KINDS)
        }
        if others := len(self._facts) - sum(map(int, told.values())):
            told["others", "others"] = float(others)
        self._metrics.replace_many("plimsoll_agents_greeted", ("agent_version", "kernel"), told)
        taken, returned = self.views.reclaimed_bytes()
        self._metrics.set("plimsoll_agents_reclaimed_bytes", taken)
        self._metrics.set("plimsoll_agents_returned_bytes", returned)
        worst = max((abs(each) for each in self._skews.values()), default=0.0)
        self._metrics.set("plimsoll_agent_clock_skew_seconds_max", worst)
        self._metrics.set("plimsoll_shrinks_under_way", float(len(self.shrinks)))
        self._metrics.set("plimsoll_leases_in_force", float(len(self.lending.book)))

    def _shrink_ended(self, shrink: Shrink) -> None:
        self._metrics.count("plimsoll_shrinks_total", outcome=shrink.step.value)
        self.shrink_ended(shrink)
