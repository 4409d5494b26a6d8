"""Generations of the multi-generational LRU: how long pages of each cgroup have been idle, at almost no cost.

In: the text of /sys/kernel/debug/lru_gen, which has all cgroups at once. Out: generations by cgroup and NUMA
node, histograms of idle ages, and ageing on demand, which starts a new youngest generation.
A page in a generation was last seen touched between the birth of it and the birth of the next younger one; in
the oldest it may have been idle for longer still. Touches are seen in page tables: what is read or written by
system calls alone grows old however often it is used, so ages of page cache tell something as far as it is
mapped (`told_bytes`). Source: the kernel's `admin-guide/mm/multigen_lru.rst` and `folio_mark_accessed`.
"""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plimsoll_nodeagent.kernelfs import Absence, Answer, KernelFs
from plimsoll_nodeagent.kernelfs.process import PAGE_BYTES
from plimsoll_nodeagent.sample.formats import FormatError

LRU_GEN = "/sys/kernel/debug/lru_gen"
ENABLED = "/sys/kernel/mm/lru_gen/enabled"
_MILLISECONDS = 1e-3
_FLAGS = "xRTP"  # that lru_gen_full puts behind numbers


@dataclass(frozen=True, slots=True)
class Generation:
    """One generation: its age is the time since it became the youngest."""

    number: int
    age_seconds: float
    anon_pages: int
    file_pages: int


@dataclass(frozen=True, slots=True)
class LruList:
    """The generations of one cgroup on one NUMA node, oldest first; at most four."""

    memcg_id: int
    path: str
    numa_node: int
    generations: tuple[Generation, ...]


@dataclass(frozen=True, slots=True, eq=False)
class IdleAges:
    """Bytes by idle age: bin `i` is at least `from_seconds[i]` old and less than `from_seconds[i + 1]`."""

    from_seconds: NDArray[np.float64]
    """Ascending, the first is 0; the last bin has no end."""
    anon_bytes: NDArray[np.int64]
    file_bytes: NDArray[np.int64]

    def told_bytes(self, mapped_cache_bytes: int) -> NDArray[np.int64]:
        """Bytes by bin of which the age is known: anonymous ones, and file pages as far as they are mapped.

        Nobody tells which of them are: the youngest are taken to be, so that nothing is too old.
        """
        mapped = np.minimum(np.cumsum(self.file_bytes), max(0, mapped_cache_bytes))
        return self.anon_bytes + np.diff(mapped, prepend=0)


def read_lru_gen(fs: KernelFs) -> tuple[LruList, ...] | Absence:
    """Read the generations of all cgroups."""
    text = fs.read(LRU_GEN)
    if isinstance(text, Absence):
        return text
    try:
        lists = parse_lru_gen(text)
    except FormatError:
        return Absence.GARBLED
    return Absence.UNSUPPORTED if _switched_off(fs, lists) else lists


def _switched_off(fs: KernelFs, lists: tuple[LruList, ...]) -> bool:
    """Whether the kernel has generations and leaves them off: it shows them then too, without a page."""
    enabled = fs.read(ENABLED)
    if not isinstance(enabled, Absence):
        try:
            return not int(enabled, 16) & 1
        except ValueError:
            pass  # as if it could not be read
    # We run on this machine: some cgroup of it has pages.
    own = [each for one in lists for each in one.generations]
    return bool(own) and not any(each.anon_pages or each.file_pages for each in own)


def parse_lru_gen(text: str) -> tuple[LruList, ...]:
    """Read the file's text. Raises FormatError."""
    lists: list[LruList] = []
    memcg: tuple[int, str] | None = None
    numa_node: int | None = None
    generations: list[Generation] = []

    def close() -> None:
        if memcg is not None and numa_node is not None:
            lists.append(LruList(memcg[0], memcg[1], numa_node, tuple(generations)))
        generations.clear()

    for line in text.splitlines():
        words = line.split()
        match words:
            case ["memcg", number, *path] if number.isdecimal():
                close()
                memcg, numa_node = (int(number), " ".join(path) or "/"), None
            case ["node", number] if number.isdecimal():
                close()
                numa_node = int(number)
            case [_, _, _, _]:
                generations.append(_generation(words))
            case _:
                raise FormatError(f"not a line of lru_gen: {line[:60]!r}")
    close()
    return tuple(lists)


def idle_ages(lists: list[LruList]) -> IdleAges:
    """Add up the generations of some lists (one cgroup's, or a NUMA node's) by the least idle age of each."""
    rows = [
        (younger, own.anon_pages, own.file_pages)
        for each in lists
        for own, younger in zip(each.generations, _least_ages(each), strict=True)
    ]
    edges = np.unique([0.0, *(row[0] for row in rows)])
    anon, file = np.zeros(len(edges), dtype=np.int64), np.zeros(len(edges), dtype=np.int64)
    for least, anon_pages, file_pages in rows:
        bin_ = int(np.searchsorted(edges, least))
        anon[bin_] += anon_pages * PAGE_BYTES
        file[bin_] += file_pages * PAGE_BYTES
    return IdleAges(edges, anon, file)


def grouped(lists: tuple[LruList, ...], cgroup_paths: Collection[str]) -> dict[str, list[LruList]]:
    """Give every list to the nearest of these cgroups at or above it, in one pass; others are left out."""
    found: dict[str, list[LruList]] = {path: [] for path in cgroup_paths}
    for each in lists:
        path = each.path
        while path and path not in found:
            path = path.rpartition("/")[0]
        if path:
            found[path].append(each)
    return found


def age(fs: KernelFs, lru: LruList, *, anonymous: bool = True) -> Answer:
    """Make a new generation on one list: costs a walk over its page tables. PARTIAL: try again later."""
    if not lru.generations:
        return Answer.GONE
    newest = lru.generations[-1].number
    return fs.write(LRU_GEN, f"+ {lru.memcg_id} {lru.numa_node} {newest} {int(anonymous)}")


def _least_ages(lru: LruList) -> list[float]:
    """Of each generation the age of the next younger one: its pages have not been touched since."""
    ages = [each.age_seconds for each in lru.generations]
    return [*ages[1:], 0.0] if ages else []


def _generation(words: list[str]) -> Generation:
    numbers = [word.rstrip(_FLAGS) for word in words]
    # Counters are kept by processor and may be below zero for a moment.
    if not all(each.removeprefix("-").isdecimal() for each in numbers):
        raise FormatError(f"not a generation: {words!r}")
    number, age_ms, anon, file = map(int, numbers)
    return Generation(number, age_ms * _MILLISECONDS, max(0, anon), max(0, file))
