"""Update windows: when limits may change as a matter of routine. A raise after an OOM kill never waits.

In: text such as `Mon-Fri 22:00-06:00 Europe/Zurich; Sat,Sun 00:00-24:00`, and a `now_seconds` (Unix). Out:
open or not. Days and zone may be left out (every day, UTC). A window that runs past midnight belongs to the
day it starts on. Local times follow the zone's daylight saving: in the hour that is skipped a window is
shorter, in the one repeated longer.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")

_DAY = f"(?:{'|'.join(DAYS)})"
_DAY_RANGE = f"{_DAY}(?:-{_DAY})?"
_START = "(?:[01][0-9]|2[0-3]):[0-5][0-9]"
_DAYS = f"{_DAY_RANGE}(?:,{_DAY_RANGE})*"
_HOURS = f"{_START}-(?:{_START}|24:00)"
_SPAN = f"(?:{_DAYS} )?{_HOURS}(?: [A-Za-z][A-Za-z0-9_+/-]*)?"
WINDOW_PATTERN = f"^{_SPAN}(?:; ?{_SPAN})*$"  # RE2 and Python agree on every construct used
WINDOW_EXAMPLE = "Mon-Fri 22:00-06:00 Europe/Zurich"

_SHAPE = re.compile(WINDOW_PATTERN)


class WindowError(ValueError):
    """Text that is not an update window, or a time zone nobody knows."""


@dataclass(frozen=True, slots=True)
class Span:
    """One stretch of the week: `days` 0 (Monday) to 6, minutes of the local day; `end <= start` runs past
    midnight.
    """

    days: frozenset[int]
    start_minute: int
    end_minute: int
    zone: tzinfo

    def holds(self, now_seconds: float) -> bool:
        """True where `now_seconds` lies in this stretch (start included, end not)."""
        local = datetime.fromtimestamp(now_seconds, self.zone)
        minute, today = local.hour * 60 + local.minute, local.weekday()
        if self.start_minute < self.end_minute:
            return today in self.days and self.start_minute <= minute < self.end_minute
        late = today in self.days and minute >= self.start_minute
        return late or ((today - 1) % 7 in self.days and minute < self.end_minute)


@dataclass(frozen=True, slots=True)
class Window:
    """A policy's `updates.window`: open while any of its stretches holds."""

    text: str
    spans: tuple[Span, ...]


def parse_window(text: object) -> Window:
    """The window of a text; raises `WindowError` with a sentence, also for what is no text at all."""
    if not isinstance(text, str) or _SHAPE.fullmatch(text) is None:
        wrong = "".join(f": {each}" for each in _wrong(text)) if isinstance(text, str) else ""
        raise WindowError(f"{text!r} is not an update window{wrong}; write for example {WINDOW_EXAMPLE!r}")
    return Window(text, tuple(_span(part.strip()) for part in text.split(";")))


def is_open(window: Window | None, now_seconds: float) -> bool:
    """True where routine changes are allowed now; no window means always."""
    return window is None or any(span.holds(now_seconds) for span in window.spans)


def _wrong(text: str) -> Iterator[str]:
    """Which words of a window that has not its shape are wrong: days, hours, time zone."""
    for words in (part.split() for part in text.split(";")):
        days = [words.pop(0)] if words and not words[0][0].isdigit() else []
        hours = words[:1]
        if days and not re.fullmatch(_DAYS, days[0]):
            yield f"{days[0]!r} names no days (Mon to Sun)"
        if not hours or not re.fullmatch(_HOURS, hours[0]):
            yield f"{hours[0]!r} are no hours (00:00 to 24:00)" if hours else "hours are missing"
        for zone in words[1:2]:
            try:
                _zone(zone)
            except WindowError as error:
                yield str(error)


def _span(text: str) -> Span:
    words = text.split(" ")
    days = frozenset(range(7)) if words[0][0].isdigit() else frozenset(_days(words.pop(0)))
    start, end = (_minutes(part) for part in words[0].split("-"))
    if start == end:
        raise WindowError(f"{text!r} starts and ends at the same minute; for a whole day write 00:00-24:00")
    return Span(days, start, end, _zone(words[1]) if len(words) > 1 else UTC)


def _days(text: str) -> Iterator[int]:
    for part in text.split(","):
        first, _, last = part.partition("-")
        begin = DAYS.index(first)
        length = (DAYS.index(last) - begin) % 7 if last else 0
        yield from ((begin + step) % 7 for step in range(length + 1))


def _minutes(text: str) -> int:
    return int(text[:2]) * 60 + int(text[3:])


def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)  # the platform's (or tzdata's) table of zones: constant data, not state
    except (KeyError, ValueError, OSError) as error:
        raise WindowError(f"no time zone is called {name!r}") from error
