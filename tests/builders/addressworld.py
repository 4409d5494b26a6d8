"""A program's memory by address, as looks of a monitor show it: blocks that are hot, swept, or idle.

In: how many blocks, which are touched in an epoch. Out: `ProgramWorld`, which is looked at, paged out and
brought back through an `AddressPlan`, and counts what came back unasked.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from plimsoll.pages.address_plan import AddressPlan, Asked, Part, SeenProcess
from plimsoll.pages.blocks import Spans, runs_of

BLOCK = 64 << 10
PAGES = 16  # of a block
BASE = 0x5500_0000_0000
EPOCH_SECONDS = 10.0


@dataclass
class ProgramWorld:
    """One process; `touches(epoch)` gives the numbers of the blocks that it touches."""

    blocks: int
    touches: Callable[[int], np.ndarray]
    plan: AddressPlan = field(default_factory=lambda: AddressPlan(0.01))
    process: tuple[int, int] = (41, 7)
    epoch: int = 0
    refaults: int = 0
    accesses: int = 0

    def __post_init__(self) -> None:
        self.present = np.zeros(self.blocks, bool)
        self.present[:] = True

    @property
    def now(self) -> float:
        return 1000.0 + EPOCH_SECONDS * self.epoch

    def grow(self, blocks: int) -> None:
        """Map (or give back) memory at the end; what is new is in memory."""
        kept = min(blocks, self.blocks)
        self.present = np.concatenate([self.present[:kept], np.ones(blocks - kept, bool)])
        self.blocks = blocks

    def look(self, policy: str = "guarded") -> None:
        """One epoch of the program, and a look at it."""
        self.epoch += 1
        touched = np.unique(self.touches(self.epoch))
        self.refaults += int((~self.present[touched]).sum())
        self.accesses += len(touched)
        self.present[touched] = True
        whole = spans(np.arange(self.blocks))
        asked = self.plan.see([SeenProcess(self.process, whole, whole, spans(touched))], self.now)
        self.plan.conclude([self.counts(each) for each in asked], policy)

    def counts(self, asked: Asked) -> np.ndarray:
        """Pages present in each block that is asked for."""
        assert asked.process == self.process
        each = asked.block_bytes // BLOCK
        there = np.append(self.present, np.zeros(each, bool))  # the last block may reach beyond the end
        found = [there[at : at + count].reshape(-1, each).sum(axis=1) for at, count in numbers(asked.ranges)]
        return np.concatenate(found).astype(np.int64) * PAGES

    def page_out(self, limit_bytes: int = 1 << 40) -> int:
        """Do what the plan says; returns the blocks that went."""
        before = int(self.present.sum())
        for part in self.plan.take(limit_bytes):
            self.set(part, present=False)
            self.plan.took(part, self.counts(self.plan.asked(part)))
        return before - int(self.present.sum())

    def set(self, part: Part, *, present: bool) -> None:
        """Page a part out, or in."""
        for at, count in numbers(part.ranges):
            self.present[at : at + count] = present


def spans(blocks: np.ndarray) -> Spans:
    """Blocks as ranges of addresses."""
    runs = runs_of(np.asarray(blocks, np.int64))
    starts = (BASE + runs[:, 0] * BLOCK).astype(np.uint64)
    return Spans(starts, starts + (runs[:, 1] * BLOCK).astype(np.uint64))


def numbers(ranges: np.ndarray) -> list[tuple[int, int]]:
    """Ranges of addresses as first blocks and counts."""
    return [((int(start) - BASE) // BLOCK, int(length) // BLOCK) for start, length in ranges]
