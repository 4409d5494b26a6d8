"""The loop: one line for each stage, each timed by name.

In: the indices, the engine, a clock. Out: decisions, and (where we lead) writes. Level-based: every loop
starts from what is there; an event only wakes it. An exception ends a loop, not the operator, and never
becomes a write.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import replace

from plimsoll.guard.cluster import guard
from plimsoll.guard.decision import Decision, hold
from plimsoll.guard.state import Ask, ControlState
from plimsoll_operator.acting import resizing
from plimsoll_operator.actuate.status import StatusBuilder
from plimsoll_operator.created import Created
from plimsoll_operator.engine.messages import OomEvent, PodContainer, Tick
from plimsoll_operator.happenings import Happenings
from plimsoll_operator.kube_version import KubeVersion, supported
from plimsoll_operator.leaking import Leaks
from plimsoll_operator.membership import Changes, Group, container_of
from plimsoll_operator.parts import Parts
from plimsoll_operator.planning import UNANSWERED, UNWRITTEN, Choice, Planner, Plans, PodPlan, RoutineBudget
from plimsoll_operator.reporting import report
from plimsoll_operator.situations import Ledger, Situations
from plimsoll_operator.world import World

logger = logging.getLogger(__name__)

FOUND_AT_ONCE = 2000  # rows whose groups are looked up between two turns of the event loop
PLANNED_AT_ONCE = 50  # groups planned between two turns of the event loop
# A sample may be this many intervals old before it says nothing about the present.
USAGE_INTERVALS = 3.0
# However short the interval: a busy kubelet measures every 10-20 s, and metrics-server adds its own 15 s.
FRESHEST_SECONDS = 60.0


class Loop:
    """Runs the stages, once or for ever."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._budget = RoutineBudget(parts.settings.max_resizes_per_minute)
        self._again: set[int] = set()
        self._wake = asyncio.Event()
        self._calm_since: tuple[int, float] | None = None  # restarts of the engine, and when the last was
        self._version = KubeVersion(parts.api)
        self._said: frozenset[str] = frozenset()
        self._led = False
        self._since_seconds: float | None = None  # start, or since we are the leader
        self.loops = 0
        self.world = World()
        self._state = ControlState()  # of the last planning
        self._created = Created()
        self.happenings = Happenings(parts)
        self._leaks = Leaks(parts.asks, parts.actor, parts.membership.group_of_row, self.happenings.leak)

    @property
    def control(self) -> ControlState | None:
        """What held for the whole operator in the last loop; None before the first."""
        return self._state if self.loops else None

    def wake(self) -> None:
        """Start the next loop at once."""
        self._wake.set()

    async def forever(self, beat: Callable[[], None]) -> None:
        """Loop at every interval, and when woken."""
        while True:
            started = self._parts.clock.now()
            self._wake.clear()  # what comes in from here on may not be in this loop's snapshot
            await self._safely(started)
            beat()
            await self._sleep(started + self._parts.settings.interval)

    async def once(self, now_seconds: float) -> Plans:
        """One loop."""
        parts, stage = self._parts, self._parts.stages
        with stage("read"):
            world = await self._read(now_seconds)
        with stage("members"):
            changes = await parts.membership.scan(world, now_seconds, _breathe)
            new = self._created.count(changes.seen, now_seconds)
            parts.metrics.count("plimsoll_webhook_due_pods_total", new)
        with stage("owners"):
            await self._learn_owners(now_seconds)
        with stage("tell"):
            await self._tell(world, changes)
        # After a start the telling takes minutes; by the old clock all samples would be from the future.
        now_seconds = self._present(now_seconds)
        with stage("tick"):
            if parts.desk is not None:
                await parts.engine.tell_needs(await parts.desk.needs(world))
            tick = await parts.engine.tick(now_seconds, loads=self._places(world))
        with stage("take"):
            parts.asks.take(tick)
            if parts.desk is not None:
                if not parts.leader.holds():
                    parts.desk.rest()
                self._again |= parts.desk.begin(world, now_seconds)
        with stage("plan"):
            plans = await self._plan(world, tick, changes, now_seconds)
        with stage("place"):
            await self._place(world, tick)
        if parts.leader.holds():
            with stage("act"):
                await self._act(world, plans, now_seconds)
            with stage("follow"):
                await self._follow(now_seconds)
            with stage("leaks"):
                await self._leaks.answer(self._state, now_seconds)
            with stage("relieve"):
                await self._relieve(now_seconds)
            with stage("peaks"):
                if parts.peaks is not None:
                    await parts.peaks.tell(world, now_seconds)
            with stage("profiles"):
                await parts.keeper.keep(world, self._builder(now_seconds), plans.rows, now_seconds)
            with stage("policies"):
                await parts.keeper.policies(world, now_seconds)
        elif parts.reliever is not None:
            parts.reliever.rest()
        parts.metrics.set("plimsoll_leader", float(parts.leader.holds()))
        with stage("report"):
            await report(parts.metrics, parts.membership, world, plans, tick, changes)
            self._leaks.report(now_seconds)
            self._say(tick, changes, plans)
        return plans

    async def raise_now(self, uid: PodContainer, ask: Ask, now_seconds: float) -> Decision:
        """Raise one container's limit between two loops: the same guards, the same actor, no waiting.

        What a lease needs. It is decided in the last loop's world, with our own writes laid over it.
        """
        parts = self._parts
        group, pod = parts.membership.group_of_pod(uid[0]), parts.membership.pod(uid[0])
        container = None if pod is None else container_of(pod, uid[1])
        if group is None or pod is None or container is None or not parts.leader.holds():
            return hold(
                "NotLeader" if container is not None else "Gone", "nothing is written here", None, None
            )
        pod = parts.actor.expectations.overlaid(pod, now_seconds)
        container = container_of(pod, uid[1]) or container
        spec = container.spec
        if parts.keeper.profiles.known(group, self.world.profiles) is None:
            text = "the profile that remembers the original resources is not written yet"
            return hold(UNWRITTEN, text, spec.limit_bytes, spec.request_bytes)
        situations = self._situations(self.world, self._state, now_seconds)
        decision = guard(ask, situations.of(group, pod, container, parts.actor.changes.get(uid)))
        if decision.acts:
            plan = PodPlan(pod, group, {spec.name: Choice(decision, spec.limit_bytes, ask.purpose)})
            acted = await parts.actor.act([plan], now_seconds, _nothing_to_record)
            if not acted.written:
                reason = UNANSWERED if acted.unanswered else "NotWritten"
                return hold(reason, f"could not be written: {decision.message}", None, None)
        return decision

    def _places(self, world: World) -> bool:
        """Whether anybody wants to know where pods should go."""
        return self._parts.placer is not None and self._parts.placer.wanted(world)

    # -- stages -------------------------------------------------------------------------------------------

    async def _read(self, now_seconds: float) -> World:
        """The indices as they are, with our own writes laid over pods the watch has not brought back yet."""
        parts = self._parts
        world = await parts.snapshot()
        if len(parts.actor.expectations):
            overlaid = parts.actor.expectations.overlaid
            world = replace(world, pods=tuple(overlaid(pod, now_seconds) for pod in world.pods))
        self.world = world
        return world

    async def _learn_owners(self, now_seconds: float) -> None:
        self._parts.owners.forget_failures(now_seconds)
        await self._parts.owners.learn(self._parts.api, now_seconds)

    async def _tell(self, world: World, changes: Changes) -> None:
        """The engine hears of containers before it hears of their past, and of that before their kills."""
        parts = self._parts
        await parts.engine.forget(changes.freed)
        parts.asks.forget(changes.freed)
        if parts.placer is not None:
            parts.placer.forget(changes.freed)
        parts.keeper.forget(changes.freed)
        await parts.engine.sync(changes.added, changes.removed)
        touched = [parts.membership.groups[key] for key in changes.touched if key in parts.membership.groups]
        await parts.keeper.restore(touched, world)
        await parts.engine.observe(changes.events)
        self.happenings.kills(changes.events)  # what fails from here on takes no kill out of the memory
        kills = sum(isinstance(each, OomEvent) for each in changes.events)
        parts.metrics.count("plimsoll_oom_kills_total", kills)

    async def _plan(self, world: World, tick: Tick, changes: Changes, now_seconds: float) -> Plans:
        parts, plans = self._parts, Plans()
        await self._take_over(world, now_seconds)
        self._budget.begin(now_seconds)
        situations = self._situations(world, await self._control(world, tick, now_seconds), now_seconds)
        planner = Planner(
            situations,
            parts.asks,
            parts.actor.changes,
            self._budget,
            self._since_seconds if self._since_seconds is not None else now_seconds,
            parts.keeper.pending,
        )
        for number, group in enumerate(await self._due(tick, changes)):
            if number % PLANNED_AT_ONCE == PLANNED_AT_ONCE - 1:
                await _breathe()
            planner.plan(group, parts.keeper.profiles.known(group, world.profiles), plans)
        if parts.desk is not None:
            parts.desk.gate(plans, self._present(now_seconds))
        self._again = plans.again
        return plans

    async def _place(self, world: World, tick: Tick) -> None:
        """Every replica's webhook is asked, so every replica knows where pods should go."""
        placer = self._parts.placer
        if placer is None:
            return
        if placer.wanted(world):
            await placer.refresh(world, tick, self._state, _breathe)
        else:
            placer.rest()

    async def _relieve(self, now_seconds: float) -> None:
        """Who leaves a kube node before it is short; a fault there harms nothing else."""
        reliever = self._parts.reliever
        if reliever is None:
            return
        try:
            await reliever.answer(now_seconds)
        except Exception:
            reliever.rest()
            logger.exception("relief failed; nobody leaves its kube node")

    async def _due(self, tick: Tick, changes: Changes) -> list[Group]:
        """Groups with something new: a recommendation, a raise, a changed pod, a reason that passes, or a
        hold that has ended.
        """
        membership, released = self._parts.membership, self._parts.asks.take_released()
        rows = {*tick.recommendations.rows.tolist(), *tick.raises.rows.tolist(), *self._again, *released}
        found: dict[int, Group] = {}  # by identity: a group's key is slow to hash, and all may be due at once
        for number, key in enumerate(changes.touched):
            if number % FOUND_AT_ONCE == FOUND_AT_ONCE - 1:
                await _breathe()
            if (group := membership.groups.get(key)) is not None:
                found[id(group)] = group
        for number, row in enumerate(rows):
            if number % FOUND_AT_ONCE == FOUND_AT_ONCE - 1:
                await _breathe()
            if (group := membership.group_of_row(row)) is not None:
                found[id(group)] = group
        restoring = (each for each in self.world.profiles.values() if each.restore)
        found |= {id(group): group for profile in restoring for group in membership.of_workload(profile)}
        return list(found.values())

    async def _act(self, world: World, plans: Plans, now_seconds: float) -> None:
        parts, builder = self._parts, self._builder(now_seconds)

        async def record_first(group: Group) -> None:
            choices = {name: plans.rows[row] for name, row in group.rows.items() if row in plans.rows}
            await parts.keeper.record_kills(group, world, builder, choices)

        def still(plan: PodPlan) -> PodPlan:
            """Agents speak while a plan waits for its turn."""
            desk = parts.desk
            return plan if desk is None else desk.still(plan, plans, self._present(now_seconds))

        acted = await parts.actor.act(plans.pods, now_seconds, record_first, still)
        if parts.desk is not None:
            parts.desk.wrote(acted.written, self._present(now_seconds))
            parts.desk.failed(acted.failed)
        written = {plan.group.rows[name] for plan in acted.written for name in plan.choices}
        for plan in (*acted.failed, *acted.unanswered):
            if written.isdisjoint(plan.group.rows.values()):
                plans.unwritten(plan)
        parts.actor.keep_only({pod.uid for pod in world.pods}, now_seconds)

    async def _follow(self, now_seconds: float) -> None:
        parts = self._parts
        if parts.desk is not None:
            await parts.desk.note_leases(self.world, now_seconds)
        under_way = resizing(parts.membership.groups.values())
        states: dict[str, float] = {}

        async def record(group: Group) -> bool:
            return await parts.keeper.record_move(group, self.world, self._builder(now_seconds))

        for pod, group in under_way.values():
            profile = parts.keeper.profiles.known(group, self.world.profiles)
            await parts.actor.follow(pod, group, profile, now_seconds, record)
            status = pod.resize.status.value if pod.resize is not None else ""
            states[status] = states.get(status, 0.0) + 1
        parts.metrics.replace("plimsoll_resizes_unfinished", "status", states)

    def _say(self, tick: Tick, changes: Changes, plans: Plans) -> None:
        """Tell the memory what went wrong; log what keeps the engine from seeing, when it is new."""
        self.happenings.looped(changes.events, plans, tick)
        words = frozenset((*tick.problems, *tick.notices))
        for text in sorted(words - self._said):
            logger.warning("usage: %s", text)
        self._said = words

    # -- parts --------------------------------------------------------------------------------------------

    def _present(self, now_seconds: float) -> float:
        """The time now: a loop takes long, and what agents say ages in seconds."""
        return max(now_seconds, self._parts.clock.now())

    def _situations(self, world: World, control: ControlState, now_seconds: float) -> Situations:
        parts = self._parts
        requested = parts.membership.requested_bytes
        made = Situations(world, parts.asks, control, parts.actor.learned, Ledger(), requested, now_seconds)
        return made if parts.desk is None else replace(made, needed=parts.desk.needed_bytes)

    async def _control(self, world: World, tick: Tick, now_seconds: float) -> ControlState:
        settings = self._parts.settings
        version = await self._version.known(now_seconds)
        self._state = ControlState(
            paused=world.paused,
            supported=supported(version),
            version=version,
            problems=tick.problems,
            settled=self._settled(now_seconds),
            max_usage_age_seconds=max(USAGE_INTERVALS * settings.interval, FRESHEST_SECONDS),
        )
        return self._state

    async def _take_over(self, world: World, now_seconds: float) -> None:
        """At the start, and when we become the leader: what a predecessor changed counts too."""
        parts = self._parts
        led, self._led = self._led, parts.leader.holds()
        if self._since_seconds is not None and (led or not self._led):
            return
        self._since_seconds = now_seconds
        self._budget = RoutineBudget(parts.settings.max_resizes_per_minute)
        for number, group in enumerate(list(parts.membership.groups.values())):
            if number % PLANNED_AT_ONCE == PLANNED_AT_ONCE - 1:
                await _breathe()
            profile = parts.keeper.profiles.known(group, world.profiles)
            if profile is not None:
                self._budget.recall(group, profile)

    def _settled(self, now_seconds: float) -> bool:
        """True where the engine has run long enough that what a restart has missed cannot look like calm."""
        restarts = self._parts.engine.restarts
        if self._calm_since is None or self._calm_since[0] != restarts:
            self._calm_since = (restarts, now_seconds)
        return now_seconds - self._calm_since[1] >= self._parts.settings.settle

    def _builder(self, now_seconds: float) -> StatusBuilder:
        parts = self._parts
        moved = parts.actor.learned.moved
        return StatusBuilder(parts.asks, parts.quantity, parts.model, now_seconds, self._state, moved)

    async def _safely(self, now_seconds: float) -> None:
        stages = self._parts.stages
        stages.begin()
        outcome = "done"
        try:
            with stages("loop"):
                await self.once(now_seconds)
        except Exception:
            outcome = "failed"
            logger.exception("loop failed; nothing was lowered, the next loop starts afresh")
        self.loops += 1
        self._parts.metrics.count("plimsoll_loops_total", outcome=outcome)
        self._parts.metrics.observe("plimsoll_loop_seconds", stages.seconds.get("loop", 0.0))
        self._parts.metrics.set("plimsoll_loop_last_timestamp_seconds", now_seconds)
        taken = {name: round(seconds, 4) for name, seconds in stages.seconds.items()}
        logger.info("loop %d %s", self.loops, outcome, extra={"stages": taken, "now": now_seconds})

    async def _sleep(self, until_seconds: float) -> None:
        """Until the next interval, or until something wakes us."""
        tasks = {
            asyncio.ensure_future(self._parts.clock.sleep_until(until_seconds)),
            asyncio.ensure_future(self._wake.wait()),
        }
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task


async def _breathe() -> None:
    await asyncio.sleep(0)


async def _nothing_to_record(_: Group) -> None:
    """A lease follows no kill, and the originals are on record."""
