"""Leaks: what is said of them, and the restarts that a policy asks for before one ends in a kill.

In: groups, the engine's findings, the world of one loop. Out: `Projection`s for conditions, profiles and
metrics; events when a leak begins; evictions where `leak.action` is Restart. Where the growth of a leak is
no longer followed is the guards' to say (`plimsoll.guard.bounds.not_after_a_leak`).
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from plimsoll.api.effective import EffectiveContainerPolicy, LeakAction
from plimsoll.guard.proposal import say
from plimsoll.guard.state import ControlState
from plimsoll.leak.death import death_seconds, restart_due
from plimsoll.usage.sample import HOUR_SECONDS
from plimsoll_operator.acting import Actor
from plimsoll_operator.actuate.api import PodRef
from plimsoll_operator.asks import Asks, LeakView
from plimsoll_operator.membership import Group
from plimsoll_operator.records import PodRecord

logger = logging.getLogger(__name__)

LABELS = ("namespace", "kind", "workload", "container")
AHEAD_SECONDS = 366 * 86_400.0  # a death later than this is none
# A workload that has fewer pods than before an eviction waits so long for the missing one; then it was
# scaled down.
REPLACED_SECONDS = 1800.0
# A pod younger than this part of what the whole way up takes is not the one that is about to die.
YOUNG_PART = 0.25


@dataclass(frozen=True, slots=True)
class Projection:
    """One leaking container: how fast it grows and when that ends."""

    container: str
    leak: LeakView
    policy: EffectiveContainerPolicy | None
    limit_bytes: int | None  # the lowest in force among its pods
    used_bytes: float | None
    death_seconds: float | None  # at that limit
    cap_seconds: float | None  # at the policy's leak.cap

    def sentence(self) -> str:
        """What a person reads in the condition, the event and `plimsoll explain`."""
        slope = self.leak.slope * HOUR_SECONDS
        low, high = self.leak.slope_low * HOUR_SECONDS, self.leak.slope_high * HOUR_SECONDS
        words = f"container {self.container} leaks: it grows by {say(slope)} an hour"
        bounds = say(max(low, 0.0)), say(high)
        if set(bounds) != {say(slope)}:  # an even past: "1.0 MiB (1.0 MiB to 1.0 MiB)" says nothing
            words += f" ({' to '.join(bounds)})"
        words += f", told since {_clock(self.leak.since_seconds)}"
        if self.death_seconds is not None:
            words += f"; at {_clock(self.death_seconds)} it reaches its limit of {say(self.limit_bytes)}"
        if self.cap_seconds is not None and self.policy is not None:
            words += f", at {_clock(self.cap_seconds)} its leak.cap of {say(self.policy.leak_cap_bytes)}"
        return words + _answer(self.policy)


def projections(group: Group, asks: Asks, now_seconds: float) -> Iterator[Projection]:
    """The leaking containers of a group, by name."""
    for name, row in sorted(group.rows.items()):
        leak = asks.leak(row)
        if leak is None:
            continue
        policy, limit = group.container_policy(name), _lowest_limit(group, name)
        used, _ = asks.usage(row)

        def at(level_bytes: int | None, used: float | None = used, leak: LeakView = leak) -> float | None:
            if used is None:
                return None
            found = death_seconds(now_seconds, used, leak.slope, level_bytes)
            return found if found is not None and found - now_seconds < AHEAD_SECONDS else None

        cap = policy.leak_cap_bytes if policy is not None else None
        yield Projection(name, leak, policy, limit, used, at(limit), at(cap))


@dataclass(slots=True)
class Leaks:
    """Says and answers leaks."""

    asks: Asks
    actor: Actor
    group_of_row: Callable[[int], Group | None]
    tell: Callable[[Group, Projection], None] = lambda _group, _leak: None
    """Who else is to know of a leak when it is first told."""
    _said: set[int] = field(default_factory=set)
    _evicted: dict[int, tuple[int, float]] = field(default_factory=dict)  # row -> pods then, when

    async def answer(self, control: ControlState, now_seconds: float) -> None:
        """Say what has begun to leak, and restart what is due; only the leader calls this."""
        rows = self.asks.leaking()
        self._said &= set(rows)
        self._evicted = {row: each for row, each in self._evicted.items() if row in rows}
        groups = {id(group): group for row in rows if (group := self.group_of_row(row)) is not None}
        for group in groups.values():
            for leak in projections(group, self.asks, now_seconds):
                await self._say(group, leak, now_seconds)
                if not control.paused and not control.problems:
                    await self._restart(group, leak, now_seconds)

    def report(self, now_seconds: float) -> None:
        """Set the gauges of leaks and classes."""
        series: dict[tuple[str, ...], float] = {}
        groups = (self.group_of_row(row) for row in self.asks.leaking())
        for group in {id(each): each for each in groups if each is not None}.values():
            for leak in projections(group, self.asks, now_seconds):
                labels = (group.ref.namespace, group.ref.kind, group.ref.name, leak.container)
                death = leak.death_seconds
                series[labels] = AHEAD_SECONDS if death is None else death - now_seconds
        self.actor.metrics.replace_many("plimsoll_leak_seconds_to_limit", LABELS, series)
        self.actor.metrics.set("plimsoll_leaking_containers", float(len(series)))
        self.actor.metrics.replace("plimsoll_workload_class_containers", "class", self.asks.class_counts())

    async def _say(self, group: Group, leak: Projection, now_seconds: float) -> None:
        row = group.rows[leak.container]
        pod = min(group.pods.values(), key=lambda each: each.name, default=None)
        if row in self._said or pod is None:
            return
        self._said.add(row)
        logger.warning("%s: %s", group.ref, leak.sentence())
        ref = PodRef(pod.namespace, pod.name, pod.uid)
        self.tell(group, leak)
        await self.actor.events.say(ref, "Leaking", leak.sentence(), now_seconds, "Warning")

    async def _restart(self, group: Group, leak: Projection, now_seconds: float) -> None:
        """Evict the pod that has run longest, where it is time; the next one when that one is replaced."""
        policy = leak.policy
        if policy is None or policy.leak_action is not LeakAction.RESTART:
            return
        if self.asks.why_silent(group.rows[leak.container]):
            return  # what is known of it is not of now
        if not restart_due(now_seconds, leak.death_seconds, policy.window):
            return
        pod = _longest_running(group, leak, now_seconds)
        if pod is None:
            return
        row = group.rows[leak.container]
        pods, when = self._evicted.get(row, (0, 0.0))
        if len(group.pods) < pods and now_seconds - when < REPLACED_SECONDS:
            return  # the one evicted last is not back yet
        refusal = self.actor.evictions.refusal(pod, group, now_seconds, leaking=True)
        if refusal:
            logger.info("leaking pod %s/%s not restarted: %s", pod.namespace, pod.name, refusal)
            return
        self._evicted[row] = (len(group.pods), now_seconds)
        await self.actor.evict(pod, group, "LeakRestarted", leak.sentence(), now_seconds)


def _longest_running(group: Group, leak: Projection, now_seconds: float) -> PodRecord | None:
    """The pod whose container was started first, unless it is so young that the leak is not its own."""
    started = [
        (each.started_seconds, pod.name, pod)
        for pod in group.pods.values()
        for each in pod.containers
        if each.spec.name == leak.container and each.started_seconds is not None and not pod.terminating
    ]
    if not started or leak.limit_bytes is None:
        return None
    at, _, pod = min(started, key=lambda each: each[:2])
    whole = (leak.used_bytes or 0.0) / leak.leak.slope
    return pod if now_seconds - at >= min(YOUNG_PART * whole, HOUR_SECONDS) else None


def _lowest_limit(group: Group, name: str) -> int | None:
    limits = (
        each.spec.limit_bytes
        for pod in group.pods.values()
        for each in pod.containers
        if each.spec.name == name
    )
    return min((each for each in limits if each is not None), default=None)


def _answer(policy: EffectiveContainerPolicy | None) -> str:
    """What is done about it, in words."""
    if policy is None:
        return ""
    if policy.leak_action is LeakAction.RAISE:
        cap = policy.leak_cap_bytes
        return f"; leak.action Raise: its limit follows up to {say(cap) if cap is not None else 'limits.max'}"
    if policy.leak_action is LeakAction.LEAVE:
        return "; leak.action Leave: its limit is raised after an OOM kill only"
    if policy.leak_action is LeakAction.RESTART:
        if not policy.mode.recreates:
            return f"; leak.action Restart: mode {policy.mode.value} allows no eviction"
        when = f"within {policy.window.text}" if policy.window is not None else "two hours before that"
        return f"; leak.action Restart: its pods are evicted {when}"
    return "; leak.action Alert: only this is said"


def _clock(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
