"""Numbered messages that survive a broken stream: each is taken over once, in order, or is known to be lost.

In: bodies to say, numbers heard. Out: letters to send, verdicts on what came. The sender keeps a letter until
it is acknowledged; after a break it goes on from what the receiver says it has taken. Each letter names the
number it follows on this stream, so that a level given up by a full buffer is told apart from a loss. What
speaks of a moment is given up once it has waited longer than that lasts: said late, it would be a lie.
Method: go-back-N, with declared gaps.
"""

import math
from collections import OrderedDict
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from plimsoll.coordinate.versions import ProtocolError

Body = TypeVar("Body")


@dataclass(frozen=True, slots=True)
class Letter(Generic[Body]):
    """One numbered message."""

    number: int
    follows: int
    body: Body


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many letters a buffer holds. Too few: more is given up, or refused, in a short absence."""

    most_kept: int = 256
    most_levels: int = 120  # two minutes of samples at one a second


class Outbox(Generic[Body]):
    """What is to be said, until the other side has acknowledged it."""

    def __init__(self, bounds: Bounds, first_number: int = 1) -> None:
        self._bounds = bounds
        self._held: OrderedDict[int, tuple[Body, bool]] = OrderedDict()
        # Of letters that speak of a moment: until when they may be said, seconds by the caller's clock.
        self._until: dict[int, float] = {}
        self._levels = 0
        self._next = first_number
        self._previous = first_number - 1  # the last number said on this stream
        self.acknowledged = first_number - 1
        self.dropped_total = 0
        self.refused_total = 0

    def __len__(self) -> int:
        return len(self._held)

    @property
    def held(self) -> tuple[Body, ...]:
        """What has not been acknowledged, the oldest first."""
        return tuple(body for body, _ in self._held.values())

    def offer(
        self, body: Body, *, level: bool, lasts_seconds: float = math.inf, now_seconds: float = 0.0
    ) -> bool:
        """Take a body in. A level pushes the oldest level out; anything else is refused by a full buffer.

        `lasts_seconds`: how long it may wait to be said, by the clock of `now_seconds`.
        """
        self._give_up_late(now_seconds)
        if level and self._levels >= self._bounds.most_levels:
            self._give_up_oldest_level()
        elif not level and len(self._held) - self._levels >= self._bounds.most_kept:
            self.refused_total += 1
            return False
        self._held[self._next] = (body, level)
        if lasts_seconds < math.inf:
            self._until[self._next] = now_seconds + lasts_seconds
        self._levels += level
        self._next += 1
        return True

    def next(self, now_seconds: float = 0.0) -> Letter[Body] | None:
        """The next letter to send on this stream; None where all is said."""
        self._give_up_late(now_seconds)
        number = next((each for each in self._ahead() if each > self._previous), None)
        if number is None:
            return None
        letter = Letter(number, self._previous, self._held[number][0])
        self._previous = number
        return letter

    def give_up(self, letter: Letter[Body]) -> None:
        """The letter that `next` gave cannot be said at all: it leaves a gap as any that was given up."""
        _, level = self._held.pop(letter.number, (None, False))
        self._until.pop(letter.number, None)
        self._levels -= level
        self._previous = min(self._previous, letter.follows)
        self.dropped_total += 1

    def clear(self) -> None:
        """Nothing of what is held is true any more: it leaves a gap as any that was given up."""
        self.dropped_total += len(self._held)
        self._held.clear()
        self._until.clear()
        self._levels = 0

    def acknowledge(self, number: int) -> None:
        """Everything up to `number` has been taken over. Raises ProtocolError for what was never said."""
        if number > self._previous:
            raise ProtocolError(f"number {number} is acknowledged, and {self._previous} was the last said")
        self._forget(number)

    def resume(self, taken: int) -> None:
        """A new stream: say again what comes after `taken`. Raises ProtocolError for a number never given."""
        if taken >= self._next:
            raise ProtocolError(f"number {taken} was taken, and {self._next - 1} is the last there is")
        self._forget(taken)
        self._previous = taken

    def _ahead(self) -> list[int]:
        """Numbers not said yet. What is waiting is few unless the other side is slow."""
        found: list[int] = []
        for number in reversed(self._held):
            if number <= self._previous:
                break
            found.append(number)
        found.reverse()
        return found

    def _forget(self, number: int) -> None:
        self.acknowledged = max(self.acknowledged, number)
        while self._held and (first := next(iter(self._held))) <= number:
            self._levels -= self._held.pop(first)[1]
            self._until.pop(first, None)

    def _give_up_late(self, now_seconds: float) -> None:
        """What is under way on this stream may still arrive in time, and stays."""
        late = [each for each, until in self._until.items() if each > self._previous and now_seconds >= until]
        for number in late:
            del self._until[number]
            self._levels -= self._held.pop(number)[1]
            self.dropped_total += 1

    def _give_up_oldest_level(self) -> None:
        oldest = next(number for number, (_, level) in self._held.items() if level)
        del self._held[oldest]
        self._until.pop(oldest, None)
        self._levels -= 1
        self.dropped_total += 1


class Heard(StrEnum):
    """What a number means to who has heard it."""

    NEW = "new"
    DUPLICATE = "duplicate"
    LOST = "lost"  # something between was lost: resume


class Inbox:
    """How far the other side's letters have been taken over."""

    def __init__(self, taken: int = 0) -> None:
        self.taken = taken
        self.duplicates_total = 0

    def take(self, number: int, follows: int) -> Heard:
        """Judge a letter; a NEW one counts as taken."""
        if number <= self.taken:
            self.duplicates_total += 1
            return Heard.DUPLICATE
        if not 0 <= follows <= self.taken:
            return Heard.LOST
        self.taken = number
        return Heard.NEW
