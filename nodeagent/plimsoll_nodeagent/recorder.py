"""Record how a cgroup uses its memory: by address with DAMON, or by idle age with the kernel's generations.

In: the door, one cgroup, how long and how often. Out: a `Recording`. DAMON tells addresses but must be free
and ours to set up (`--mode act`); the generations are always there where MGLRU is, and tell ages only. What
was set up is taken down at the end, also after an exception.
"""

import argparse
import math
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from plimsoll.pages.recording import Axis, Recording
from plimsoll.pages.regions import Look, gridded
from plimsoll.pages.survival import AGE_EDGES
from plimsoll_nodeagent.act.actor import Actor, boot_id
from plimsoll_nodeagent.act.container import opened
from plimsoll_nodeagent.act.damon import DamonSlots
from plimsoll_nodeagent.act.journal import Journal
from plimsoll_nodeagent.act.watching import Intervals, Watching
from plimsoll_nodeagent.control.idle_ages import IdleAgeSampler
from plimsoll_nodeagent.discover.named import NamedTracker
from plimsoll_nodeagent.discover.pids import member_pids
from plimsoll_nodeagent.discover.tracker import Container
from plimsoll_nodeagent.kernelfs import Answer, KernelFs, Mode
from plimsoll_nodeagent.kernelfs.process import PAGE_BYTES
from plimsoll_nodeagent.sample.damon import read_regions
from plimsoll_nodeagent.sample.features import find_features
from plimsoll_nodeagent.sample.reading import ContainerSample, Sampler

MOST_LOOKS = 20_000
MOST_PIDS = 16  # targets of one monitor


class RecordError(RuntimeError):
    """Nothing can be recorded; the text says why."""


@dataclass
class Taken:
    """Looks so far."""

    seconds: list[float] = field(default_factory=list)
    regions: list[Look] = field(default_factory=list)
    ages: list[npt.NDArray[np.float64]] = field(default_factory=list)
    usage: list[float] = field(default_factory=list)
    limit: list[float] = field(default_factory=list)
    swap: list[float] = field(default_factory=list)
    reclaimed: list[float] = field(default_factory=list)

    def add(self, second: float, sample: ContainerSample) -> None:
        """Take in what a cgroup's files said at a look."""
        self.seconds.append(second)
        self.usage.append(sample.usage_bytes)
        self.limit.append(math.nan if sample.memory_max_bytes is None else sample.memory_max_bytes)
        self.swap.append(math.nan if sample.swapped_out_bytes is None else sample.swapped_out_bytes)
        stolen = None if sample.stat is None else sample.stat.stolen_pages
        self.reclaimed.append(math.nan if stolen is None else stolen * PAGE_BYTES)

    def _cut(self) -> None:
        """Leave out the look that Ctrl-C cut in two."""
        columns: tuple[list[Any], ...] = (self.seconds, self.usage, self.limit, self.swap, self.reclaimed)
        columns += (self.ages or self.regions,)
        ended = min(map(len, columns))
        for each in columns:
            del each[ended:]

    def recording(self, name: str) -> Recording:
        """All looks that ended. Raises RecordError where nothing was seen."""
        self._cut()
        if not self.seconds:
            raise RecordError(f"{name} went away before the first look ended")
        if self.ages:
            axis, edges, heat = (
                Axis.IDLE_AGE,
                np.append(AGE_EDGES, 2 * AGE_EDGES[-1]),
                np.array(self.ages, np.float32),
            )
        else:
            axis = Axis.ADDRESS
            try:
                edges, heat = gridded(self.regions)
            except ValueError as error:
                raise RecordError(f"{name}: {error}") from None
        usage, limit, swap, reclaimed = (
            np.array(each, np.float64) for each in (self.usage, self.limit, self.swap, self.reclaimed)
        )
        return Recording(axis, np.array(self.seconds), edges, heat, usage, limit, swap, name, reclaimed)


class Looker(Protocol):
    """One way to look at how a cgroup's memory is used."""

    def look(self, second: float, sample: ContainerSample, taken: Taken) -> bool:
        """Look once; False where there is nothing left to look at."""

    def close(self) -> None:
        """Take down what was set up."""


def record(
    fs: KernelFs, options: argparse.Namespace, sleep: Callable[[float], None], now: Callable[[], float]
) -> Recording:
    """Record one cgroup. Raises RecordError."""
    tracker = NamedTracker(fs, options.cgroup_root, options.cgroup)
    tracker.look()
    if not tracker.containers:
        why = ", ".join(each.value for each in tracker.failures)
        raise RecordError(f"{options.cgroup[0]} cannot be opened: it is {why}")
    (container,) = tracker.containers.values()
    sampler = Sampler(fs, find_features(fs, container.path))
    taken, begin = Taken(), now()
    # Ctrl-C ends a recording early; what there is by then is kept.
    with closing(_looker(fs, options, container)) as looker, suppress(KeyboardInterrupt):
        for number in range(min(MOST_LOOKS, max(2, round(options.for_seconds / options.every)))):
            sleep(options.every)
            last = taken.seconds[-1] if taken.seconds else 0.0
            second = max(
                now() - begin, last + options.every / 2 + 1e-3 * number
            )  # also where a clock goes back
            sample = sampler.container(container)
            if sample is None or not looker.look(second, sample, taken):
                break
            taken.add(second, sample)
    return taken.recording(container.container_id)


def _looker(fs: KernelFs, options: argparse.Namespace, container: Container) -> Looker:
    if options.by == "lru" or (options.by == "auto" and fs.mode is not Mode.ACT):
        return ByGenerations(fs, options.cgroup_root, container)
    try:
        return ByDamon(fs, container, options.state_dir / "recorder", options.every)
    except RecordError:
        if options.by == "damon":
            raise
        return ByGenerations(fs, options.cgroup_root, container)


class ByGenerations:
    """Idle ages from MGLRU."""

    def __init__(self, fs: KernelFs, cgroup_root: str, container: Container) -> None:
        self._sampler = IdleAgeSampler(fs, cgroup_root, least_seconds=0.0)
        self._container = container

    def look(self, second: float, sample: ContainerSample, taken: Taken) -> bool:
        """Read the generations."""
        mapped = {self._container.key: sample.mapped_cache_bytes}
        self._sampler.sample([self._container], second, mapped)
        found = self._sampler.looked.get(self._container.key)
        if found is None:
            why = self._sampler.absence or "without this cgroup"
            raise RecordError(f"no idle ages here: lru_gen is {why} (is debugfs mounted, may it be read?)")
        idle = np.array([found.ages.idle_bytes(float(edge)) for edge in AGE_EDGES])
        taken.ages.append(idle - np.append(idle[1:], 0.0))
        return True

    def close(self) -> None:
        """Nothing was set up."""


class ByDamon:
    """Addresses, from a monitor of our own. Raises RecordError where DAMON is not to be had."""

    def __init__(self, fs: KernelFs, container: Container, journal: Path, every_seconds: float) -> None:
        if fs.mode is not Mode.ACT:
            raise RecordError("DAMON has to be set up, which needs --mode act")
        self._fs = fs
        kept = Journal(journal)
        Actor(fs, kept, time.monotonic).recover()  # what a recorder that was killed had set up
        self._slots = DamonSlots(fs, kept, boot_id(fs))
        answer = self._slots.take(1)
        if answer is not Answer.DONE:
            raise RecordError(f"DAMON cannot be had here: {answer} (plimsoll-agent damon says who has it)")
        with opened(fs, container) as cgroup:
            pids = () if isinstance(cgroup, Answer) else member_pids(cgroup).pids[:MOST_PIDS]
        aggregate_us = int(min(every_seconds, 1.0) * 1e6)
        intervals = Intervals(aggregate_us // 20, aggregate_us, max(aggregate_us, 1_000_000))
        # Several targets of one monitor need Linux 6.6; the lowest pid is most often the container's own.
        for several in (pids, pids[:1]):
            self._watching = Watching(several, intervals)
            answer = self._slots.start(0, self._watching) if several else Answer.GONE
            if answer is Answer.DONE:
                return
        self.close()
        raise RecordError(f"DAMON could not be started on {container.container_id}: {answer}")

    def look(self, second: float, sample: ContainerSample, taken: Taken) -> bool:  # noqa: ARG002
        """Have the regions written, and read them; the first process' only where address spaces differ."""
        found = read_regions(self._fs, self._slots, 0, self._watching)
        if isinstance(found, Answer):
            return False
        starts, ends, heats = [], [], []
        for number, each in enumerate(found):
            base = np.uint64(number) << np.uint64(48)  # each process' addresses in a range of their own
            starts.append(each.starts + base)
            ends.append(each.ends + base)
            heats.append(np.clip(each.accesses / each.most_accesses, 0.0, 1.0))
        taken.regions.append((np.concatenate(starts), np.concatenate(ends), np.concatenate(heats)))
        return True

    def close(self) -> None:
        """Switch the monitor off and give DAMON back."""
        self._slots.close()
