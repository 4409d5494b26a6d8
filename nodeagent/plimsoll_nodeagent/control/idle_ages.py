"""How long the memory of each container has been idle, sampled as often as it is worth it.

In: the generations of the multi-generational LRU, which the kernel keeps anyway (`sample/lru_gen.py`), and
how much page cache of each container is mapped: of the rest generations tell nothing. Out: an idle-age
histogram for each container that a policy speaks for, split by NUMA node, and how much is not in it; none
where the kernel has none, and then reclaim falls back to the kernel's own order. New generations are made for
those containers only, at a pace that adapts: every minute where memory moves, down to every four minutes
where hardly any does, because each costs the kernel a walk over page tables.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from plimsoll.pages.working_set import IdleAges
from plimsoll_nodeagent.discover.hierarchy import hierarchy_root
from plimsoll_nodeagent.discover.tracker import Container, ContainerId
from plimsoll_nodeagent.kernelfs import Absence, KernelFs, Mode
from plimsoll_nodeagent.sample.lru_gen import IdleAges as Generations
from plimsoll_nodeagent.sample.lru_gen import LruList, age, grouped, idle_ages, read_lru_gen

# The kernel keeps four generations: made more often, they would tell no age above two minutes.
OFTEN_SECONDS, SELDOM_SECONDS = 60.0, 240.0
LOOK_SECONDS = 15.0  # the file holds every cgroup of the node, and says little new in less
MOVES_RATIO = 0.01  # of its memory: what is young now and was not; less, and it is asked half as often
YOUNG_SECONDS = 0.9 * OFTEN_SECONDS  # less than a generation lasts, whatever clocks say


@dataclass(frozen=True, slots=True)
class Looked:
    """One container's histogram, all in all and by NUMA node."""

    taken_seconds: float
    ages: IdleAges
    by_numa_node: Mapping[int, IdleAges]
    by_address: bool = False
    """Whether it is of blocks by address (DAMON, idle bits) and not of generations."""
    reclaimed_total_bytes: int | None = None
    """What was ever reclaimed of the memory it speaks of, by then; None: unknown."""
    refaulted_total_bytes: int | None = None
    """What of it ever came back, by then."""
    untold_bytes: int = 0
    """Page cache whose age nobody knows: it is not in the histogram."""
    anon_ages: IdleAges | None = None
    """Anonymous memory alone."""


@dataclass(slots=True)
class _Pace:
    every_seconds: float = OFTEN_SECONDS
    aged_seconds: float = float("-inf")
    young_bytes: float = 0.0


@dataclass
class IdleAgeSampler:
    """Samples the containers it is told to."""

    fs: KernelFs
    cgroup_root: str
    least_seconds: float = LOOK_SECONDS
    looked: dict[ContainerId, Looked] = field(default_factory=dict)
    absence: Absence | None = None
    """Why there are no generations; None where there are, or before the first look."""
    agings_total: int = 0
    aged: frozenset[ContainerId] = frozenset()
    """Who was given a new generation by the newest `sample`: that took the accessed bits of page tables."""
    _read_seconds: float = float("-inf")
    _above: tuple[str, str] | None = None
    """Where the hierarchy begins under our root, and what the kernel puts before that."""
    _paces: dict[ContainerId, _Pace] = field(default_factory=dict)

    def sample(
        self,
        containers: Iterable[Container],
        now_seconds: float,
        mapped_cache_bytes: Mapping[ContainerId, int],
    ) -> None:
        """Look at these containers; forget all others. No word on what is mapped counts as nothing."""
        self.aged = frozenset()
        wanted = {each.key: each for each in containers}
        self._paces = {key: self._paces.get(key, _Pace()) for key in wanted}
        self.looked = {key: each for key, each in self.looked.items() if key in wanted}
        if not wanted or 0.0 <= now_seconds - self._read_seconds < self.least_seconds:
            return
        self._read_seconds = now_seconds
        lists = read_lru_gen(self.fs)
        if isinstance(lists, Absence):
            self.absence, self.looked = lists, {}
            return
        self.absence = None
        for key, own in self._own(lists, wanted).items():
            if own:
                self._one(key, own, now_seconds, mapped_cache_bytes.get(key, 0))

    def _own(
        self, lists: tuple[LruList, ...], wanted: Mapping[ContainerId, Container]
    ) -> dict[ContainerId, list[LruList]]:
        """Each container's lists and those of the cgroups below it; the kernel names them from the top."""
        if self._above is None:
            self._above = hierarchy_root(self.fs, self.cgroup_root), ""
        mount, prefix = self._above
        paths = {key: prefix + each.path.removeprefix(mount) for key, each in wanted.items()}
        found = grouped(lists, set(paths.values()))
        if not prefix and not any(found.values()):
            prefix = _prefix(lists, paths.values())
            self._above = mount, prefix
            found = grouped(lists, {prefix + path for path in paths.values()})
        return {key: found.get(path) or found.get(prefix + path, []) for key, path in paths.items()}

    def _one(self, key: ContainerId, own: list[LruList], now_seconds: float, mapped_bytes: int) -> None:
        found = idle_ages(own)
        whole = _histogram(found, found.told_bytes(mapped_bytes))
        if whole is None:
            return
        file_bytes = int(found.file_bytes.sum())
        parts = {}
        for numa_node in {each.numa_node for each in own}:  # cgroups below it have lists of their own there
            part = idle_ages([each for each in own if each.numa_node == numa_node])
            # At least so much of what is mapped is here: the rest of the cache may all be.
            mapped_here = mapped_bytes - (file_bytes - int(part.file_bytes.sum()))
            parts[numa_node] = _histogram(part, part.told_bytes(mapped_here))
        self.looked[key] = Looked(
            now_seconds,
            whole,
            {n: each for n, each in parts.items() if each is not None},
            untold_bytes=max(0, file_bytes - mapped_bytes),
            anon_ages=_histogram(found, found.anon_bytes),
        )
        pace = self._paces[key]
        if not 0.0 <= now_seconds - pace.aged_seconds < pace.every_seconds:
            self._age(pace, own, whole, now_seconds)
            self.aged |= {key}

    def _age(self, pace: _Pace, own: list[LruList], whole: IdleAges, now_seconds: float) -> None:
        young = whole.working_set_bytes(YOUNG_SECONDS)
        moves = abs(young - pace.young_bytes) > MOVES_RATIO * whole.total_bytes
        pace.every_seconds = OFTEN_SECONDS if moves else min(SELDOM_SECONDS, 2.0 * pace.every_seconds)
        pace.aged_seconds, pace.young_bytes = now_seconds, young
        if self.fs.mode is Mode.READ:
            return
        for each in own:
            age(self.fs, each)
            self.agings_total += 1


def _prefix(lists: Iterable[LruList], paths: Iterable[str]) -> str:
    """What the kernel's names begin with where only a part of its hierarchy is mounted; "" if unclear."""
    wanted = tuple(paths)
    found = {each.path.removesuffix(path) for each in lists for path in wanted if each.path.endswith(path)}
    return found.pop() if len(found) == 1 else ""


def _histogram(found: Generations, amounts: npt.NDArray[np.int64]) -> IdleAges | None:
    try:
        return IdleAges(np.append(found.from_seconds, np.inf), amounts.astype(np.float64))
    except ValueError:
        return None
