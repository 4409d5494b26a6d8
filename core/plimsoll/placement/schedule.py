"""When a CronJob starts, read as kube-controller-manager reads it.

In: `spec.schedule`, `spec.timeZone`, a stretch of time (Unix seconds). Out: the starts in it, ascending. What
cannot be read raises `ScheduleError`: nobody prepares for such a CronJob.

The dialect is that of robfig/cron v3's `ParseStandard`, which the controller uses: five fields or a word
(`@daily`); `N/step` runs to the end of its field, `?` is `*`, Sunday is 0 and never 7; a day must match both
day fields where one of them holds a star without a step, else either. `@every` counts from the last run,
which no schedule tells: refused. A wall-clock time that daylight saving skips has no start, one that it
repeats has two. Without a zone the controller's own counts: UTC, wherever it runs in a container. The tests
hold this against robfig/cron's own answers (`tests/golden/cron`).
"""

from dataclasses import dataclass
from datetime import datetime, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

SPAN_SECONDS = 900  # no zone's wall clock jumps within such a span of UTC: offsets are quarters of an hour
STEP_SECONDS = 60
KNOWN_SCHEDULES = 4096  # parsed ones that are kept

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
WORDS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


class ScheduleError(ValueError):
    """Text that is no schedule, or one that does not say when; a zone nobody knows."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """What a wall clock must show for a start."""

    minutes: tuple[int, ...]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]  # 0 is Sunday
    both: bool  # day and weekday must match, not one of them
    zone: tzinfo

    def starts(self, after_seconds: float, until_seconds: float) -> list[float]:
        """Starts later than `after_seconds` and not later than `until_seconds`, ascending."""
        found: list[float] = []
        span = int(after_seconds // SPAN_SECONDS) * SPAN_SECONDS
        while span <= until_seconds:
            local = datetime.fromtimestamp(span, self.zone)
            if local.hour in self.hours and self._on(local):
                first = local.minute
                within = (each - first for each in self.minutes if 0 <= each - first < SPAN_SECONDS // 60)
                found += [float(span + each * STEP_SECONDS) for each in within]
            span += SPAN_SECONDS
        return [each for each in found if after_seconds < each <= until_seconds]

    def _on(self, local: datetime) -> bool:
        if local.month not in self.months:
            return False
        day, weekday = local.day in self.days, local.isoweekday() % 7 in self.weekdays
        return day and weekday if self.both else day or weekday


@lru_cache(maxsize=KNOWN_SCHEDULES)
def parse_schedule(text: str, zone: str = "") -> Schedule:
    """Read a schedule. Raises `ScheduleError` with the sentence."""
    fields = WORDS.get(text, text).split()
    if len(fields) != 5:
        raise ScheduleError(f"{text!r} does not say when: five fields, or one of {', '.join(WORDS)}")
    minutes, _ = _field(fields[0], 0, 59)
    hours, _ = _field(fields[1], 0, 23)
    days, any_day = _field(fields[2], 1, 31)
    months, _ = _field(fields[3], 1, 12, MONTHS)
    weekdays, any_weekday = _field(fields[4], 0, 6, DAYS)
    both = any_day or any_weekday
    return Schedule(tuple(sorted(minutes)), hours, days, months, weekdays, both, _zone(zone))


def _field(text: str, least: int, most: int, names: tuple[str, ...] = ()) -> tuple[frozenset[int], bool]:
    """The values of one field, and whether it holds a star without a step."""
    values: set[int] = set()
    star = False
    for part in text.split(","):
        if part:  # robfig/cron drops empty ones
            first, last, step, all_ = _range(part, least, most, names)
            values.update(range(first, last + 1, step))
            star |= all_ and step == 1
    return frozenset(values), star


def _range(text: str, least: int, most: int, names: tuple[str, ...]) -> tuple[int, int, int, bool]:
    span, *steps = text.split("/")
    low, *high = span.split("-")
    if len(steps) > 1 or len(high) > 1:
        raise ScheduleError(f"{text!r} is no range")
    step = _number(steps[0]) if steps else 1
    all_ = low in ("*", "?")
    if all_:
        first, last = least, most
    else:
        first = _number(low, names, least)
        last = _number(high[0], names, least) if high else (most if steps else first)
    if not least <= first <= last <= most or step == 0:
        raise ScheduleError(f"{text!r} is not within {least}-{most}")
    return first, last, step, all_


def _number(text: str, names: tuple[str, ...] = (), least: int = 0) -> int:
    if text.lower() in names:
        return names.index(text.lower()) + least
    digits = text.removeprefix("+")
    if not (digits.isascii() and digits.isdigit()):
        raise ScheduleError(f"{text!r} is no number")
    return int(digits)


def _zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name or "UTC")
    except (KeyError, ValueError, OSError) as error:
        raise ScheduleError(f"{name!r} is no time zone") from error
