"""Update windows at their edges: midnight, the week's end, daylight saving. Times are given as UTC."""

from datetime import UTC, datetime

import pytest

from plimsoll.api.window import WindowError, is_open, parse_window


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


# 2026-11-16 is a Monday. Zurich is UTC+1 in winter, UTC+2 in summer.
@pytest.mark.parametrize(
    ("window", "moment", "is_in"),
    [
        ("09:00-17:00", "2026-11-16 09:00:00", True),
        ("09:00-17:00", "2026-11-16 08:59:59", False),
        ("09:00-17:00", "2026-11-16 16:59:59", True),
        ("09:00-17:00", "2026-11-16 17:00:00", False),
        ("00:00-24:00", "2026-11-16 23:59:59", True),
        ("Mon 22:00-06:00", "2026-11-16 22:00:00", True),
        ("Mon 22:00-06:00", "2026-11-17 05:59:59", True),  # Tuesday's small hours belong to Monday
        ("Mon 22:00-06:00", "2026-11-16 05:59:59", False),  # Monday's belong to Sunday
        ("Sun 22:00-06:00", "2026-11-16 05:59:59", True),
        ("Mon-Fri 10:00-12:00", "2026-11-21 11:00:00", False),
        ("Sat-Mon 10:00-12:00", "2026-11-22 11:00:00", True),
        ("Sat-Mon 10:00-12:00", "2026-11-24 11:00:00", False),
        ("Mon,Wed-Thu 10:00-12:00", "2026-11-19 11:00:00", True),
        ("Mon,Wed-Thu 10:00-12:00", "2026-11-17 11:00:00", False),
        ("Mon 22:00-24:00; Wed 10:00-11:00", "2026-11-18 10:30:00", True),
        ("Mon 22:00-24:00; Wed 10:00-11:00", "2026-11-17 00:00:00", False),
        ("22:00-06:00 Europe/Zurich", "2026-11-16 21:00:00", True),
        ("22:00-06:00 Europe/Zurich", "2026-11-16 20:59:59", False),
        ("22:00-06:00 Europe/Zurich", "2026-07-06 20:00:00", True),
        # Clocks go from 02:00 to 03:00 on 2026-03-29: the window from 02:30 to 03:30 is half as long.
        ("02:30-03:30 Europe/Zurich", "2026-03-29 00:59:59", False),
        ("02:30-03:30 Europe/Zurich", "2026-03-29 01:00:00", True),
        ("02:30-03:30 Europe/Zurich", "2026-03-29 01:30:00", False),
        # Clocks go back from 03:00 to 02:00 on 2026-10-25: the hour is there twice.
        ("02:00-03:00 Europe/Zurich", "2026-10-25 00:30:00", True),
        ("02:00-03:00 Europe/Zurich", "2026-10-25 01:30:00", True),
        ("02:00-03:00 Europe/Zurich", "2026-10-25 02:00:00", False),
        ("09:00-10:00 UTC", "2026-11-16 09:30:00", True),
    ],
)
def test_is_open_at_the_edges(window: str, moment: str, is_in: bool):
    assert is_open(parse_window(window), at(moment)) is is_in


def test_no_window_is_always_open():
    assert is_open(None, at("2026-11-16 03:00:00"))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is not an update window"),
        ("Mon-Fry 22:00-06:00", "window: 'Mon-Fry' names no days .*; write"),
        ("Mon 25:00-26:00 UTC", "window: '25:00-26:00' are no hours .*; write"),
        ("Mon", "window: hours are missing; write"),
        (
            "Mon-Fry 25:00-26:00 Mars/Olympus",
            "'Mon-Fry' names .*'25:00-26:00' are no .* no time zone is called 'Mars/Olympus'",
        ),
        (5, "is not an update window"),
        ({"days": "Mon"}, "is not an update window"),
        ("Mo-Fr 22:00-06:00", "is not an update window"),
        ("Mon 25:00-26:00", "is not an update window"),
        ("Mon 24:00-06:00", "is not an update window"),
        ("Mon 9:00-10:00", "is not an update window"),
        ("22:00-06:00,", "is not an update window"),
        ("22:00-06:00\n", "is not an update window"),
        ("10:00-10:00", "starts and ends at the same minute"),
        ("10:00-11:00 Mars/Olympus", "no time zone is called 'Mars/Olympus'"),
        ("10:00-11:00 A/../../etc", "is not an update window"),
        ("10:00-11:00 Europe", "no time zone is called 'Europe'"),
    ],
)
def test_refuses_with_a_sentence(text: str, why: str):
    with pytest.raises(WindowError, match=why):
        parse_window(text)
