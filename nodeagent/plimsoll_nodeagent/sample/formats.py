"""The kernel's file formats, read by pure functions: text in, numbers out.

In: the text of a whole file. Out: integers in the kernel's unit, or frozen dataclasses with units in their
names. What cannot be read is a `FormatError` and never a guess: a value that is not a plain number, a line
with too few words. Keys that a kernel adds are ignored. Source: the kernel's `cgroup-v2.rst`, `psi.rst` and
`proc.rst`.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from plimsoll_nodeagent.kernelfs.answers import Absence

T = TypeVar("T")

UNLIMITED = math.inf  # what the kernel writes as `max`
_KIB = 1024
_MICROSECONDS = (
    1e6  # to divide by: 219394 µs are the float nearest to 0.219394 s, as whoever reads the kernel finds it
)


class FormatError(ValueError):
    """A kernel file that is not what its format says."""


def parsed(text: str | Absence, parse: Callable[[str], T]) -> T | None:
    """What a file that was read says; None where it could not be read, or is not what its format says."""
    if isinstance(text, Absence):
        return None
    try:
        return parse(text)
    except FormatError:
        return None


@dataclass(frozen=True, slots=True)
class Stall:
    """One line of PSI: shares of wall time (0 to 1) in which tasks stalled, and the sum of all stalls."""

    avg10_ratio: float
    avg60_ratio: float
    total_seconds: float


@dataclass(frozen=True, slots=True)
class Pressure:
    """PSI of memory: `some` task stalled; `full`: all that could run did."""

    some: Stall
    full: Stall


@dataclass(frozen=True, slots=True)
class MemoryStat:
    """What of memory.stat is used; None where this kernel has no such line."""

    anon_bytes: int | None
    file_bytes: int | None
    inactive_file_bytes: int | None
    slab_bytes: int | None
    refault_anon_pages: int | None
    refault_file_pages: int | None
    scan_direct_pages: int | None = None
    """Pages that the container's own tasks had to look through for reclaim."""
    file_mapped_bytes: int | None = None
    """Of `file_bytes`, what processes have mapped; shared memory too."""
    shmem_bytes: int | None = None
    """Of `file_bytes`, tmpfs and shared memory: the kernel ages and swaps it as anonymous memory."""
    stolen_pages: int | None = None
    """Pages that were ever reclaimed from it: with its usage, what it ever allocated and has not freed."""
    swap_cached_bytes: int | None = None
    """In memory and in swap at once, and counted in both: kept in swap after it was read back."""


@dataclass(frozen=True, slots=True)
class MemoryInfo:
    """What of /proc/meminfo is used."""

    total_bytes: int
    free_bytes: int
    available_bytes: int
    swap_total_bytes: int
    swap_free_bytes: int


def parse_bytes(text: str) -> int:
    """Read a file of one number, such as memory.current."""
    return _number(text.rstrip("\n"))


def parse_limit(text: str) -> float:
    """Read a file of one number or `max` (`UNLIMITED`), such as memory.max."""
    value = text.rstrip("\n")
    return UNLIMITED if value == "max" else float(_number(value))


def parse_flat_keyed(text: str) -> dict[str, int]:
    """Read lines of a key and a number, such as memory.events and memory.stat."""
    found = {}
    for line in text.splitlines():
        key, _, value = line.partition(" ")
        found[key] = _number(value)
    return found


def parse_memory_stat(text: str) -> MemoryStat:
    """Read memory.stat. Before Linux 5.9 refaults had one line and were of file pages only."""
    found = parse_flat_keyed(text)
    return MemoryStat(
        anon_bytes=found.get("anon"),
        file_bytes=found.get("file"),
        inactive_file_bytes=found.get("inactive_file"),
        slab_bytes=found.get("slab"),
        refault_anon_pages=found.get("workingset_refault_anon"),
        refault_file_pages=found.get("workingset_refault_file", found.get("workingset_refault")),
        scan_direct_pages=found.get("pgscan_direct"),
        file_mapped_bytes=found.get("file_mapped"),
        shmem_bytes=found.get("shmem"),
        stolen_pages=found.get("pgsteal"),
        swap_cached_bytes=found.get("swapcached"),
    )


def parse_pressure(text: str) -> Pressure:
    """Read memory.pressure or /proc/pressure/memory."""
    stalls = {}
    for line in text.splitlines():
        kind, _, rest = line.partition(" ")
        stalls[kind] = _stall(rest)
    try:
        return Pressure(stalls["some"], stalls["full"])
    except KeyError as error:
        raise FormatError(f"no PSI line {error}") from None


def parse_some_total(text: str) -> float:
    """Read of a PSI file only how long some task has stalled in all, in seconds: it is asked every second."""
    _, found, rest = text.partition("total=")
    if not found or not text.startswith("some "):
        raise FormatError(f"no total of some in {text[:60]!r}")
    return _number(rest.split("\n", 1)[0]) / _MICROSECONDS


def parse_meminfo(text: str) -> MemoryInfo:
    """Read /proc/meminfo."""
    values: dict[str, str] = {}
    for line in text.splitlines():
        key, _, value = line.partition(":")
        values[key] = value
    return MemoryInfo(
        total_bytes=_kib(values, "MemTotal"),
        free_bytes=_kib(values, "MemFree"),
        available_bytes=_kib(values, "MemAvailable"),
        swap_total_bytes=_kib(values, "SwapTotal"),
        swap_free_bytes=_kib(values, "SwapFree"),
    )


def _stall(text: str) -> Stall:
    found = dict(word.split("=", 1) for word in text.split() if "=" in word)
    try:
        total = _number(found["total"]) / _MICROSECONDS
        return Stall(_percent(found["avg10"]), _percent(found["avg60"]), total)
    except KeyError as error:
        raise FormatError(f"no {error} in a PSI line") from None


def _percent(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise FormatError(f"not a percentage: {text[:40]!r}") from None
    if not 0.0 <= value <= 100.0:  # NaN is not within it either
        raise FormatError(f"not a percentage: {text[:40]!r}")
    return value / 100.0


def _kib(values: Mapping[str, str], key: str) -> int:
    number, _, unit = values.get(key, "").strip().partition(" ")
    if unit != "kB":
        raise FormatError(f"no {key} in kB")
    return _number(number) * _KIB


def _number(text: str) -> int:
    # int() alone would also take " 5", "+5", "5_0" and digits of other scripts.
    if not (text.isascii() and text.isdigit() and len(text) <= 20):
        raise FormatError(f"not a number: {text[:40]!r}")
    return int(text)
