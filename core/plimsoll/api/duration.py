"""Durations as policies write them: a whole number and one unit, `90s`, `15m`, `24h`, `14d`, `4w`.

In: text. Out: whole seconds, and back. One unit only, so that the CRD's CEL rules can bound a duration with
the same arithmetic as here and say in a sentence what is wrong (CEL's own `duration()` knows neither days
nor weeks).
"""

import re

UNIT_SECONDS = {"w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1}
DURATION_PATTERN = "^[0-9]{1,8}[smhdw]$"

_SHAPE = re.compile(DURATION_PATTERN)


class DurationError(ValueError):
    """Text that is not a duration."""


def parse_duration(text: str | int) -> int:
    """Whole seconds of `15m`, `24h`, `14d`, ...; an int is taken as seconds. Raises `DurationError` for the
    rest.
    """
    if isinstance(text, int) and not isinstance(text, bool) and text >= 0:
        return text
    if not isinstance(text, str) or _SHAPE.fullmatch(text) is None:
        raise DurationError(
            f"{text!r} is not a duration; write a whole number and s, m, h, d or w, for example 15m or 14d"
        )
    return int(text[:-1]) * UNIT_SECONDS[text[-1]]


def format_duration(seconds: int) -> str:
    """The exact text with the largest unit up to days that divides the value: 86400 -> "1d", 5400 ->
    "90m"."""
    for unit, factor in UNIT_SECONDS.items():
        if unit != "w" and seconds and seconds % factor == 0:
            return f"{seconds // factor}{unit}"
    return f"{seconds}s"
