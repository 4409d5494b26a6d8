"""The model `prophet`: peaks that were drawn elsewhere, looked up by row; `auto` where there is no answer.

In: a usage window that knows its rows, and a book of answers. Out: the distribution of the peak. Fitting
takes tenths of a second a row, so it is done outside (`FitTask` in, `FitAnswer` out: worker processes in
the operator, on the spot in a replay), never while a decision waits. Nothing here imports the package.
Method: Taylor and Letham, "Forecasting at scale", 2018; its uncertainty samples become quantiles of the peak
(`peak_samples`).
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from plimsoll.forecast.peak_samples import peak_quantiles
from plimsoll.forecast.protocol import LEVELS, FittedPeak, Hindcast, Memoryless, PeakDistribution, PeakModel
from plimsoll.forecast.window import Float32Array, FloatArray, UsageWindow
from plimsoll.usage.sample import HOUR_SECONDS

PROPHET = "prophet"  # its name in the registry
FIT_FAILED = "the fit failed"  # how the reason of a stand-in begins where it did
AHEAD_HOURS = 36
# Absolute hours that a horizon may touch: one that starts within an hour of its own touches two.
SPANS = (1, 2)
SAMPLES = 1000
# Values above so many times the 99 % quantile are cut for the fit: one unit mistake in the history must not
# drown the season. Past peaks hold the limit up by themselves (`pipeline`).
SPIKE_FACTOR = 3.0
# Hours below this share of the median count as this share: nothing, in logs, would be the largest of values.
LEAST_SHARE = 0.01
# A future of more than e^5 times the median is the fit's mistake.
MOST_LOG = 5.0
# An error of one hour moves the next one by a factor of e at most: beyond that it is another world.
MOST_SHIFT = 1.0
# Errors beyond a level that weigh as much as the drawn futures: few, for their noise is a bell, usage's not.
OWN_STRENGTH = 3.0
# Fewer errors than this say nothing about how long one lasts.
LEAST_ERRORS = 48
# An answer is used for so long; its own horizon ends later.
FRESH_HOURS = 12


@dataclass(frozen=True, slots=True)
class FitTask:
    """One row's past, to be fitted by whoever can. Small enough for a pipe: 3 KB."""

    ticket: int
    last_hour: int  # absolute hour (Unix seconds / 3600) of the last value
    hourly_bytes: Float32Array  # [t] whole hours, oldest first; NaN where nothing was seen
    holidays: tuple[str, ...] = ()  # country codes (CH, DE-BY) and dates (2026-12-24); days are UTC's
    ahead_hours: int = AHEAD_HOURS
    samples: int = SAMPLES

    def seen(self) -> tuple[npt.NDArray[np.int64], FloatArray, float]:
        """Absolute hours [m] with a value, their logs [m] in units of the scale, and the scale in bytes.

        In logs a busy day of the week is a factor, as usage has it, and no future is below nothing.
        """
        values = self.hourly_bytes.astype(np.float64)
        known = np.flatnonzero(np.isfinite(values))
        scale = max(float(np.median(values[known])), 1.0) if len(known) else 1.0
        ceiling = SPIKE_FACTOR * float(np.quantile(values[known], 0.99)) if len(known) else 0.0
        least = LEAST_SHARE * scale
        hours = self.last_hour - len(values) + 1 + known
        return hours, np.log(np.maximum(np.minimum(values[known], ceiling), least) / scale), scale

    def coming_hours(self) -> npt.NDArray[np.int64]:
        """Absolute hours to draw: the one after the last, and on until every span fits."""
        return self.last_hour + 1 + np.arange(self.ahead_hours + max(SPANS) - 1, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class FitAnswer:
    """What came of a task. `failure` says why there is no answer; `remarks` what could not be honoured."""

    ticket: int
    first_hour: int = 0  # absolute hour that `values_bytes` begins with
    values_bytes: Float32Array = field(default_factory=lambda: np.empty((0, 0, 0), dtype=np.float32))
    log_error: Float32Array = field(default_factory=lambda: np.empty(0, dtype=np.float32))
    seconds: float = 0.0  # wall time of the fit
    remarks: tuple[str, ...] = ()
    failure: str = ""

    @property
    def last_hour(self) -> int:
        """The last absolute hour that a horizon may start in."""
        return self.first_hour + len(self.values_bytes) - 1


# Fits one task; failures are answers too.
PeakFitter = Callable[[FitTask], FitAnswer]


def answer_of(
    task: FitTask, fitted: FloatArray, samples: FloatArray, remarks: tuple[str, ...] = ()
) -> FitAnswer:
    """The answer to `task` from the model's word on the seen hours [m] and its futures [samples, hours].

    Both are logs in units of the scale, as `FitTask.seen` gave them. `log_error` are the model's own
    residuals.
    """
    _, logs, scale = task.seen()
    if not (np.isfinite(samples).all() and np.isfinite(fitted).all()):
        return FitAnswer(task.ticket, failure="the fit gave values that are no numbers")
    drawn = np.exp(np.minimum(samples, MOST_LOG)) * scale
    return FitAnswer(
        ticket=task.ticket,
        first_hour=task.last_hour + 1,
        values_bytes=peak_quantiles(drawn, SPANS, LEVELS).astype(np.float32),
        log_error=(logs - fitted).astype(np.float32),
        remarks=remarks,
    )


class AnswerBook:
    """The newest answer of each row, and what time it is; its owner tells both."""

    def __init__(self) -> None:
        self.now_seconds = 0.0
        self._answers: dict[int, FitAnswer] = {}

    def put(self, row: int, answer: FitAnswer) -> None:
        """Keep the answer for a row of the history."""
        self._answers[row] = answer

    def drop(self, row: int) -> None:
        """The row was freed, or its policy wants another model."""
        self._answers.pop(row, None)

    def fresh(self, row: int) -> FitAnswer | None:
        """The row's answer, where it speaks of the present hour and is not old."""
        answer = self._answers.get(row)
        if answer is None:
            return None
        age = int(self.now_seconds // HOUR_SECONDS) - answer.first_hour
        return answer if 0 <= age < min(FRESH_HOURS, len(answer.values_bytes)) else None


@dataclass(frozen=True)
class ProphetPeak(Memoryless):
    """Answers of the book where they are fresh, else what `stand_in` says."""

    stand_in: PeakModel
    book: AnswerBook = field(default_factory=AnswerBook)
    name: str = PROPHET

    def fit(self, window: UsageWindow) -> FittedPeak:
        """Look the rows up; without any answer this is the stand-in itself."""
        rows = [] if window.rows is None else window.rows.tolist()
        found = [self.book.fresh(row) for row in rows]
        answered = np.array([place for place, each in enumerate(found) if each is not None], dtype=np.intp)
        if not len(answered):
            return self.stand_in.fit(window)
        # A row that nothing was seen of lately stays unknown, whatever was foretold of it.
        known = self.stand_in.fit(window)
        answers = tuple(each for each in found if each)
        lasts = window.hourly_bytes[answered, -2]
        shifts = np.array([self._shift(*each) for each in zip(answers, lasts.tolist(), strict=True)])
        return FittedProphet(known, answered, answers, shifts, self.book.now_seconds)

    def _shift(self, answer: FitAnswer, last_bytes: float) -> float:
        """How far (in logs) the coming hour will be off, by how far the last one was."""
        place = int(self.book.now_seconds // HOUR_SECONDS) - 1 - answer.first_hour
        off = float(answer.log_error[-1]) if len(answer.log_error) else 0.0
        if place >= 0 and np.isfinite(last_bytes):
            said = float(answer.values_bytes[place, 0, 0])
            off = float(np.log(max(last_bytes, 1.0)) - np.log(max(said, 1.0)))
        return persistence(answer.log_error.astype(np.float64)) * float(np.clip(off, -MOST_SHIFT, MOST_SHIFT))


def persistence(log_error: FloatArray) -> float:
    """Share of an hour's error that the next one still has, 0 to 1: errors of a level that moved stay."""
    if len(log_error) < LEAST_ERRORS:
        return 0.0
    before, after = log_error[:-1], log_error[1:]
    power = float(before @ before)
    return float(np.clip(before @ after / power, 0.0, 1.0)) if power > 0 else 0.0


@dataclass(frozen=True, slots=True)
class FittedProphet:
    """The stand-in's word on all rows, and the answers that stand before it."""

    stand_in: FittedPeak
    places: npt.NDArray[np.intp]  # [m] rows of the window that have an answer
    answers: tuple[FitAnswer, ...]  # m
    log_shift: FloatArray  # [m] by which an answer is raised, or lowered, for what came since
    now_seconds: float

    def predict(self, horizon_seconds: float, levels: FloatArray) -> PeakDistribution:
        """Quantiles of the peak from now on; horizons of more hours than were drawn are the stand-in's."""
        said = self.stand_in.predict(horizon_seconds, levels)
        span = self._hours(horizon_seconds)
        if span > max(SPANS):
            return said
        values = said.values_bytes.copy()
        for place, answer, shift in zip(self.places, self.answers, self.log_shift, strict=True):
            if np.isfinite(values[place]).all():
                values[place] = np.exp(shift) * _at_levels(self._row(answer, span), levels)
        return PeakDistribution(levels, values)

    def hindcast(self) -> Hindcast:
        """The residuals of each row's own fit, less what the one before foretold of each."""
        base = self.stand_in.hindcast()
        width = max(base.log_error.shape[1], *(len(each.log_error) for each in self.answers))
        errors = np.full((len(base.log_error), width), np.nan)
        errors[:, width - base.log_error.shape[1] :] = base.log_error
        points = base.point_bytes.copy()
        strength = np.broadcast_to(base.prior_strength, (len(points), 1)).astype(np.float64)
        for place, answer, shift in zip(self.places, self.answers, self.log_shift, strict=True):
            points[place] = np.exp(shift) * self._row(answer, 1)[0]
            own = answer.log_error.astype(np.float64)
            errors[place] = np.nan
            errors[place, width - len(own) + 1 :] = own[1:] - persistence(own) * own[:-1]
            strength[place] = OWN_STRENGTH
        return Hindcast(points, errors, strength)

    def _hours(self, horizon_seconds: float) -> int:
        """Absolute hours that the horizon touches."""
        first = int(self.now_seconds // HOUR_SECONDS)
        return int(-(-(self.now_seconds + horizon_seconds) // HOUR_SECONDS)) - first

    def _row(self, answer: FitAnswer, span: int) -> FloatArray:
        hour = int(self.now_seconds // HOUR_SECONDS) - answer.first_hour
        return np.asarray(answer.values_bytes[hour, SPANS.index(span)], dtype=np.float64)


def _at_levels(values: FloatArray, levels: FloatArray) -> FloatArray:
    """Values at `LEVELS` read at other levels, along the logarithm of what is above."""
    if levels is LEVELS:
        return values
    return np.asarray(np.interp(-np.log1p(-levels), -np.log1p(-LEVELS), values), dtype=np.float64)
