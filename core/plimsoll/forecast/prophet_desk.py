"""Which rows are to be fitted when, and what becomes of the answers: the part of Prophet that knows time.

In: a history, the rows whose policy asks for the model, `now`. Out: tasks that are due, at most one every
six hours a row, and a book of answers that the pipeline looks rows up in. A row without two weeks of seen
hours or without a season gets no task, and the desk says why. Who fits the tasks is the caller's business.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from plimsoll.forecast.prophet import FIT_FAILED, PROPHET, AnswerBook, FitAnswer, FitTask
from plimsoll.forecast.seasonality import season
from plimsoll.forecast.window import HISTORY_HOURS, HOURS_PER_DAY, HOURS_PER_WEEK, FloatArray
from plimsoll.recommend.row_policy import RowPolicy
from plimsoll.usage.history import History
from plimsoll.usage.sample import HOUR_SECONDS

REFIT_SECONDS = 6 * 3600.0
LEAST_SEEN_HOURS = 14 * HOURS_PER_DAY
# Share of the variance that other days or weeks must foretell; noise scores below zero.
LEAST_STRENGTH = 0.2
# A season that moves usage by less needs no model.
LEAST_SWING = 0.03
# Rows whose histories are looked at together, and in one call: many that become due at once must not hold it.
LOOK_ROWS = 256
LOOK_AT_MOST = 1024

TOO_SHORT = "fewer than 14 days of hours were seen; auto stands in"
NO_SEASON = "no daily or weekly season was found; auto stands in"
WAITING = "the first fit is not done; auto stands in"
_WORDS = {"": "Fitted", WAITING: "Waiting", TOO_SHORT: "TooShort", NO_SEASON: "NoSeason"}


@dataclass(frozen=True, slots=True)
class DeskRow:
    """What the desk knows of a row."""

    holidays: tuple[str, ...]
    history_hours: int
    asked_seconds: float | None = None  # when it was last looked at
    ticket: int | None = None  # of the task that is out
    state: str = WAITING  # why there is no answer; "": there is one
    remarks: tuple[str, ...] = ()


class ProphetDesk:
    """The rows of one history whose policy names the model."""

    def __init__(self, history: History, refusal: str = "", refit_seconds: float = REFIT_SECONDS) -> None:
        """`refusal`: why nothing can be fitted here at all; "": it can."""
        self.book = AnswerBook()
        self.refusal = refusal
        self._history = history
        self._refit_seconds = refit_seconds
        self._rows: dict[int, DeskRow] = {}
        self._row_of: dict[int, int] = {}  # by ticket
        self._tickets = 0

    def __len__(self) -> int:
        """Rows that ask for the model."""
        return len(self._rows)

    def tell(self, row: int, policy: RowPolicy) -> None:
        """What the row's policy says now."""
        if policy.model == PROPHET:
            self.want(row, policy.holidays, policy.history_hours)
        else:
            self.forget(row)

    def want(self, row: int, holidays: tuple[str, ...] = (), history_hours: int = HISTORY_HOURS) -> None:
        """The row's policy names the model; other holidays or another history make it due anew."""
        known = self._rows.get(row)
        if known is None or (known.holidays, known.history_hours) != (holidays, history_hours):
            self.forget(row)
            self._rows[row] = DeskRow(holidays, history_hours, state=self.refusal or WAITING)

    def forget(self, row: int) -> None:
        """The row was freed, or asks for another model: an answer that is still out will be dropped."""
        known = self._rows.pop(row, None)
        if known is not None:
            self._row_of.pop(known.ticket or 0, None)
            self.book.drop(row)

    def state(self, row: int) -> DeskRow | None:
        """What is known of a row; None: it does not ask for the model."""
        return self._rows.get(row)

    def count(self) -> dict[str, int]:
        """Rows by state, in one word each."""
        counts: Counter[str] = Counter(_WORDS.get(known.state, "Failed") for known in self._rows.values())
        if self.refusal:
            counts = Counter({"Unavailable": len(self._rows)} if self._rows else {})
        return dict(counts)

    def due(self, now_seconds: float, most: int) -> Iterator[FitTask]:
        """At most `most` tasks: rows that waited longest first."""
        self.book.now_seconds = now_seconds
        if self.refusal:
            return
        waiting = [row for row, known in self._rows.items() if self._is_due(known, now_seconds)]
        waiting.sort(key=lambda row: self._rows[row].asked_seconds or 0.0)
        given = 0
        for start in range(0, min(len(waiting), LOOK_AT_MOST), LOOK_ROWS):
            looked = waiting[start : start + LOOK_ROWS]
            for row, past, state in zip(looked, *self._look(looked), strict=True):
                if given >= most:
                    return
                known = self._rows[row]
                self._rows[row] = replace(known, asked_seconds=now_seconds, state=state or known.state)
                if not state:
                    given += 1
                    yield self._task(row, past, now_seconds)

    def take(self, answer: FitAnswer) -> None:
        """An answer came in; one that nobody waits for any longer is dropped."""
        row = self._row_of.pop(answer.ticket, None)
        if row is None:
            return
        if answer.failure:
            state = f"{FIT_FAILED}: {answer.failure}; auto stands in"
            self._rows[row] = replace(self._rows[row], ticket=None, state=state)
            return
        self.book.put(row, answer)
        self._rows[row] = replace(self._rows[row], ticket=None, state="", remarks=answer.remarks)

    def _is_due(self, known: DeskRow, now_seconds: float) -> bool:
        if known.asked_seconds is None:
            return True
        # A clock that was set back makes a row due at once: its answer is not of this time.
        waited = now_seconds - known.asked_seconds
        return known.ticket is None and not 0 <= waited < self._refit_seconds

    def _look(self, rows: list[int]) -> tuple[FloatArray, list[str]]:
        """The whole hours [n, t] that may be looked at, and for each row why it is not fitted ("": it is)."""
        hourly = self._history.hourly(np.array(rows), HISTORY_HOURS).astype(np.float64)[:, :-1]
        reach = np.array([self._rows[row].history_hours for row in rows])
        hours_ago = np.arange(hourly.shape[1], 0, -1)
        hourly = np.where(hours_ago <= reach[:, None], hourly, np.nan)
        return hourly, _refusals(hourly)

    def _task(self, row: int, past: FloatArray, now_seconds: float) -> FitTask:
        self._tickets += 1
        self._row_of[self._tickets] = row
        self._rows[row] = replace(self._rows[row], ticket=self._tickets)
        last_hour = int(now_seconds // HOUR_SECONDS) - 1
        return FitTask(self._tickets, last_hour, past.astype(np.float32), self._rows[row].holidays)


def worth_fitting(hourly_bytes: FloatArray) -> list[bool]:
    """[n] rows with enough history and a season to learn, from `hourly_bytes` [n, t] (oldest first)."""
    return [not why for why in _refusals(hourly_bytes)]


def _refusals(hourly: FloatArray) -> list[str]:
    """Why each row [n] is not fitted; "": it is."""
    seen = np.isfinite(hourly).sum(axis=1)
    seasonal = np.zeros(len(hourly), dtype=np.bool_)
    for period in (HOURS_PER_DAY, HOURS_PER_WEEK):
        found = season(hourly, period)
        seasonal |= (found.strength >= LEAST_STRENGTH) & (found.swing >= LEAST_SWING)
    why = np.where(seen < LEAST_SEEN_HOURS, TOO_SHORT, np.where(seasonal, "", NO_SEASON))
    return [str(each) for each in why]
