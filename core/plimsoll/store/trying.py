"""A node's own look at what it was given: against what ships, and candidate against current, live.

In: models given (`letters.Given`), and for each outcome a loss by vector. Out: which model to use: the given
one, until it is shown to be worse here than what ships (then what ships, and this one is not taken up again);
and what candidate and current have lost since it was last told, for the fleet's trial. Method: the same bets
as the fleet's trial (`canary.Trial`), so that looking after every outcome costs no certainty.
"""

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, field

from plimsoll.pages.survival import FloatArray
from plimsoll.store.canary import ALPHA, Trial
from plimsoll.store.letters import Given, Judged

Loss = Callable[[FloatArray], float]
"""What a vector would have lost on one outcome, at least 0."""


@dataclass(slots=True)
class Tried:
    """One shared model on one node. `ships` is the vector that every node has without any fleet."""

    ships: FloatArray
    given: Given | None = None
    checksum: str = ""  # of what was given, refused or not
    refused: set[str] = field(default_factory=set)  # names of vectors
    guard: Trial = field(default_factory=Trial)
    _candidate: float = 0.0
    _current: float = 0.0
    _outcomes: int = 0
    _sequence: int = 0  # of the last judgement; by the clock, so that it grows over restarts too

    def take(self, given: Given | None, checksum: str) -> bool:
        """Something newer was given (None: what ships); True where another vector is used now."""
        before = self.in_use
        if given is None or self.given is None or given.generation != self.given.generation:
            self.told()
        if given is None or self.given is None or bool((given.use != self.given.use).any()):
            self.guard = Trial()
        self.given, self.checksum = given, checksum
        return not same(before, self.in_use)

    @property
    def in_use(self) -> FloatArray | None:
        """The fleet's vector; None: what ships, or what was learned here."""
        return None if self.given is None or _name(self.given.use) in self.refused else self.given.use

    @property
    def on_trial(self) -> bool:
        """True where two models are to be compared."""
        return self.given is not None and self.given.rival is not None

    @property
    def wanted(self) -> bool:
        """True where outcomes still tell something."""
        return self.on_trial or (self.in_use is not None and self.guard.sound < -math.log(ALPHA))

    def judge(self, loss: Loss) -> bool:
        """An outcome; True where the given model has just been refused for being worse than what ships."""
        if not self.wanted or self.given is None:
            return False
        given = loss(self.given.use)
        if self.given.rival is not None:
            rival = loss(self.given.rival)
            candidate, current = (given, rival) if self.given.on_trial else (rival, given)
            self._candidate += candidate
            self._current += current
            self._outcomes += 1
        if self.in_use is None:
            return False
        self.guard = self.guard.after(given, loss(self.ships))
        if self.guard.worse < -math.log(ALPHA):
            return False
        self.refused.add(_name(self.given.use))
        return True

    def to_tell(self, now_seconds: float) -> Judged | None:
        """What the fleet's trial is to hear; None for nothing. `told` says that it is on its way."""
        if not self._outcomes or self.given is None:
            return None
        means = self._candidate / self._outcomes, self._current / self._outcomes
        if not all(map(math.isfinite, means)):
            self.told()
            return None
        self._sequence = max(self._sequence + 1, int(now_seconds * 1000.0))
        return Judged(self.given.generation, *means, self._sequence)

    def told(self) -> None:
        """What comes from now on is another judgement."""
        self._candidate = self._current = 0.0
        self._outcomes = 0


def _name(vector: FloatArray) -> str:
    return hashlib.sha256(vector.tobytes()).hexdigest()[:16]


def same(one: FloatArray | None, other: FloatArray | None) -> bool:
    """Whether both are the same vector, or none."""
    if one is None or other is None:
        return one is other
    return bool((one == other).all())
