"""One file of many cgroups, read every second: each is held open for that.

In: containers, the file's name. Out: its text as it is now, or why there is none. At most `MOST_HELD` files
are held; what is beyond is opened each time. A file that cannot be read is given back, and opened anew the
next time.
"""

from collections.abc import Container as Keys
from dataclasses import dataclass, field

from plimsoll_nodeagent.act.container import opened
from plimsoll_nodeagent.discover.tracker import Container, ContainerId
from plimsoll_nodeagent.kernelfs import Absence, Answer, HeldFile, KernelFs

MOST_HELD = 512  # descriptors, for each name


@dataclass
class HeldTexts:
    """Keeps files; `close` gives them back."""

    fs: KernelFs
    name: str
    _held: dict[ContainerId, HeldFile] = field(default_factory=dict)

    def text(self, container: Container) -> str | Absence:
        """The whole file, of the very cgroup that the container is."""
        key = container.key
        held = self._held.get(key) or self._hold(container)
        text = self._read_once(container) if held is None else held.read()
        if isinstance(text, Absence) and held is not None:  # gone, or switched off
            self._held.pop(key).close()
        return text

    def keep(self, keys: Keys[ContainerId]) -> None:
        """Give back the files of all others."""
        for key in [each for each in self._held if each not in keys]:
            self._held.pop(key).close()

    def close(self) -> None:
        """Give all files back."""
        self.keep(())

    def _hold(self, container: Container) -> HeldFile | None:
        if len(self._held) >= MOST_HELD:
            return None
        with opened(self.fs, container) as cgroup:
            held = Absence.GONE if isinstance(cgroup, Answer) else cgroup.hold(self.name)
        if isinstance(held, Absence):
            return None
        self._held[container.key] = held
        return held

    def _read_once(self, container: Container) -> str | Absence:
        with opened(self.fs, container) as cgroup:
            return Absence.GONE if isinstance(cgroup, Answer) else cgroup.read(self.name)
