"""A policy's `forecast.holidays` → dates.

In: country codes (CH), codes with a subdivision (DE-BY), dates (2026-12-24), and the years looked at. Out:
the dates, and a sentence for each word that could not be honoured. Countries are the package `holidays`',
which Prophet brings along. Days are UTC's, as the histories' hours are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from importlib import import_module
from typing import Any

DATE_LENGTH = len("2026-12-24")


@dataclass(frozen=True, slots=True)
class HolidayDates:
    """The dates, rising, and what could not be read."""

    dates: tuple[date, ...]
    remarks: tuple[str, ...] = ()


def holiday_dates(words: Sequence[str], years: Sequence[int]) -> HolidayDates:
    """The dates that `words` stand for within `years`; written dates stand in whatever year they are."""
    found: set[date] = set()
    remarks = []
    for word in words:
        try:
            found |= {date.fromisoformat(word)} if len(word) == DATE_LENGTH else _country(word, years)
        except ValueError:
            remarks.append(f"{word} is not a date")
        except (NotImplementedError, ImportError) as error:
            remarks.append(f"{word}: {error}")
    return HolidayDates(tuple(sorted(found)), tuple(remarks))


def _country(word: str, years: Sequence[int]) -> set[date]:
    package: Any = import_module("holidays")  # comes with prophet, an extra
    country, _, subdivision = word.partition("-")
    return set(package.country_holidays(country, subdiv=subdivision or None, years=list(years)))
