"""PSI triggers: told by the kernel within its window that a container (or the node) stalls, without polling.

In: containers, a threshold. Out: whoever stalled since the last question; a descriptor for an event loop
(asyncio's `add_reader`), for the triggers hang on an epoll of their own: they speak by EPOLLPRI only, and are
always readable. A cgroup that goes away says EPOLLERR: its trigger is dropped. Where triggers are not to be
had, `watch` says so and the caller polls memory.pressure. Source: the kernel's `accounting/psi.rst`.
"""

import os
import select
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from plimsoll_nodeagent.discover.tracker import Container, ContainerId
from plimsoll_nodeagent.kernelfs import Absence, Answer, KernelFs, Trigger

MICROSECONDS = 1_000_000
MOST_TRIGGERS = 1024  # a descriptor and a kernel timer each
KUBE_NODE = (0, "")  # stands for the node among containers
_NODE_FILE = "/proc/pressure/memory"


@dataclass(frozen=True, slots=True)
class Threshold:
    """Told when tasks stall for more than `stall_seconds` within `window_seconds`.

    The kernel takes windows of 0.5 to 10 s; without CAP_SYS_RESOURCE only multiples of 2 s (Linux 6.6).
    """

    stall_seconds: float = 0.1
    window_seconds: float = 2.0
    kind: str = "some"

    def text(self) -> str:
        """Return what is written into a pressure file."""
        stall, window = int(self.stall_seconds * MICROSECONDS), int(self.window_seconds * MICROSECONDS)
        return f"{self.kind} {stall} {window}"


class PressureTriggers:
    """Triggers of many containers. Close it, or use it as a context, to give them back."""

    def __init__(self, fs: KernelFs, threshold: Threshold) -> None:
        self._fs = fs
        self._text = threshold.text()
        self._epoll = select.epoll()
        self._keys: dict[int, ContainerId] = {}
        self._descriptors: dict[ContainerId, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._keys)

    def fileno(self) -> int:
        """A descriptor that is readable while somebody stalls: for `loop.add_reader`."""
        return self._epoll.fileno()

    def watch(self, container: Container) -> Answer:
        """Set a trigger on a container; DONE where it has one already."""
        if container.key in self._descriptors:
            return Answer.DONE
        if len(self._keys) >= MOST_TRIGGERS:
            return Answer.FULL
        directory = self._fs.open(container.path)
        if isinstance(directory, Absence):
            return Answer.GONE
        with directory:
            if directory.inode != container.cgroup_inode:
                return Answer.GONE
            return self._keep(container.key, directory.trigger(self._text))

    def watch_kube_node(self) -> Answer:
        """Set a trigger on the whole node; its key is `KUBE_NODE`."""
        if KUBE_NODE in self._descriptors:
            return Answer.DONE
        return self._keep(KUBE_NODE, self._fs.trigger(_NODE_FILE, self._text))

    def follow(self, containers: Iterable[Container]) -> dict[Answer, int]:
        """Watch exactly these containers (and the node, if it was); returns how many answers of each kind."""
        wanted = {each.key: each for each in containers}
        for key in self._descriptors.keys() - wanted.keys() - {KUBE_NODE}:
            self.forget(key)
        counts: dict[Answer, int] = {}
        for each in wanted.values():
            answer = self.watch(each)
            counts[answer] = counts.get(answer, 0) + 1
        return counts

    def forget(self, key: ContainerId) -> None:
        """Give a trigger back."""
        descriptor = self._descriptors.pop(key, None)
        if descriptor is not None:
            del self._keys[descriptor]
            self._epoll.unregister(descriptor)
            os.close(descriptor)

    def stalled(self, timeout_seconds: float = 0.0) -> frozenset[ContainerId]:
        """Return who stalled since the last question, waiting no longer than the time-out."""
        found = set()
        for descriptor, events in self._epoll.poll(timeout_seconds):
            key = self._keys[descriptor]
            if events & (select.EPOLLERR | select.EPOLLHUP):
                self.forget(key)
            else:
                found.add(key)
        return frozenset(found)

    def close(self) -> None:
        """Give all triggers back."""
        for key in list(self._descriptors):
            self.forget(key)
        self._epoll.close()

    def _keep(self, key: ContainerId, made: Trigger | Answer) -> Answer:
        if isinstance(made, Answer):
            return made
        self._epoll.register(made.descriptor, made.events)
        self._keys[made.descriptor] = key
        self._descriptors[key] = made.descriptor
        return Answer.DONE
