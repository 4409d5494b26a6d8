"""Memory and CPU of a process and all its children, read from /proc.

In: a process id. Out: proportional set size (shared pages are divided between those who share them), the sum
of peak resident sizes, and CPU seconds. A process that ends while it is read counts as nothing.
"""

import os
from collections.abc import Iterator
from pathlib import Path

PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")


def tree(pid: int) -> Iterator[int]:
    """The process and its descendants."""
    yield pid
    for task in _entries(PROC / str(pid) / "task"):
        for child in _text(PROC / str(pid) / "task" / task / "children").split():
            yield from tree(int(child))


def pss_mib(pid: int) -> float:
    """Proportional set size of the tree, MiB; resident size where the kernel does not give it."""
    return (
        sum(_kib(each, "smaps_rollup", "Pss:") or _kib(each, "status", "VmRSS:") for each in tree(pid)) / 1024
    )


def peak_mib(pid: int) -> float:
    """Sum of the highest resident sizes of the tree's processes, MiB; not all at one moment, maybe."""
    return sum(_kib(each, "status", "VmHWM:") for each in tree(pid)) / 1024


def cpu_seconds(pid: int) -> float:
    """User and system time of the tree so far."""
    total = 0
    for each in tree(pid):
        fields = _text(PROC / str(each) / "stat").rpartition(")")[2].split()
        total += sum(map(int, fields[11:13])) if fields else 0
    return total / _TICKS


def _kib(pid: int, file: str, label: str) -> float:
    for line in _text(PROC / str(pid) / file).splitlines():
        if line.startswith(label):
            return float(line.split()[1])
    return 0.0


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _entries(path: Path) -> list[str]:
    try:
        return [each.name for each in path.iterdir()]
    except OSError:
        return []
