"""What happened to containers' memory, asked every second: memory.events, held open for that.

In: the containers under policies. Out: those of which an event was counted since the last question (its
`high` or its limit was met, it was out of memory, something in it was killed). They are sampled whole within
the second; all others wait for the next tick. A file that is not there tells nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from plimsoll_nodeagent.control.held_texts import HeldTexts
from plimsoll_nodeagent.discover.tracker import Container, ContainerId
from plimsoll_nodeagent.kernelfs import Absence, KernelFs

NAME = "memory.events"


@dataclass
class EventWatch:
    """Keeps files and what they said; `close` gives the files back."""

    fs: KernelFs
    _files: HeldTexts = field(init=False)
    _before: dict[ContainerId, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._files = HeldTexts(self.fs, NAME)

    def changed(self, containers: Mapping[ContainerId, Container]) -> frozenset[ContainerId]:
        """Whose events are others than they were; whoever is asked for the first time is not among them."""
        self._files.keep(containers)
        before, self._before = self._before, {}
        for key, container in containers.items():
            text = self._files.text(container)
            if not isinstance(text, Absence):
                self._before[key] = text
        return frozenset(key for key, text in self._before.items() if before.get(key, text) != text)

    def close(self) -> None:
        """Give all files back."""
        self._files.close()
