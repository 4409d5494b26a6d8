"""A policy's holidays as dates, with the real calendars."""

from datetime import date

from plimsoll_operator.forecasters.holiday_dates import holiday_dates


def test_a_country_has_the_days_that_are_free_in_all_of_it():
    assert holiday_dates(("CH",), [2026]).dates == (
        date(2026, 1, 1),
        date(2026, 5, 14),
        date(2026, 8, 1),
        date(2026, 12, 25),
    )


def test_a_subdivision_has_its_own_besides():
    of_all, of_bavaria = (set(holiday_dates((word,), [2026]).dates) for word in ("DE", "DE-BY"))
    assert of_all < of_bavaria
    assert date(2026, 1, 6) in of_bavaria - of_all


def test_dates_stand_as_they_are_and_all_words_count_together():
    found = holiday_dates(("2026-12-24", "CH", "2025-02-03"), [2026]).dates
    assert found[0] == date(2025, 2, 3)
    assert found[-2:] == (date(2026, 12, 24), date(2026, 12, 25))


def test_what_cannot_be_honoured_is_said_and_the_rest_counts():
    found = holiday_dates(("2026-02-31", "XX", "DE-ZZ", "2026-12-24"), [2026])
    assert found.dates == (date(2026, 12, 24),)
    assert found.remarks == (
        "2026-02-31 is not a date",
        "XX: Country XX not available",
        "DE-ZZ: Entity `DE` does not have subdivision ZZ",
    )


def test_no_words_are_no_days():
    assert holiday_dates((), [2026]).dates == ()
