"""Durations: one number, one unit; what is written is read back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plimsoll.api.duration import DurationError, format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0s", 0), ("90s", 90), ("15m", 900), ("24h", 86_400), ("14d", 1_209_600), ("4w", 2_419_200), (60, 60)],
)
def test_parses(text: str | int, seconds: int):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "5", "-5m", "1.5h", "1h30m", "5 m", "5M", "2mo", "5m\n", -5, True, None]
)
def test_refuses_the_rest_and_quotes_it(text: object):
    with pytest.raises(DurationError, match="is not a duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (90, "90s"), (5400, "90m"), (86_400, "1d"), (28 * 86_400, "28d")]
)
def test_formats_with_the_largest_unit_that_divides(seconds: int, text: str):
    assert format_duration(seconds) == text


@given(st.integers(0, 10**7))
def test_every_second_survives_the_way_there_and_back(seconds: int):
    assert parse_duration(format_duration(seconds)) == seconds
