"""What `limits.basis: needed` saves at the same refault budget, on a small MODEL of a container's memory.

In: the model of tests/builders/container_model.py under loads whose memory is nearly all file cache, 36 hours
each, with the agent's law of reclaim, the operator's search for what is needed, its pipeline and the protocol
that reclaims before a limit falls: all of them the code that runs. Out: the limit of the last eight hours,
what was brought back of what was touched in them, and stalls; a table and bench/results/basis.json. No kernel
and no service run here, and no p99 is measured: that is for the end-to-end tests.
"""

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from builders.container_model import BLOCK_BYTES, ContainerModel, Load, cold_heavy, poisson, thrashing
from plimsoll.api.reclaim import ReclaimMode
from plimsoll.coordinate.messages import ShrinkRequest, ShrinkStage
from plimsoll.coordinate.sought import Searches, unsure_bytes, waits_for_need
from plimsoll.coordinate.towards import TowardsReading, TowardsTarget
from plimsoll.guard.bounds import present_use_floor_bytes
from plimsoll.need_pipeline import NeedPipeline
from plimsoll.pages.control_law import ReclaimLaw
from plimsoll.pages.control_types import Reason as Why
from plimsoll.pages.control_types import ReclaimPolicy
from plimsoll.pages.working_set import need
from plimsoll.usage.history import History
from plimsoll.usage.needed import Basis, Word, needed_of
from plimsoll.usage.sample import Float64Array, Quantity
from report import Row, bench_options, write_results

BLOCKS = 2048
FILE_RATIO = 0.9  # of the memory; the rest is anonymous, and there is no swap
SUFFERS = (Why.THRASHING, Why.PRESSURE)
LOOK_SECONDS, TELL_SECONDS, HOUR = 10, 60, 3600
JUDGED_HOURS = 8
START = 1_790_000_000 // HOUR * HOUR
ROW = np.array([0], dtype=np.int32)


def catalogue(blocks: int = BLOCKS, seed: int = 5) -> Load:
    """A tenth is the service's own and always hot; files are asked for by Zipf's law, four a second."""
    rate = np.full(blocks, 2.0)
    files = blocks - blocks // 10
    popularity = 1.0 / np.arange(1, files + 1) ** 1.2
    rate[blocks // 10 :] = 4.0 * popularity / popularity.sum()
    return poisson(blocks, 1.0 / rate, seed)


LOADS: dict[str, Callable[[], Load]] = {
    "catalogue": catalogue,
    "cold-heavy": cold_heavy,
    "thrashing": thrashing,
}
ARMS = {"usage, no reclaim": (False, False), "usage": (False, True), "needed": (True, True)}


@dataclass
class Life:
    """One container with its agent and its operator, second by second."""

    model: ContainerModel
    needed: bool  # limits.basis: needed
    reclaims: bool
    limit_bytes: float = 0.0
    law: ReclaimLaw = field(default_factory=lambda: ReclaimLaw(ReclaimPolicy(ReclaimMode.COLD)))
    word: Word | None = None
    unsure_bytes: float = 0.0  # of what the agent says is needed
    searches: Searches = field(default_factory=Searches)

    def __post_init__(self) -> None:
        self.searches.begin(ROW, self.now)
        self.limit_bytes = 1.25 * self.usage
        self.history = History(Quantity.USAGE, 1)
        self.history.add_rows(1)
        self.pipeline = NeedPipeline(self.history)
        self.pipeline.observe_limits(ROW, np.array([self.limit_bytes]))

    @property
    def usage(self) -> int:
        """Bytes that are in memory."""
        return int(self.model.resident.sum()) * BLOCK_BYTES

    @property
    def now(self) -> float:
        """Unix seconds."""
        return START + self.model.now

    def second(self) -> None:
        """Let a second pass; the kernel keeps to the limit by taking file cache."""
        self.model.second()
        if (over := self.usage - self.limit_bytes) > 0:
            self.model.take(int(over), file_only=True)

    def look(self) -> None:
        """The agent's tick: take what the law allows, and tell what is needed."""
        reading = self.model.reading()
        decision = self.law.step(reading)
        if self.reclaims and decision.reclaim_bytes:
            taken = self.model.take(decision.reclaim_bytes, file_only=True)
            self.law.settle(decision.reclaim_bytes, taken)
        used, files = reading.usage_bytes, reading.file_bytes or 0
        suffers = decision.reason in SUFFERS
        told = need(used, reading.cold_bytes or 0, files, 0, self.law.yield_ratio, thrashes=suffers)
        self.unsure_bytes = unsure_bytes(used, told.needed_bytes, files, suffers=suffers)
        columns = (np.array([float(each)]) for each in (self.now, used, used, told.needed_bytes))
        self.word = Word(*columns)

    def tell(self) -> None:
        """The operator's tick: the history is told, and a climb is answered."""
        sample, at, seeks = np.array([float(self.usage)]), np.array([self.now]), self.seeks
        if self.needed and self.word is not None:
            self.pipeline.needed.observe(ROW, np.array([Basis.NEEDED], dtype=np.int8), self.now)
            self.pipeline.observe_usage(ROW, at, sample, self.now)
            sample = self.told(sample, at, self.word)
        self.history.append(ROW, at, sample, self.now)
        if seeks and not self.seeks:
            self.decide()
        for raised in self.pipeline.react(ROW, self.now).limit_bytes.tolist():
            self.set_limit(max(raised, self.limit_bytes))

    @property
    def seeks(self) -> bool:
        """Whether what is needed is still being found out."""
        return self.needed and bool(self.searches.going_on(ROW)[0])

    def told(self, sample: Float64Array, at: Float64Array, word: Word) -> Float64Array:
        """What a history is told, as the operator's engine does (`engine.needs`)."""
        most = needed_of(sample, at, word, self.now)
        if (
            self.seeks
            and self.searches.see(ROW, word.usage_bytes + most - word.needed_bytes, sample, self.now)[0]
        ):
            return np.maximum(most - self.unsure_bytes, 0.0)
        return most

    def waits(self, limit_bytes: float) -> bool:
        """Whether a limit that is to fall waits for the end of the search."""
        return self.seeks and (
            self.word is None or waits_for_need(int(limit_bytes), float(self.word.needed_bytes[0]))
        )

    def decide(self) -> None:
        """The hourly decision, or one when a search has ended; a limit falls below what is in use only after
        that has been reclaimed.
        """
        made = self.pipeline.decide(ROW, self.now)
        wanted = float(self.pipeline.settle(made, self.now).limit_bytes[0])
        if not np.isfinite(wanted) or wanted >= self.limit_bytes:
            self.set_limit(wanted if np.isfinite(wanted) else self.limit_bytes)
        elif self.waits(wanted):
            return
        elif not self.needed:
            self.set_limit(min(self.limit_bytes, max(wanted, present_use_floor_bytes(self.usage))))
        elif self.reclaim_towards(int(wanted)):
            self.set_limit(wanted)

    def reclaim_towards(self, target_bytes: int) -> bool:
        """The agent's side of a usage-aware shrink; True where there is room at its end."""
        request = ShrinkRequest(1, "", "", int(self.limit_bytes), target_bytes, 120.0)
        towards = TowardsTarget(request, self.law.policy.max_pressure_ratio, self.now)
        while True:
            stalled = self.model.stall_seconds
            self.second()
            step = towards.step(TowardsReading(self.now, self.usage, self.model.stall_seconds - stalled))
            if step.stage is not ShrinkStage.RECLAIMING:
                return step.stage is ShrinkStage.REACHED
            towards.settle(step.reclaim_bytes, self.model.take(step.reclaim_bytes, file_only=True))

    def set_limit(self, limit_bytes: float) -> None:
        """Put a limit in force."""
        self.limit_bytes = limit_bytes
        self.pipeline.observe_limits(ROW, np.array([limit_bytes]))


@dataclass(frozen=True)
class Found:
    """What came of the judged hours."""

    limit_ratio: float  # mean, of all the memory there is
    refault_ratio: float
    stalled_ratio: float


def live(load: str, *, needed: bool, reclaims: bool, hours: int) -> Found:
    """So many hours; the last eight are judged."""
    model = ContainerModel(LOADS[load](), BLOCKS, swap_blocks=0, file_ratio=FILE_RATIO)
    life, limits, before = Life(model, needed=needed, reclaims=reclaims), [], (0, 0, 0.0)
    judged, due = (hours - JUDGED_HOURS) * HOUR, dict.fromkeys((LOOK_SECONDS, TELL_SECONDS, HOUR), 0.0)
    steps = ((LOOK_SECONDS, life.look), (TELL_SECONDS, life.tell), (HOUR, life.decide))
    while model.now < hours * HOUR:
        life.second()
        for every, step in steps:
            if model.now >= due[every]:
                due[every] = model.now + every
                step()
        if model.now < judged:
            before = (model.refaulted_blocks, model.touched_blocks, model.stall_seconds)
        else:
            limits.append(life.limit_bytes)
    back, touched = model.refaulted_blocks - before[0], model.touched_blocks - before[1]
    mean = float(np.mean(limits))
    stalled = (model.stall_seconds - before[2]) / (JUDGED_HOURS * HOUR)
    return Found(mean / (BLOCKS * BLOCK_BYTES), back / max(1, touched), stalled)


def rows_of(load: str, found: dict[str, Found], command: str) -> list[Row]:
    """Three rows a load, the arms against each other."""
    told = (("limit", "limit_ratio"), ("refaults", "refault_ratio"), ("stalled", "stalled_ratio"))
    rows = []
    for name, column in told:
        values = {arm: 100.0 * getattr(each, column) for arm, each in found.items()}
        mine = values.pop("needed")
        rows.append(Row(f"basis.{load}.{name}", mine, "%", 1, command, against=dict(values)))
    return rows


def main() -> None:
    """Run, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hours", type=int, default=36, help="simulated (default: %(default)s)")
    options = bench_options(parser)
    command = f".venv/bin/python bench/basis.py --hours {options.hours}"
    began, rows = time.perf_counter(), []
    budget = ReclaimPolicy(ReclaimMode.COLD)
    print(
        f"A MODEL of memory, {options.hours} h each, the last {JUDGED_HOURS} judged; limit in % of memory;"
        f" refault budget {budget.refault_budget_ratio:.0%}, max pressure {budget.max_pressure_ratio:.0%}"
    )
    print(f"{'load':12} {'basis':18} {'limit':>8} {'refaults':>9} {'stalled':>9}")
    for load in LOADS:
        found = {}
        for arm, (needed, reclaims) in ARMS.items():
            found[arm] = each = live(load, needed=needed, reclaims=reclaims, hours=options.hours)
            told = f"{each.limit_ratio:8.1%} {each.refault_ratio:9.3%} {each.stalled_ratio:9.4%}"
            print(f"{load:12} {arm:18} {told}", flush=True)
        rows += rows_of(load, found, command)
    print(write_results("basis", rows, seed=5, seconds=time.perf_counter() - began))


if __name__ == "__main__":
    main()
