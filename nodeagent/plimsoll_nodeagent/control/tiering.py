"""Moves what is cold to slower NUMA nodes where the fast ones are short, and what is used there back up.

In: containers whose memory is known by address (mode Predictive), the machine's NUMA nodes. Out: single pages
moved (`move_pages`), each move measured by where its pages are before and after. How much and in which
direction is the core's (`plimsoll.pages.tiering`): up first, the most important containers first; then down,
the least important first. A container whose cpuset names NUMA nodes is left alone, and one of which too much
came up again. Between two steps of a few mebibytes the brake is asked. Nothing is set that would have to be
undone: what was demoted is memory as before. Where zswap is the only tier there is nothing to do: what is
paged out goes there by itself.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from plimsoll.api.effective import Importance
from plimsoll.api.reclaim import ReclaimMode
from plimsoll.pages.address_plan import AddressPlan, Part
from plimsoll.pages.tiering import STEP_SECONDS, DemotionTrials, Tiers
from plimsoll_nodeagent.act.actor import Actor
from plimsoll_nodeagent.act.container import member, opened
from plimsoll_nodeagent.act.numa import MovePages, bytes_on
from plimsoll_nodeagent.act.steps import Stop
from plimsoll_nodeagent.capabilities import Engine, KernelCapabilities, Level
from plimsoll_nodeagent.control.brake import Brake, predicts
from plimsoll_nodeagent.control.controlled import Controlled
from plimsoll_nodeagent.control.numa_places import is_bound
from plimsoll_nodeagent.discover.tracker import ContainerId
from plimsoll_nodeagent.kernelfs import Answer, KernelFs, Mode
from plimsoll_nodeagent.kernelfs.process import PAGE_BYTES
from plimsoll_nodeagent.sample.numa import read_tiers

logger = logging.getLogger(__name__)

USED_LOOKS = 2  # in a row in which memory on a slow node was accessed, before it comes up
MOST_PAGES = 32_768  # of one container that are asked where they are in one step: the next ones in the next
ALL = 1 << 62
_ORDER = (Importance.LOW, Importance.NORMAL, Importance.HIGH, Importance.CRITICAL)  # who is demoted first


@dataclass
class Tierer:
    """One for the agent; call `step` once a tick."""

    fs: KernelFs
    actor: Actor
    capabilities: KernelCapabilities
    brake: Brake
    trials: DemotionTrials = field(default_factory=DemotionTrials)
    demoted_bytes_total: int = 0
    promoted_bytes_total: int = 0
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    _due_seconds: float = float("-inf")
    _passed: dict[tuple[ContainerId, int], int] = field(default_factory=dict)
    """Pages that were asked for in steps before, by container and where they were to go."""

    def step(self, controlled: Mapping[ContainerId, Controlled], now_seconds: float) -> None:
        """Bring up what is used on slow nodes; then let go down what the fast ones lack room for."""
        self.trials.forget(frozenset(map(str, controlled)))
        self._passed = {key: passed for key, passed in self._passed.items() if key[0] in controlled}
        if not self._may() or self._due_seconds - STEP_SECONDS <= now_seconds < self._due_seconds:
            return
        self._due_seconds = now_seconds + STEP_SECONDS
        known = [each for each in controlled.values() if _is_known(each, now_seconds)]
        tiers = read_tiers(self.fs) if known else Tiers((), ())
        if not tiers.slow:
            return
        known = [each for each in known if self._is_free(each, tiers)]
        known.sort(key=lambda each: _ORDER.index(each.law.policy.importance))
        over = self.brake.turn()
        self._promote(known[::-1], tiers, now_seconds, over)
        self._demote(known, tiers, now_seconds, over)

    def _may(self) -> bool:
        """Slower memory there is, and the right to move another's pages."""
        able = self.capabilities.at_least(Engine.TIERING, Level.CPULESS)
        return able and not self.capabilities.observe_only and self.fs.mode is not Mode.READ

    def _is_free(self, each: Controlled, tiers: Tiers) -> bool:
        """Whether nobody chose its NUMA nodes."""
        numbers = tuple(node.numa_node for node in (*tiers.fast, *tiers.slow))
        with opened(self.fs, each.container) as cgroup:
            return not isinstance(cgroup, Answer) and not is_bound(cgroup, numbers)

    def _promote(
        self, containers: Iterable[Controlled], tiers: Tiers, now_seconds: float, over: Stop
    ) -> None:
        left, to = tiers.promotable_bytes(), tiers.target(slow=False)
        slow = frozenset(node.numa_node for node in tiers.slow)
        for each in containers:
            if to is None or left < PAGE_BYTES:
                return
            if not self._has_some_on(each, slow):
                continue
            parts = _plan(each).hot(USED_LOOKS, _plan(each).block_bytes)
            moved = self._move(each, parts, slow, to, left, over)
            left -= moved
            self.promoted_bytes_total += moved
            why = self.trials.promoted(str(each.container.key), moved, now_seconds) if moved else ""
            if why:
                extra = {"container": each.container.container_id, "why": why}
                logger.info("nothing of it goes to slower memory for a while", extra=extra)

    def _demote(self, containers: Iterable[Controlled], tiers: Tiers, now_seconds: float, over: Stop) -> None:
        left, to = tiers.demotable_bytes(), tiers.target(slow=True)
        fast = frozenset(node.numa_node for node in tiers.fast)
        for each in containers:
            name = str(each.container.key)
            if to is None or left < PAGE_BYTES:
                return
            if not self.trials.may(name, now_seconds):
                continue
            moved = self._move(each, _plan(each).coldest(ALL), fast, to, left, over)
            left -= moved
            self.demoted_bytes_total += moved
            self.trials.demoted(name, moved, now_seconds)

    def _has_some_on(self, each: Controlled, numa_nodes: frozenset[int]) -> bool:
        with opened(self.fs, each.container) as cgroup:
            return not isinstance(cgroup, Answer) and bool(bytes_on(cgroup, numa_nodes))

    def _move(
        self,
        each: Controlled,
        parts: Iterable[Part],
        from_numa_nodes: frozenset[int],
        to_numa_node: int,
        most_bytes: int,
        over: Stop,
    ) -> int:
        """Move what of these parts is on some NUMA nodes to another; returns the bytes that really came."""

        def stop() -> bool:
            return over() or self.brake.must_stop(each, predicts)

        left, parts = most_bytes // PAGE_BYTES, tuple(parts)
        where = each.container.key, to_numa_node
        passed = self._passed.get(where, 0)
        for part, addresses in _from(parts, passed, MOST_PAGES):
            if stop():
                return (most_bytes // PAGE_BYTES - left) * PAGE_BYTES  # the next turn begins with the same
            chosen = self._those_on(each, part, addresses, from_numa_nodes)[:left]
            if not len(chosen):
                continue
            pid, started_ticks = part.process
            action = MovePages(each.container, pid, chosen, to_numa_node, started_ticks, stop)
            outcome = self.actor.act(action)
            self.outcomes[outcome.kind.value, outcome.answer.value] += 1
            moved = 0 if outcome.measured is None else outcome.measured.moved_bytes or 0
            left -= moved // PAGE_BYTES
        total = sum(part.bytes_ for part in parts) // PAGE_BYTES
        self._passed[where] = (passed + MOST_PAGES) % total if total > MOST_PAGES else 0
        return (most_bytes // PAGE_BYTES - left) * PAGE_BYTES

    def _those_on(
        self, each: Controlled, part: Part, addresses: NDArray[np.uint64], numa_nodes: frozenset[int]
    ) -> NDArray[np.uint64]:
        none = addresses[:0]
        if not len(addresses):
            return none
        with member(self.fs, each.container, part.process[0]) as process:
            if isinstance(process, Answer) or process.started_ticks != part.process[1]:
                return none
            there = process.numa_nodes_of(addresses)
        return none if isinstance(there, Answer) else addresses[np.isin(there, list(numa_nodes))]


def _is_known(each: Controlled, now_seconds: float) -> bool:
    predictive = each.law.policy.mode is ReclaimMode.PREDICTIVE
    return predictive and each.addresses is not None and each.addresses.speaks(now_seconds)


def _plan(each: Controlled) -> AddressPlan:
    assert each.addresses is not None
    return each.addresses


def _from(parts: Iterable[Part], passed: int, most: int) -> Iterator[tuple[Part, NDArray[np.uint64]]]:
    """Parts with their pages' addresses, at most so many pages, after so many others."""
    for part in parts:
        pages = part.bytes_ // PAGE_BYTES
        if passed >= pages:
            passed -= pages
            continue
        if most <= 0:
            return
        found = _addresses(part, passed, most)
        passed, most = 0, most - len(found)
        yield part, found


def _addresses(part: Part, passed: int, most: int) -> NDArray[np.uint64]:
    """Pages number `passed` and following of a part, at most so many."""
    pages = (part.ranges[:, 1] // np.uint64(PAGE_BYTES)).astype(np.int64)
    number = np.arange(passed, min(passed + most, int(pages.sum())))
    ends = np.cumsum(pages)
    row = np.searchsorted(ends, number, side="right")
    within = (number - (ends - pages)[row]).astype(np.uint64)
    found: NDArray[np.uint64] = part.ranges[row, 0] + within * np.uint64(PAGE_BYTES)
    return found
