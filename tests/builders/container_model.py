"""A small model of a container's memory for closed loops: pages that are touched, taken, and brought back.

In: how its memory is touched, by seconds. Out: the readings an agent would make; what was touched is told as
a node's agent can tell it, the distinct memory of a minute once a minute. Memory is in blocks of 64 KiB; each
second some are touched (a `Load`), those that are out come back at a cost in stall, and a controller may take
the blocks that were idle longest, as far as the kernel knows: its order is off by some noise. A model: it
shows how control laws behave beside each other on the same memory, not what a machine would save.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from plimsoll.pages.control_baselines import SenpaiHigh
from plimsoll.pages.control_types import ContainerReading, ReclaimDecision

BLOCK_BYTES = 64 << 10
# Sixteen pages from zram or a fast disk, read in one go.
STALL_SECONDS_PER_BLOCK = 0.001
COLD_AFTER_SECONDS = 120.0
MINUTE_SECONDS = 60.0
Bits = npt.NDArray[np.bool_]
Load = Callable[[float], Bits]
"""Second -> which blocks are touched in it."""


@dataclass
class ContainerModel:
    """One container, stepped second by second."""

    load: Load
    blocks: int
    seed: int = 0
    sees_idle_age: bool = True
    swap_blocks: int = 1 << 30
    file_ratio: float = 0.4
    clock_noise_seconds: float = 20.0
    """How far the kernel's order of idle memory is off."""
    now: float = 0.0
    stall_seconds: float = 0.0
    avg10: float = 0.0
    refaulted_blocks: int = 0
    touched_blocks: int = 0
    """Distinct in each minute, as a node's idle ages tell it; what is hot is touched far more often."""
    taken_blocks: int = 0
    _read_seconds: float = 0.0
    _owed_bytes: float = 0.0

    def __post_init__(self) -> None:
        self._rng = np.random.default_rng(self.seed)
        self.resident = np.ones(self.blocks, bool)
        self.last_touch = np.zeros(self.blocks)
        self.touched = np.zeros(self.blocks, bool)

    def second(self) -> None:
        """Let a second pass."""
        self.now += 1.0
        touched = self.load(self.now)
        back = touched & ~self.resident
        stall = min(1.0, int(back.sum()) * STALL_SECONDS_PER_BLOCK)
        self.resident |= touched
        self.last_touch[touched] = self.now
        self.touched |= touched
        self.stall_seconds += stall
        self.avg10 += (stall - self.avg10) / 10.0
        self.refaulted_blocks += int(back.sum())
        if self.now % MINUTE_SECONDS == 0.0:
            self.touched_blocks += self._minute_blocks()

    def take(self, bytes_: int, *, file_only: bool = False) -> int:
        """Take the blocks that seem idle longest; returns the bytes taken."""
        # What is less than a block is not lost: formulas that take a little often are to be judged fairly.
        whole, self._owed_bytes = divmod(bytes_ + self._owed_bytes, BLOCK_BYTES)
        wanted = min(int(whole), self._room_blocks(file_only=file_only))
        if wanted <= 0:
            return 0
        seem_idle = np.where(self.resident, self.now - self.last_touch, -np.inf)
        seem_idle += self._rng.normal(0.0, self.clock_noise_seconds, self.blocks)
        wanted = min(wanted, int(self.resident.sum()))
        self.resident[np.argpartition(-seem_idle, wanted - 1)[:wanted]] = False
        self.taken_blocks += wanted
        return wanted * BLOCK_BYTES

    def reading(self) -> ContainerReading:
        """What the agent reads now."""
        usage = int(self.resident.sum())
        idle = self.resident & (self.now - self.last_touch >= COLD_AFTER_SECONDS)
        since, self._read_seconds = self.now - self._read_seconds, self.now
        touched = self._minute_blocks() * min(1.0, since / MINUTE_SECONDS)
        return ContainerReading(
            now_seconds=self.now,
            usage_bytes=usage * BLOCK_BYTES,
            stall_seconds_total=self.stall_seconds,
            pressure_avg10_ratio=self.avg10,
            refault_bytes_total=self.refaulted_blocks * BLOCK_BYTES,
            file_bytes=int(self.file_ratio * usage) * BLOCK_BYTES,
            swap_room_bytes=self._room_blocks(file_only=False) * BLOCK_BYTES,
            working_set_bytes=usage * BLOCK_BYTES,
            cold_bytes=int(idle.sum()) * BLOCK_BYTES if self.sees_idle_age else None,
            touched_bytes=int(touched * BLOCK_BYTES) if self.sees_idle_age else None,
        )

    def _minute_blocks(self) -> int:
        """Distinct blocks touched within the last minute, as far as they are still in memory."""
        return int((self.touched & self.resident & (self.now - self.last_touch < MINUTE_SECONDS)).sum())

    def _room_blocks(self, *, file_only: bool) -> int:
        out = self.blocks - int(self.resident.sum())
        of_files = int(self.file_ratio * self.blocks)
        return max(0, of_files - out if file_only else self.swap_blocks + of_files - out)


@dataclass(frozen=True)
class Outcome:
    """What came of one run."""

    saved_ratio: float
    """Mean share of the memory that was out."""
    refault_ratio: float
    """Brought back, of touched (what a minute touches counts once a minute)."""
    stalled_ratio: float
    resident: tuple[float, ...] = field(default=(), repr=False)


class ReclaimController(Protocol):
    """A law of reclaim for one container; ours and its baselines."""

    def step(self, reading: ContainerReading) -> ReclaimDecision:
        """Say what to take at this reading; readings come in order of time."""

    def settle(self, asked_bytes: int, taken_bytes: int) -> None:
        """Hear what came of the last decision."""


def run(model: ContainerModel, controller: ReclaimController | None, seconds: int, every: int = 2) -> Outcome:
    """Let a controller work on a model."""
    out = 0.0
    resident = []
    for second in range(seconds):
        model.second()
        if controller is not None and second % every == 0:
            decision = controller.step(model.reading())
            if decision.reclaim_bytes:
                taken = model.take(decision.reclaim_bytes, file_only=decision.file_only)
                controller.settle(decision.reclaim_bytes, taken)
        here = float(model.resident.mean())
        out += 1.0 - here
        resident.append(here)
    return _outcome(model, out / seconds, seconds, resident)


def run_senpai(model: ContainerModel, seconds: int) -> Outcome:
    """senpai.py on the same model: what is above memory.high is taken at once, as the kernel does."""
    senpai = SenpaiHigh()
    out = 0.0
    resident = []
    for _ in range(seconds):
        model.second()
        high = senpai.step(model.reading())
        usage = int(model.resident.sum()) * BLOCK_BYTES
        if high is not None and usage > high:
            model.take(int(usage - high))
        here = float(model.resident.mean())
        out += 1.0 - here
        resident.append(here)
    return _outcome(model, out / seconds, seconds, resident)


def _outcome(model: ContainerModel, saved: float, seconds: int, resident: list[float]) -> Outcome:
    touched = max(1, model.touched_blocks)
    stalled = model.stall_seconds / seconds
    return Outcome(saved, model.refaulted_blocks / touched, stalled, tuple(resident))


def poisson(blocks: int, mean_idle_seconds: npt.NDArray[np.float64], seed: int) -> Load:
    """Each block is touched by chance, on average once in so many seconds."""
    rng = np.random.default_rng(seed)
    chance = 1.0 - np.exp(-1.0 / mean_idle_seconds)
    return lambda _: rng.random(blocks) < chance


def cold_heavy(blocks: int = 2048, seed: int = 1) -> Load:
    """A fifth is hot, a tenth is touched every two minutes, the rest hardly ever (every six hours)."""
    idle = np.full(blocks, 21_600.0)
    idle[: blocks * 3 // 10] = 120.0
    idle[: blocks // 5] = 2.0
    return poisson(blocks, idle, seed)


def lukewarm(blocks: int = 2048, seed: int = 2) -> Load:
    """Nothing is cold for long: every block about each five minutes."""
    return poisson(blocks, np.full(blocks, 300.0), seed)


def thrashing(blocks: int = 2048, seed: int = 3, round_seconds: float = 150.0) -> Load:
    """All of the memory, in order, again and again: what has been idle longest comes next."""
    per_second = blocks / round_seconds
    hot = poisson(blocks, np.where(np.arange(blocks) < blocks // 10, 2.0, 1e9), seed)

    def load(second: float) -> Bits:
        touched = hot(second)
        first, last = int((second - 1.0) * per_second), int(second * per_second)
        touched[np.arange(first, last) % blocks] = True
        return touched

    return load


def moving(blocks: int = 2048, seed: int = 4, phase_seconds: float = 900.0) -> Load:
    """A hot quarter that is another one every fifteen minutes, over four quarters."""
    rng = np.random.default_rng(seed)
    quarter = np.arange(blocks) * 4 // blocks

    def load(second: float) -> Bits:
        hot = quarter == int(second // phase_seconds) % 4
        return rng.random(blocks) < np.where(hot, 0.3, 1.0 / 20_000.0)

    return load


LOADS: dict[str, Callable[[], Load]] = {
    "cold-heavy": cold_heavy,
    "lukewarm": lukewarm,
    "moving": moving,
    "thrashing": thrashing,
}


def phases(model: ContainerModel, seconds: int) -> Iterator[int]:
    """Let so many seconds pass, one at a time."""
    for each in range(seconds):
        model.second()
        yield each
