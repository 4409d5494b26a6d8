"""Carries out what was decided for one container: by address where its memory is known so, else by bytes.

In: a container, how many bytes. Out: what was done, measured, one part after the other, so that each is
booked before the next. What its `AddressPlan` knows to be cold is paged out by `process_madvise`, the coldest
first; what is left of the amount goes by `memory.reclaim` in the kernel's own order, as far as idle ages say
that more is cold, after COLD has put what is doubtful before what is in use, where no idle age hangs on that
order; before Linux 5.19 by a short lease on memory.high. Where file pages alone may go and the
kernel can neither be told so nor swap anyway, nothing goes. What is to come back is read in by WILLNEED. How
much is decided in the core.
"""

import os
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from plimsoll.pages.address_plan import Asked, Part, Process
from plimsoll_nodeagent.act.actor import Actor
from plimsoll_nodeagent.act.advise import Advise
from plimsoll_nodeagent.act.container import member
from plimsoll_nodeagent.act.outcome import ActionKind, Outcome
from plimsoll_nodeagent.act.reclaim import PART_BYTES, Reclaim
from plimsoll_nodeagent.act.steps import pieces
from plimsoll_nodeagent.capabilities import Engine, KernelCapabilities, Level
from plimsoll_nodeagent.control.by_address import present_pages
from plimsoll_nodeagent.control.controlled import Controlled
from plimsoll_nodeagent.kernelfs import Advice, Answer, KernelFs, Ranges
from plimsoll_nodeagent.kernelfs.process import PAGE_BYTES

LEASE_SECONDS = 5.0  # should putting memory.high back fail
FILE_PAGES_ONLY = 0  # memory.reclaim's swappiness
MOST_PARTS = 64  # of one amount: each is a call, and the process is asked for twice
LEAST_REST_BYTES = 256 << 10  # less is not worth a call
# memory.stat gathers 64 pages a processor before it tells of them (the kernel's MEMCG_CHARGE_BATCH).
UNTOLD_BYTES = 64 * PAGE_BYTES * (os.cpu_count() or 1)

TAKES_NOTHING = (ActionKind.WILLNEED, ActionKind.COLD)

NOT_FILE_ONLY = "Only file pages of it may go, and a kernel before 6.11 cannot be told to swap nothing out."


@dataclass(frozen=True, slots=True)
class Taker:
    """What can be done to containers here."""

    actor: Actor
    capabilities: KernelCapabilities
    must_stop: Callable[[Controlled], bool]
    """Asked between two parts of an action: is its policy gone, or does it stall?"""
    fs: KernelFs

    def knows(self, each: Controlled, now_seconds: float) -> bool:
        """Whether its memory can be taken by address now."""
        plan = each.addresses
        if plan is None or not plan.speaks(now_seconds):
            return False
        return self.capabilities.at_least(Engine.ADVICE, Level.PAGEOUT)

    def keeps(self, each: Controlled) -> bool:
        """Whether what is asked for can be kept to: where file pages alone may go, that no other goes."""
        told = self.capabilities.at_least(Engine.RECLAIM, Level.SWAPPINESS)
        return told or not each.file_only or each.swap.shut

    def take(self, each: Controlled, amount_bytes: int, now_seconds: float) -> Iterator[Outcome]:
        """Take so much, and no more."""
        plain = self.capabilities.at_least(Engine.RECLAIM, Level.PLAIN)
        if not plain or each.file_only or not self.knows(each, now_seconds):
            yield from self.in_order(each, amount_bytes)
            return
        planned, cold = 0, each.cold_besides_bytes  # before any of it is booked
        for outcome in self._page_out(each, amount_bytes):
            planned += asked_bytes(outcome)
            yield outcome
        rest = min(amount_bytes, cold) - planned
        if rest >= LEAST_REST_BYTES and not self.must_stop(each):
            files = rest <= each.probed_bytes  # page cache whose age nobody knows: no other page pays for it
            if not files and self._orders():
                yield from self._cool(each, rest)
            yield self.actor.act(self.reclaim(each, rest, file_only=files))

    def in_order(self, each: Controlled, amount_bytes: int) -> Iterator[Outcome]:
        """Take so much in the kernel's own order, whatever is known of its memory."""
        if not self.keeps(each):
            return
        if self.capabilities.at_least(Engine.RECLAIM, Level.PLAIN):
            yield self.actor.act(self.reclaim(each, amount_bytes))
        else:
            yield from self._by_leases(each, amount_bytes)

    def bring_back(self, each: Controlled, amount_bytes: int, *, all_out: bool) -> Iterator[Outcome]:
        """Read in what has earned it; `all_out`: what was taken last."""
        plan = each.addresses
        if plan is None or not self.capabilities.at_least(Engine.ADVICE, Level.WILLNEED):
            return
        for part in plan.bring_back(amount_bytes, all_out=all_out):
            if (yield from self._advised(each, part, Advice.WILLNEED, plan.brought_back)):
                return

    def reclaim(self, each: Controlled, amount_bytes: int, *, file_only: bool = False) -> Reclaim:
        """The action in the kernel's own order; `file_only`: of files, where it can be told so."""
        can = self.capabilities.at_least(Engine.RECLAIM, Level.SWAPPINESS)
        swappiness = FILE_PAGES_ONLY if (file_only or each.file_only) and can else None
        return Reclaim(each.container, amount_bytes, swappiness, stop=lambda: self.must_stop(each))

    def _page_out(self, each: Controlled, amount_bytes: int) -> Iterator[Outcome]:
        plan, parts = each.addresses, 0
        if plan is None:
            return

        def took(part: Part) -> None:
            plan.took(part, self._left(each, plan.asked(part)))

        while parts < MOST_PARTS:
            before = plan.cold_bytes
            found = plan.take(min(amount_bytes, max(PART_BYTES, plan.block_bytes)))
            amount_bytes -= before - plan.cold_bytes
            for part in found:
                if (yield from self._advised(each, part, Advice.PAGEOUT, took)):
                    return
            parts += len(found)
            if not found:
                return

    def _advised(
        self, each: Controlled, part: Part, advice: Advice, book: Callable[[Part], None]
    ) -> Generator[Outcome, None, bool]:
        """A part, piece by piece, `book`ed if any of it was done, however it ends. Returns: must all stop?"""
        acted = False
        try:
            for ranges in pieces(part.ranges, PART_BYTES):
                if self.must_stop(each):
                    return True
                outcome = self._advise(each, part.process, ranges, advice)
                acted |= outcome.acted
                yield outcome
            return False
        finally:
            if acted:
                book(part)

    def _orders(self) -> bool:
        """Whether the kernel's order can be told what is doubtful, and no age is read from what that changes.

        COLD makes a page the kernel's oldest and clears its accessed bits: generations would tell it as cold,
        and idle bits as idle.
        """
        read = (Level.LRU_GENERATIONS, Level.IDLE_BITS)
        if any(self.capabilities.has(Engine.ACCESSES, each) for each in read):
            return False
        return self.capabilities.at_least(Engine.ADVICE, Level.PAGEOUT)

    def _cool(self, each: Controlled, amount_bytes: int) -> Iterator[Outcome]:
        """Have the kernel take first what the budget would let go and the guard would not."""
        plan = each.addresses
        for part in () if plan is None else plan.doubtful(amount_bytes):
            pid, started_ticks = part.process
            stop = partial(self.must_stop, each)
            advice = Advise(
                each.container, pid, part.ranges, Advice.COLD, started_ticks, stop, step_bytes=PART_BYTES
            )
            yield self.actor.act(advice)

    def _left(self, each: Controlled, asked: Asked) -> NDArray[np.int64] | None:
        """Pages that are still present in each block; None where it cannot be told."""
        pid, started_ticks = asked.process
        with member(self.fs, each.container, pid) as process:
            if isinstance(process, Answer) or process.started_ticks != started_ticks:
                return None
            return present_pages(process, asked)

    def _advise(self, each: Controlled, process: Process, ranges: Ranges, advice: Advice) -> Outcome:
        pid, started_ticks = process
        return self.actor.act(Advise(each.container, pid, ranges, advice, started_ticks))

    def _by_leases(self, each: Controlled, amount_bytes: int) -> Iterator[Outcome]:
        """Before Linux 5.19: memory.high, lowered part by part and put back, as far as the kernel gives."""
        while amount_bytes > 0 and not self.must_stop(each):
            part = min(PART_BYTES, amount_bytes)
            outcome = self.actor.take_by_lease(each.container, part, LEASE_SECONDS)
            yield outcome
            if 2 * moved_bytes(outcome) < part:
                return
            amount_bytes -= part


def asked_bytes(outcome: Outcome) -> int:
    """What an action was to take; 0 for one that takes nothing."""
    expected = outcome.expected
    if outcome.kind is ActionKind.PAGEOUT:
        return -(expected.resident_bytes or 0)
    return max(0, -(expected.usage_bytes or 0))


def moved_bytes(outcome: Outcome, untold_bytes: int = UNTOLD_BYTES) -> int:
    """What an action really took, as measured.

    Reclaim is measured by the kernel's own counters: what the container allocates in the same moment hides
    what was taken, and what it frees looks like it, though it will not come back and, booked as taken, would
    pay for taking much more (docs/decisions/0186). Counters lag by up to `untold_bytes`: so far usage may say
    more than they do. Where they count what others reclaim too, no more was taken than was asked for.
    """
    measured = outcome.measured
    if measured is None or outcome.kind in TAKES_NOTHING:
        return 0
    if outcome.kind is ActionKind.PAGEOUT:
        return max(0, -(measured.resident_bytes or 0))
    fell = min(asked_bytes(outcome), max(0, -(measured.usage_bytes or 0)))
    own = measured.proactive_bytes if outcome.kind is ActionKind.RECLAIM else None
    counted = measured.reclaimed_bytes if own is None else own
    if counted is None or counted < 0:
        return fell
    taken = max(counted, min(fell, counted + untold_bytes))
    return taken if own is not None else min(asked_bytes(outcome), taken)
