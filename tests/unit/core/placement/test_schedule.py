"""When CronJobs start: as robfig/cron says, which kube-controller-manager asks (`tests/golden/cron`)."""

import gzip
from pathlib import Path

import pytest

from plimsoll.placement.schedule import ScheduleError, parse_schedule

GOLDEN = Path(__file__).parents[3] / "golden" / "cron" / "starts.tsv.gz"
DAY = 86_400


def vectors():
    text = gzip.decompress(GOLDEN.read_bytes()).decode()
    return [line.split("\t") for line in text.splitlines()]


def said(schedule, zone, after):
    try:
        return parse_schedule(schedule, zone)
    except ScheduleError:
        return None


def test_every_golden_schedule_is_read_or_refused_as_the_controller_does():
    wrong = [
        (schedule, zone)
        for schedule, zone, after, starts in vectors()
        if (said(schedule, zone, after) is None) != (starts == "error")
    ]
    assert wrong == []


def test_the_starts_of_the_coming_two_days_are_the_controllers():
    compared = 0
    for schedule, zone, after, starts in vectors():
        if starts == "error":
            continue
        until = int(after) + 2 * DAY
        theirs = [float(each) for each in starts.split() if int(each) <= until]
        ours = said(schedule, zone, after).starts(float(after), float(until))
        # Three were asked for: where there are three within the days, ours may be more.
        assert (ours[:3] if len(theirs) == 3 else ours) == theirs, (schedule, zone, after)
        compared += len(theirs)
    assert compared > 1000


@pytest.mark.parametrize(
    "text", ["", "@every 1h", "* * * *", "0 0 * * 7", "TZ=UTC 0 0 * * *", "0 0 * * mon#1"]
)
def test_what_does_not_say_when_is_refused(text):
    with pytest.raises(ScheduleError, match=r"no range|no number|not within|does not say when"):
        parse_schedule(text)


def test_a_zone_nobody_knows_is_refused():
    with pytest.raises(ScheduleError, match="'Mars/Olympus' is no time zone"):
        parse_schedule("0 0 * * *", "Mars/Olympus")


def test_a_night_without_three_in_the_morning_has_no_start_and_one_with_two_has_two():
    nightly = parse_schedule("30 2 * * *", "Europe/Zurich")
    spring, autumn = 1774652400.0, 1792792800.0  # midnights a day before the clocks change in Zurich, 2026
    assert len(nightly.starts(spring, spring + DAY)) == 1
    assert nightly.starts(spring + DAY, spring + 2 * DAY - 3600) == []
    assert len(nightly.starts(autumn + DAY, autumn + 2 * DAY)) == 2
