"""How much containers stall, asked every second: their PSI files are held open for that.

In: the containers under policies, the time. Out: the share of the time since the last question that each one
stalled; whoever cannot be told is left out. In the middle of an action one container is asked besides,
between two parts of it. A container that goes away gives its file back at the next question.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from plimsoll_nodeagent.control.held_texts import HeldTexts
from plimsoll_nodeagent.discover.tracker import Container, ContainerId
from plimsoll_nodeagent.kernelfs import Absence, KernelFs
from plimsoll_nodeagent.sample.formats import FormatError, parse_some_total

NAME = "memory.pressure"
LEAST_SECONDS = 1.0  # a bound is a share of time: of an instant, any stall at all would be above it


@dataclass
class StallWatch:
    """Keeps files and totals; `close` gives the files back."""

    fs: KernelFs
    monotonic: Callable[[], float] = time.monotonic
    _files: HeldTexts = field(init=False)
    _before: dict[ContainerId, tuple[float, float, str]] = field(default_factory=dict)
    _marks: dict[ContainerId, tuple[float, float]] = field(default_factory=dict)
    """Where `in_between` counts from: when, and the total by then."""

    def __post_init__(self) -> None:
        self._files = HeldTexts(self.fs, NAME)

    def since(
        self, containers: Mapping[ContainerId, Container], now_seconds: float
    ) -> dict[ContainerId, float]:
        """The share of time that each container stalled since it was last asked for."""
        self._forget(containers)
        began = self.monotonic()
        stalls: dict[ContainerId, float] = {}
        for key, container in containers.items():
            before = self._before.pop(key, None)
            text = self._text(container)
            if before is not None and text == before[2]:  # calm: most are, most of the time
                total: float | None = before[1]
            else:
                total = None if isinstance(text, Absence) else _some_total(text)
            if total is None or isinstance(text, Absence):
                continue
            self._before[key], self._marks[key] = (now_seconds, total, text), (began, total)
            if before is not None and now_seconds > before[0]:
                stalls[key] = (total - before[1]) / (now_seconds - before[0])
        return stalls

    def in_between(self, key: ContainerId, container: Container) -> float | None:
        """The share of the last second (or since it was last asked, if that is longer) that it stalled.

        None where that cannot be told. Asked for the first time it begins to count.
        """
        text = self._text(container)
        total = None if isinstance(text, Absence) else _some_total(text)
        if total is None:
            self._marks.pop(key, None)
            return None
        now = self.monotonic()
        since, before = self._marks.get(key, (now, total))
        elapsed = max(LEAST_SECONDS, now - since)
        self._marks[key] = (now, total) if now - since >= LEAST_SECONDS else (since, before)
        return (total - before) / elapsed if total >= before else None

    def surely_within(self, container: Container, bound_ratio: float) -> bool:
        """Whether it can be told that it stalls no more than so."""
        ratio = self.in_between(container.key, container)
        return ratio is not None and ratio <= bound_ratio

    def close(self) -> None:
        """Give all files back."""
        self._forget({})

    def _forget(self, containers: Mapping[ContainerId, Container]) -> None:
        self._files.keep(containers)
        self._before = {key: each for key, each in self._before.items() if key in containers}
        self._marks = {key: each for key, each in self._marks.items() if key in containers}

    def _text(self, container: Container) -> str | Absence:
        return self._files.text(container)


def _some_total(text: str) -> float | None:
    try:
        return parse_some_total(text)
    except FormatError:
        return None
