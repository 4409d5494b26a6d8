"""When a leak ends, and when a restart is due before it."""

import pytest

from plimsoll.api.window import parse_window
from plimsoll.leak.death import death_seconds, restart_due

HOUR = 3600.0
MONDAY = 4 * 86_400.0  # 1970-01-05 00:00 UTC
NIGHT = parse_window("22:00-04:00")


@pytest.mark.parametrize(
    ("present", "slope", "level", "expected"),
    [
        (400.0, 2.0, 1000, 1300.0),
        (400.0, 2.0, 100, 1000.0),
        (400.0, 0.0, 1000, None),
        (400.0, -2.0, 1000, None),
        (400.0, float("nan"), 1000, None),
        (float("nan"), 2.0, 1000, None),
        (400.0, 2.0, None, None),
    ],
)
def test_death_is_where_the_line_meets_the_limit(
    present: float, slope: float, level: int | None, expected: float | None
) -> None:
    assert death_seconds(1000.0, present, slope, level) == expected


@pytest.mark.parametrize(
    ("hour", "death_in_hours", "due"),
    [
        (23, 1, True),
        (23, 20, True),  # it would die before the window opens again
        (23, 24.5, True),  # ... or so soon after that a restart then might come too late
        (23, 30, False),
        (12, 1, False),  # the window is shut
    ],
)
def test_a_restart_waits_for_its_window(hour: float, death_in_hours: float, due: bool) -> None:
    now = MONDAY + hour * HOUR
    assert restart_due(now, now + death_in_hours * HOUR, NIGHT) is due


@pytest.mark.parametrize(("death_in_hours", "due"), [(1, True), (3, False), (None, False)])
def test_without_a_window_it_is_due_two_hours_before(death_in_hours: float | None, due: bool) -> None:
    death = None if death_in_hours is None else MONDAY + death_in_hours * HOUR
    assert restart_due(MONDAY, death, None) is due


def test_a_window_that_never_shuts_is_none() -> None:
    always = parse_window("00:00-24:00")
    assert not restart_due(MONDAY, MONDAY + 3 * HOUR, always)
    assert restart_due(MONDAY, MONDAY + HOUR, always)
