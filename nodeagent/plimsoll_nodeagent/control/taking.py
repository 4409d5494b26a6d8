"""Carries out what was decided for one container: by address where its memory is known so, else by bytes.

In: a container, how many bytes. Out: what was done, measured. What its `AddressPlan` knows to be cold is
paged out by `process_madvise`, the coldest first; what is left of the amount goes by `memory.reclaim` in the
kernel's own order, as far as idle ages say that more is cold; before Linux 5.19 by a short lease on
memory.high. What is to come back is read in by WILLNEED. How much is decided in the core.
"""

from collections.abc import Callable
from dataclasses import dataclass

from plimsoll.pages.address_plan import Part
from plimsoll_nodeagent.act.actor import Actor
from plimsoll_nodeagent.act.advise import Advise
from plimsoll_nodeagent.act.outcome import ActionKind, Outcome
from plimsoll_nodeagent.act.reclaim import Reclaim
from plimsoll_nodeagent.capabilities import Engine, KernelCapabilities, Level
from plimsoll_nodeagent.control.controlled import Controlled
from plimsoll_nodeagent.kernelfs import Advice

LEASE_SECONDS = 5.0
FILE_PAGES_ONLY = 0  # memory.reclaim's swappiness
MOST_PARTS = 8  # one for each process that is watched
LEAST_REST_BYTES = 256 << 10  # less is not worth a call


@dataclass(frozen=True, slots=True)
class Taker:
    """What can be done to containers here."""

    actor: Actor
    capabilities: KernelCapabilities
    must_stop: Callable[[Controlled], bool]
    """Asked between two parts of an action: is its policy gone?"""

    def knows(self, each: Controlled, now_seconds: float) -> bool:
        """Whether its memory can be taken by address now."""
        plan = each.addresses
        if plan is None or not plan.speaks(now_seconds):
            return False
        return self.capabilities.at_least(Engine.ADVICE, Level.PAGEOUT)

    def take(self, each: Controlled, amount_bytes: int, now_seconds: float) -> list[Outcome]:
        """Take so much, and no more."""
        if not self.capabilities.at_least(Engine.RECLAIM, Level.PLAIN):
            return [self._lease(each, amount_bytes)]
        file_only = each.decision is not None and each.decision.file_only
        if file_only or not self.knows(each, now_seconds):
            return [self.actor.act(self.reclaim(each, amount_bytes))]
        done = self._page_out(each, amount_bytes)
        planned = sum(-(each.expected.resident_bytes or 0) for each in done)
        rest = min(amount_bytes, each.aged_cold_bytes or 0) - planned
        if rest >= LEAST_REST_BYTES and not self.must_stop(each):
            done.append(self.actor.act(self.reclaim(each, rest)))
        return done

    def bring_back(self, each: Controlled, amount_bytes: int, *, all_out: bool) -> list[Outcome]:
        """Read in what has earned it; `all_out`: what was taken last."""
        plan = each.addresses
        if plan is None or not self.capabilities.at_least(Engine.ADVICE, Level.WILLNEED):
            return []
        done = []
        for part in plan.bring_back(amount_bytes, all_out=all_out):
            outcome = self._advise(each, part, Advice.WILLNEED)
            if outcome.acted:
                plan.brought_back(part)
            done.append(outcome)
        return done

    def reclaim(self, each: Controlled, amount_bytes: int) -> Reclaim:
        """The action in the kernel's own order."""
        file_only = each.decision is not None and each.decision.file_only
        can = self.capabilities.at_least(Engine.RECLAIM, Level.SWAPPINESS)
        swappiness = FILE_PAGES_ONLY if file_only and can else None
        return Reclaim(each.container, amount_bytes, swappiness, stop=lambda: self.must_stop(each))

    def _page_out(self, each: Controlled, amount_bytes: int) -> list[Outcome]:
        plan, done = each.addresses, []
        for part in () if plan is None else plan.take(amount_bytes)[:MOST_PARTS]:
            if plan is None or self.must_stop(each):
                break
            outcome = self._advise(each, part, Advice.PAGEOUT)
            if moved_bytes(outcome) > 0:
                plan.took(part)
            done.append(outcome)
        return done

    def _advise(self, each: Controlled, part: Part, advice: Advice) -> Outcome:
        pid, started_ticks = part.process
        return self.actor.act(Advise(each.container, pid, part.ranges, advice, started_ticks))

    def _lease(self, each: Controlled, amount_bytes: int) -> Outcome:
        """Before Linux 5.19: memory.high, lowered for some seconds and then put back."""
        return self.actor.lease(each.container, max(0, each.usage_bytes - amount_bytes), LEASE_SECONDS)


def asked_bytes(outcome: Outcome) -> int:
    """What an action was to take; 0 for one that takes nothing."""
    expected = outcome.expected
    if outcome.kind is ActionKind.PAGEOUT:
        return -(expected.resident_bytes or 0)
    return max(0, -(expected.usage_bytes or 0))


def moved_bytes(outcome: Outcome) -> int:
    """What an action really took, as measured."""
    if outcome.measured is None:
        return 0
    if outcome.kind is ActionKind.PAGEOUT:
        return max(0, -(outcome.measured.resident_bytes or 0))
    if outcome.kind is ActionKind.WILLNEED:
        return 0
    return max(0, -(outcome.measured.usage_bytes or 0))
