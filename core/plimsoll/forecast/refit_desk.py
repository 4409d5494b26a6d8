"""When the forecast is refitted to a cluster's own hours, and what becomes of the answer.

In: a book of lessons, `now`. Out: at most one task a day, and the model `auto` that goes on with own
weights from the moment on at which an answer brings some that passed the guard, and with the shipped ones
from the moment on at which the newest lessons no longer say so. Who works tasks off, and where weights are
kept over a restart, is the caller's business. `hazard` pins the shipped weights.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from plimsoll.forecast.hazard import FittedHazard, HazardPeak
from plimsoll.forecast.own import OwnWeights, RefitAnswer, RefitTask
from plimsoll.forecast.protocol import Memoryless
from plimsoll.forecast.window import UsageWindow
from plimsoll.recommend.lessons import LessonBook

REFIT_SECONDS = 86_400.0
LEAST_LESSONS = 2000  # about two days of a fleet of fifty containers
_UNKNOWN = math.nan


@dataclass
class OwnPeak(Memoryless):
    """The shipped networks, with own last layers where there are such."""

    current: HazardPeak = field(default_factory=HazardPeak)
    name: str = "hazard"

    def fit(self, window: UsageWindow) -> FittedHazard:
        """As `hazard`."""
        return self.current.fit(window)


class RefitDesk:
    """Refits for the rows of one history."""

    def __init__(self, book: LessonBook) -> None:
        self.book = book
        self.model = OwnPeak()
        self.own: OwnWeights | None = None
        self.verdict = ""  # of the last refit, in words
        self._asked_seconds = _UNKNOWN
        self._ticket: int | None = None
        self._tickets = 0

    def use(self, own: OwnWeights | None) -> None:
        """Forecast with these from now on; None: with what ships. ValueError: made for other networks."""
        self.model.current = HazardPeak() if own is None else HazardPeak(own.networks())
        self.own = own

    def due(self, now_seconds: float, most: int) -> Iterator[RefitTask]:
        """A task, once a day."""
        waited = now_seconds - self._asked_seconds
        # A clock that was set back makes it due at once.
        early = 0 <= waited < REFIT_SECONDS
        if most < 1 or self._ticket is not None or early or len(self.book) < LEAST_LESSONS:
            return
        self._asked_seconds = now_seconds
        self._tickets += 1
        self._ticket = self._tickets
        yield RefitTask(self._ticket, self.book.lessons())

    def take(self, answer: RefitAnswer) -> None:
        """An answer came in. A refit that failed changes nothing; one that lost brings back what ships."""
        if answer.ticket != self._ticket:
            return
        self._ticket = None
        if answer.failure:
            self.verdict = f"the refit failed: {answer.failure}"
            return
        self.verdict = answer.verdict
        try:
            self.use(None if answer.own is None else replace(answer.own, made_seconds=self._asked_seconds))
        except ValueError as error:
            self.verdict = str(error)

    def count(self) -> dict[str, int]:
        """Rows by state: refits are not about rows."""
        return {}
