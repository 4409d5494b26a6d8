"""Gathers what is hot into huge pages, where a policy asks for it and the node has blocks to spare.

In: containers under policies with `reclaim.hugePages`, their memory by address, forecasts, the machine's free
blocks. Out: COLLAPSE on single processes, each step measured by the huge pages that the process has more
(AnonHugePages), and judged a minute later: still there, no more stalls. What did not pay is not asked for
again for a while (`plimsoll.pages.collapse` holds all amounts and bounds). A step is asked for in smaller
ones, between which the brake may end it; then it is judged by what it had asked for. A right that
MADV_COLLAPSE needs beyond those of PAGEOUT there is none: CAP_SYS_NICE and reading by ptrace's right.
"""

import logging
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from plimsoll.pages.address_plan import Process
from plimsoll.pages.collapse import (
    HOT_LOOKS,
    HUGE_PAGE_BYTES,
    STEP_SECONDS,
    CollapseContainer,
    CollapseNode,
    CollapseTrials,
    container_room_bytes,
    node_room_bytes,
)
from plimsoll_nodeagent.act.actor import Actor
from plimsoll_nodeagent.act.advise import Advise
from plimsoll_nodeagent.act.container import member
from plimsoll_nodeagent.act.outcome import Outcome
from plimsoll_nodeagent.act.steps import STEP_BYTES
from plimsoll_nodeagent.capabilities import Engine, KernelCapabilities, Level
from plimsoll_nodeagent.control.brake import Brake, gathers
from plimsoll_nodeagent.control.controlled import Controlled
from plimsoll_nodeagent.discover.tracker import ContainerId
from plimsoll_nodeagent.kernelfs import Absence, Advice, Answer, KernelFs, Mode, Ranges
from plimsoll_nodeagent.loop import Snapshot
from plimsoll_nodeagent.sample.buddy import HUGE_PAGE_ORDER, free_blocks_from_order
from plimsoll_nodeagent.sample.dense import MOST_UNITS, dense_units
from plimsoll_nodeagent.sample.pressure_readings import fragmentation_ratio, read_node
from plimsoll_nodeagent.sample.processes import read_rollup
from plimsoll_nodeagent.sample.triggers import KUBE_NODE

logger = logging.getLogger(__name__)

Forecasts = Mapping[ContainerId, float]


@dataclass
class Collapser:
    """One for the agent; call `step` once a tick."""

    fs: KernelFs
    actor: Actor
    capabilities: KernelCapabilities
    brake: Brake
    trials: CollapseTrials = field(default_factory=CollapseTrials)
    gained_bytes_total: int = 0
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    _asked: dict[ContainerId, Process] = field(default_factory=dict)
    """Whose memory the newest step was of."""
    _passed: dict[ContainerId, int] = field(default_factory=dict)
    """Units that were looked at in vain, or asked for: the next step begins after them."""
    _due_seconds: float = float("-inf")

    def step(
        self,
        snapshot: Snapshot,
        controlled: Mapping[ContainerId, Controlled],
        forecasts: Forecasts,
    ) -> None:
        """Judge what was done, and do the next steps."""
        now = snapshot.taken_seconds
        wanted = {key: each for key, each in controlled.items() if each.law.policy.huge_pages}
        self.trials.forget(frozenset(map(str, wanted)))
        self._asked = {key: each for key, each in self._asked.items() if key in wanted}
        self._passed = {key: each for key, each in self._passed.items() if key in wanted}
        for key, each in wanted.items():
            if self.trials.on_trial(str(key), now):
                self._judge(key, each, now)
        if not wanted or not self._may() or self._due_seconds - STEP_SECONDS <= now < self._due_seconds:
            return
        self._due_seconds = now + STEP_SECONDS
        left, over = self._node_room(snapshot, forecasts), self.brake.turn()
        for key, each in wanted.items():
            if left < HUGE_PAGE_BYTES or over():
                return
            if not self.brake.must_stop(each, gathers):
                left -= self._one(key, each, left, forecasts, now)

    def _may(self) -> bool:
        observes = self.capabilities.observe_only or self.fs.mode is Mode.READ
        return not observes and self.capabilities.at_least(Engine.ADVICE, Level.COLLAPSE)

    def _node_room(self, snapshot: Snapshot, forecasts: Forecasts) -> int:
        memory, zones = snapshot.kube_node.memory, read_node(self.fs).zones
        if memory is None:
            return 0
        blocks = sum(free_blocks_from_order(each, HUGE_PAGE_ORDER) for each in zones)
        likely = forecasts.get(KUBE_NODE, math.nan)
        splintered = fragmentation_ratio(zones)
        return node_room_bytes(
            CollapseNode(memory.total_bytes, memory.free_bytes, blocks, splintered, likely)
        )

    def _one(
        self, key: ContainerId, each: Controlled, most_bytes: int, forecasts: Forecasts, now_seconds: float
    ) -> int:
        """One container's step; returns what was asked for."""
        plan, name = each.addresses, str(key)
        if plan is None or not plan.speaks(now_seconds) or not self.trials.may(name, now_seconds):
            return 0
        before = _container(each, forecasts.get(key, math.nan))
        room = min(most_bytes, container_room_bytes(before))
        for part in plan.hot(HOT_LOOKS, HUGE_PAGE_BYTES) if room else ():
            action = self._action(each, part.process, part.ranges, room // HUGE_PAGE_BYTES)
            if action is not None:
                self._settle(key, each, before, action, now_seconds)
                return int(action.ranges[:, 1].sum())
        self._passed[key] = self._passed.get(key, 0) + MOST_UNITS
        return 0

    def _action(self, each: Controlled, of: Process, ranges: Ranges, most: int) -> Advise | None:
        """What of these ranges can be gathered, if anything."""
        with member(self.fs, each.container, of[0]) as process:
            if isinstance(process, Answer) or process.started_ticks != of[1]:
                return None
            passed = self._passed.get(each.container.key, 0)
            units = dense_units(process, ranges, most, passed)
        if isinstance(units, Absence) or not len(units):
            return None
        return Advise(
            each.container,
            of[0],
            units,
            Advice.COLLAPSE,
            of[1],
            stop=lambda: self.brake.must_stop(each, gathers),
            step_bytes=STEP_BYTES,
        )

    def _settle(
        self,
        key: ContainerId,
        each: Controlled,
        before: CollapseContainer,
        action: Advise,
        now_seconds: float,
    ) -> None:
        """Do it, and measure."""
        outcome = self.actor.act(action)
        # Before Linux 6.7 nobody says what is huge already: what was asked for comes last.
        asked = (outcome.expected.huge_bytes or 0) if outcome.answer is not Answer.REFUSED else 0
        self._passed[key] = self._passed.get(key, 0) + asked // HUGE_PAGE_BYTES
        self.outcomes[outcome.kind.value, outcome.answer.value] += 1
        if outcome.answer is Answer.PLANNED or not asked:
            return
        gained, growth = _gained(outcome), 0
        if outcome.measured is not None:
            growth = outcome.measured.usage_bytes or 0
        self.gained_bytes_total += gained
        of = action.pid, action.started_ticks or 0
        huge = self._huge_bytes(each, of)
        self._asked[key] = of
        name = str(key)
        why = self.trials.stepped(name, asked, gained, huge or 0, before, now_seconds)
        why = why or self.trials.grew(name, gained, growth, now_seconds)
        _say(each, why)

    def _judge(self, key: ContainerId, each: Controlled, now_seconds: float) -> None:
        huge = self._huge_bytes(each, self._asked[key])
        stalled = each.law.pressure_ratio
        _say(each, self.trials.judge(str(key), huge, stalled, now_seconds))

    def _huge_bytes(self, each: Controlled, of: Process) -> int | None:
        """Of one process; None where it has ended or cannot be read."""
        with member(self.fs, each.container, of[0]) as process:
            if isinstance(process, Answer) or process.started_ticks != of[1]:
                return None
            rollup = read_rollup(process)
        return None if isinstance(rollup, Absence) else rollup.huge_bytes


def _container(each: Controlled, probability: float) -> CollapseContainer:
    return CollapseContainer(
        usage_bytes=each.usage_bytes,
        limit_bytes=min(each.memory_max_bytes, each.memory_high_bytes),
        stalled_ratio=each.law.pressure_ratio,
        most_stalled_ratio=each.law.policy.max_pressure_ratio,
        pressure_probability=probability,
    )


def _gained(outcome: Outcome) -> int:
    """Huge bytes more than before, as measured; what cannot be measured is none."""
    return 0 if outcome.measured is None else max(0, outcome.measured.huge_bytes or 0)


def _say(each: Controlled, why: str) -> None:
    if why:
        logger.info(
            "no more huge pages for a while",
            extra={"container": each.container.container_id, "why": why},
        )
