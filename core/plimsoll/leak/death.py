"""When a leak ends: the time at which usage reaches a level, and whether a restart is due before it.

In: present use, slope, a level, an update window. Out: Unix seconds, or a reason in words. Pure arithmetic;
who is restarted, and how, is the shell's.
"""

import math

from plimsoll.api.window import Window, is_open

# A restart comes at the latest so long before the projected death: two hourly looks.
LEAD_SECONDS = 2 * 3600.0
STEP_SECONDS = 900.0  # windows open and close at minutes; a quarter of an hour is near enough to plan by
LOOKAHEAD_SECONDS = 8 * 86_400.0  # a weekly window opens again within


def death_seconds(
    now_seconds: float, present_bytes: float, slope: float, level_bytes: float | None
) -> float | None:
    """When usage reaches `level_bytes` at `slope` (bytes/s); None: never, or not known. Not before now."""
    if level_bytes is None or not math.isfinite(present_bytes) or not slope > 0:
        return None
    return now_seconds + max(0.0, level_bytes - present_bytes) / slope


def restart_due(now_seconds: float, death: float | None, window: Window | None) -> bool:
    """True where it is time: the window is open, and death comes soon or before the window opens again."""
    if death is None or not is_open(window, now_seconds):
        return False
    return death <= _next_opening(now_seconds, window) + LEAD_SECONDS


def _next_opening(now_seconds: float, window: Window | None) -> float:
    """When the window opens next after it has shut; now, where it does not shut in the time looked at."""
    shut = False
    for step in range(1, int(LOOKAHEAD_SECONDS / STEP_SECONDS) if window is not None else 0):
        at = now_seconds + step * STEP_SECONDS
        if shut and is_open(window, at):
            return at
        shut = shut or not is_open(window, at)
    return now_seconds
