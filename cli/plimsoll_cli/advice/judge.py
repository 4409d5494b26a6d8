"""What the pipeline says about subjects: the operator's own `History` and `LimitPipeline`, asked once.

In: subjects with their past, a quantity, settings, a `now`. Out: one `Advice` a subject. How much memory is
the pipeline's word alone; here it gets a severity and a sentence for a person.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from plimsoll.guard.limits import LimitReason
from plimsoll.guard.proposal import whole_mebibytes
from plimsoll.pipeline import LimitPipeline, PipelineSettings
from plimsoll.recommend.recommendation import IntArray, Recommendations
from plimsoll.usage.checkpoint import CheckpointError
from plimsoll.usage.history import History
from plimsoll.usage.promises import NO_PROMISE
from plimsoll.usage.sample import Float32Array, Quantity
from plimsoll_cli.advice.subject import Subject
from plimsoll_cli.amounts import short

CHUNK = 512  # subjects whose samples are in memory as columns together
LIKELY = 0.95  # a limit below this quantile of the next hour's peak is critical
HOURS_PER_DAY = 24
Report = Callable[[int, int], None]


class Severity(StrEnum):
    """How much a row deserves a person's eye."""

    CRITICAL = "critical"  # likely to be killed within the horizon
    WARNING = "warning"  # the limit is too low, or there is none
    EXCESS = "excess"  # the limit is higher than it need be
    OK = "ok"
    UNSET = "unset"  # a recording, whose limit nobody wrote down
    UNKNOWN = "unknown"  # not enough data


@dataclass(frozen=True, slots=True)
class Seen:
    """What the history holds of a subject; None: nothing."""

    usage_bytes: int | None  # newest sample
    day_bytes: int | None  # peak of the last 24 hours
    peak_bytes: int | None  # of all the history that was given
    hours: int  # with samples
    ooms: int
    # [hours] maxima, oldest first, the last of the hour that runs; NaN: not seen
    hourly_bytes: Float32Array = field(
        default_factory=lambda: np.empty(0, dtype=np.float32), repr=False, compare=False
    )


@dataclass(frozen=True, slots=True)
class Advice:
    """What is recommended for one subject; None where there is not enough data."""

    subject: Subject
    severity: Severity
    why: str
    seen: Seen
    limit_bytes: int | None = None  # recommended
    request_bytes: int | None = None
    lower_bytes: int | None = None
    upper_bytes: int | None = None
    buffer_bytes: int | None = None
    quantiles: tuple[tuple[float, int], ...] = ()
    # promised: that the next hour exceeds the limit that stands (the recommended one, or one in its band)
    exceeding: float | None = None

    @property
    def change_bytes(self) -> int | None:
        """Recommended limit minus the one in force; None where either is not known."""
        if self.limit_bytes is None or self.subject.limit_bytes is None:
            return None
        return self.limit_bytes - self.subject.limit_bytes

    @property
    def slack_saved_bytes(self) -> int | None:
        """Unused limit that all pods together would give back; negative where limits must rise."""
        return None if self.change_bytes is None else -self.change_bytes * max(len(self.subject.pods), 1)


def advise(
    subjects: Sequence[Subject],
    settings: PipelineSettings,
    now_seconds: float,
    report: Report = lambda _done, _total: None,
) -> list[Advice]:
    """Ask the pipeline about every subject; what is measured differently goes into different histories."""
    advice: dict[int, Advice] = {}
    for quantity in Quantity:
        mine = [place for place, each in enumerate(subjects) if each.quantity is quantity]
        for start in range(0, len(mine), CHUNK):
            places = mine[start : start + CHUNK]
            hearing = _Hearing([subjects[place] for place in places], quantity, settings, now_seconds)
            advice |= zip(places, hearing.advice(), strict=True)
            report(len(advice), len(subjects))
    return [advice[place] for place in range(len(subjects))]


class _Hearing:
    """One chunk of subjects before the pipeline."""

    def __init__(
        self, subjects: Sequence[Subject], quantity: Quantity, settings: PipelineSettings, now_seconds: float
    ) -> None:
        self._subjects = subjects
        self._now_seconds = now_seconds
        self._settings = settings
        self._history = History(quantity, max(len(subjects), 1))
        self._rows: IntArray = self._history.add_rows(len(subjects))
        self._pipeline = LimitPipeline(self._history, settings)
        self._notes = [self._feed(row, each) for row, each in zip(self._rows, subjects, strict=True)]

    def _feed(self, row: int, subject: Subject) -> str:
        """Give a subject's past to the history; return what could not be taken in."""
        self._history.advance(self._now_seconds)
        note = ""
        if subject.checkpoint:
            try:
                self._history.restore(int(row), subject.checkpoint)
            except CheckpointError as error:
                note = f"the history kept in its MemoryProfile cannot be used: {error}"
        past = subject.past
        self._history.append(np.full(len(past.seconds), row), past.seconds, past.bytes_, self._now_seconds)
        if len(past.oom_seconds):
            rows = np.full(len(past.oom_seconds), row)
            self._history.record_oom(rows, past.oom_seconds, past.oom_limit_bytes)
        return note

    def advice(self) -> Iterator[Advice]:
        limits = np.array(
            [math.nan if each.limit_bytes is None else each.limit_bytes for each in self._subjects],
            dtype=np.float64,
        )
        self._pipeline.observe_limits(self._rows, limits)
        raises = self._pipeline.react(self._rows, self._now_seconds)
        urgent = {
            row: (limit, LimitReason(code).label)
            for row, limit, code in zip(
                raises.rows.tolist(), raises.limit_bytes.tolist(), raises.reason.tolist(), strict=True
            )
        }
        made = self._pipeline.decide(self._rows, self._now_seconds)
        for place, row in enumerate(self._rows.tolist()):
            if made.ready[place]:
                yield self._ready(place, row, made)
            else:
                yield self._unready(place, row, urgent.get(row))

    def _ready(self, place: int, row: int, made: Recommendations) -> Advice:
        subject = self._subjects[place]
        lower, upper = _whole(made.lower_bytes[place]), _whole(made.upper_bytes[place])
        levels = zip(made.quantile_levels.tolist(), made.quantile_bytes[place].tolist(), strict=True)
        quantiles = tuple((level, math.ceil(value)) for level, value in levels)
        likely = next((value for level, value in quantiles if level >= LIKELY), 0)
        severity, why = _judged(subject, lower or 0, upper or 0, likely)
        limit = whole_mebibytes(made.target_bytes[place])
        return Advice(
            subject,
            severity,
            why,
            self._seen(row),
            limit_bytes=limit,
            request_bytes=min(whole_mebibytes(made.request_bytes[place]), limit),
            lower_bytes=lower,
            upper_bytes=upper,
            buffer_bytes=_whole(made.buffer_bytes[place]),
            quantiles=quantiles,
            exceeding=self._promised(row),
        )

    def _promised(self, row: int) -> float | None:
        open_ = self._history.promises.open(np.array([row]))
        return float(open_.chance[0]) if open_.bin[0] != NO_PROMISE else None

    def _unready(self, place: int, row: int, urgent: tuple[float, str] | None) -> Advice:
        subject, seen = self._subjects[place], self._seen(row)
        if urgent is not None:  # one sample is enough to see a limit that is nearly reached
            why = f"uses {short(seen.usage_bytes)} of {short(subject.limit_bytes)} now ({urgent[1]})"
            raised = whole_mebibytes(urgent[0])
            return Advice(subject, Severity.CRITICAL, why, seen, limit_bytes=raised)
        return Advice(subject, Severity.UNKNOWN, self._lack(place, seen), seen)

    def _lack(self, place: int, seen: Seen) -> str:
        subject = self._subjects[place]
        why = subject.problem or self._notes[place] or self._short(seen)
        return f"not enough data: {why}"

    def _short(self, seen: Seen) -> str:
        least = self._settings.least_history_hours
        if seen.hours > least:
            return "no sample within the last hour"
        return f"{seen.hours} h of history, more than {least} h are needed" if seen.hours else "no sample"

    def _seen(self, row: int) -> Seen:
        hourly = self._history.hourly(row)[0]
        return Seen(
            usage_bytes=_whole(np.fmax.reduce(self._history.five_minute(row, 2)[0])),
            day_bytes=_whole(np.fmax.reduce(hourly[-HOURS_PER_DAY:])),
            peak_bytes=_whole(np.fmax.reduce(hourly)),
            hours=int(np.count_nonzero(np.isfinite(hourly))),
            ooms=int(self._history.ooms(row).count[0]),
            hourly_bytes=hourly,
        )


def _judged(subject: Subject, lower: int, upper: int, likely: int) -> tuple[Severity, str]:
    """Return severity and words for a limit against the band and the peak that is likely to come."""
    limit = subject.limit_bytes
    if limit is None and not subject.pods:
        return Severity.UNSET, f"{LIKELY:.0%} of the next hour's peaks stay below {short(likely)}"
    if limit is None:
        return Severity.WARNING, "no limit is set: a leak takes the kube node's memory"
    if limit < likely:
        return Severity.CRITICAL, f"the next hour's peak exceeds it with more than {1 - LIKELY:.0%} chance"
    if limit < lower:
        return Severity.WARNING, f"below {short(lower)}: not worth its risk"
    if limit > upper:
        return Severity.EXCESS, f"above {short(upper)}: not worth its slack"
    return Severity.OK, f"within {short(lower)}..{short(upper)}: a change gains too little"


def _whole(value: float | np.floating) -> int | None:
    return math.ceil(value) if math.isfinite(value) else None
