"""The container that is acted on: its cgroup opened and known to be the one that was meant, its processes.

In: a `Container` as discovered. Out: the open cgroup, or why not; its processes, each asked for twice. What
is read before and after an action comes from here too, so that all actions measure alike.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from plimsoll_nodeagent.act.outcome import Effect, difference
from plimsoll_nodeagent.discover.pids import member_pids
from plimsoll_nodeagent.discover.tracker import Container
from plimsoll_nodeagent.kernelfs import Absence, Answer, KernelDirectory, KernelFs, KernelProcess
from plimsoll_nodeagent.kernelfs.process import PAGE_BYTES
from plimsoll_nodeagent.sample.formats import parse_bytes, parse_flat_keyed, parsed

_ANSWER = {
    Absence.GONE: Answer.GONE,
    Absence.DENIED: Answer.DENIED,
    Absence.UNSUPPORTED: Answer.UNSUPPORTED,
}


def as_answer(absence: Absence) -> Answer:
    """Return what a failed read means for the action that needed it."""
    return _ANSWER.get(absence, Answer.BUSY)


@contextmanager
def opened(fs: KernelFs, container: Container) -> Iterator[KernelDirectory | Answer]:
    """Open the container's cgroup; `Answer.GONE` where its path is another's by now."""
    directory = fs.open(container.path)
    if isinstance(directory, Absence):
        yield as_answer(directory)
        return
    with directory:
        yield directory if directory.inode == container.cgroup_inode else Answer.GONE


@contextmanager
def member(fs: KernelFs, container: Container, pid: int) -> Iterator[KernelProcess | Answer]:
    """Open a process of the container: it must be in its cgroup before it is opened, and after.

    `Answer.REFUSED` where it is not: a recycled pid, or one that has moved away.
    """
    with opened(fs, container) as cgroup:
        if isinstance(cgroup, Answer):
            yield cgroup
            return
        if pid not in member_pids(cgroup).pids:
            yield Answer.REFUSED
            return
        process = KernelProcess.open(fs, pid)
        if isinstance(process, Absence):
            yield as_answer(process)
            return
        with process:
            yield process if pid in member_pids(cgroup).pids and process.is_alive() else Answer.REFUSED


def is_member(fs: KernelFs, container: Container, process: KernelProcess) -> bool:
    """Whether a process that was opened still is the container's: asked anew between two steps."""
    with opened(fs, container) as cgroup:
        if isinstance(cgroup, Answer):
            return False
        return process.pid in member_pids(cgroup).pids and process.is_alive()


def usage_now(cgroup: KernelDirectory) -> dict[str, int | None]:
    """Return what of the cgroup an action changes, by the names of `Effect`; None where it cannot be read."""
    stat = parsed(cgroup.read("memory.stat"), parse_flat_keyed) or {}
    return {
        "usage_bytes": parsed(cgroup.read("memory.current"), parse_bytes),
        "swap_bytes": parsed(cgroup.read("memory.swap.current"), parse_bytes),
        "anon_bytes": stat.get("anon"),
        "file_bytes": stat.get("file"),
        # Before Linux 6.0 there is only the sum, with kswapd's in it.
        "reclaimed_bytes": _counted(stat, "pgsteal_direct", "pgsteal"),
        "proactive_bytes": _counted(stat, "pgsteal_proactive"),
    }


def usage_changed(before: dict[str, int | None], cgroup: KernelDirectory) -> Effect:
    """Return what changed since `usage_now` gave `before`."""
    return difference(before, usage_now(cgroup))


def _counted(stat: Mapping[str, int], *names: str) -> int | None:
    """Bytes by the first of these counters of pages that there is; None where there is none."""
    pages = next((stat[name] for name in names if name in stat), None)
    return None if pages is None else pages * PAGE_BYTES
