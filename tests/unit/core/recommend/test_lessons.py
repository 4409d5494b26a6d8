"""Lessons are what was seen at a decision and what the hour after it needed; nothing else is in the book."""

import numpy as np

from builders.histories import MIB, append_bin, at, history_of, steady
from plimsoll.forecast.features import LOG_LEVELS, features
from plimsoll.forecast.window import read_window
from plimsoll.guard.limits import GuardSettings
from plimsoll.pipeline import LimitPipeline
from plimsoll.recommend.lessons import AN_HOUR, LessonBook, needs

DAY = 288


def taught(ratio: float, *, tell: bool = True, book: LessonBook | None = None):
    """A book and what was seen: a day, a decision, an hour at `ratio` times the day's use, a decision."""
    book = LessonBook() if book is None else book
    history, rows, now = history_of(np.stack([steady(1, seed=seed) for seed in range(3)]))
    pipeline = LimitPipeline(history, lessons=book)
    if tell:
        book.tell(rows, np.array([5, 5, 6]))
    seen = features(read_window(history, rows))
    pipeline.decide(rows, now)
    for bin_ in range(DAY, DAY + 12):
        append_bin(history, rows, bin_, np.full(3, ratio * 100 * MIB))
    pipeline.decide(rows, at(DAY + 12))
    return book, seen


def test_an_hour_that_jumped_needs_the_first_level_above_it():
    book, seen = taught(1.5)
    assert len(book) == 3
    lessons = book.lessons()
    assert sorted(lessons.workload.tolist()) == [5, 5, 6]
    np.testing.assert_array_equal(lessons.row, seen.row)
    np.testing.assert_array_equal(lessons.level, seen.level)
    wanted = np.searchsorted(LOG_LEVELS, np.log(1.5 * 100 * MIB / seen.reference_bytes))
    np.testing.assert_array_equal(lessons.need, wanted)


def test_a_calm_hour_needs_no_more_than_the_last_peak():
    assert taught(0.8)[0].lessons().need.tolist() == [0, 0, 0]


def test_an_hour_in_which_it_was_killed_needs_more_than_the_limit_it_was_killed_at():
    """Between two samples nobody saw how much it wanted: the kill says that the limit was too little."""
    book = LessonBook()
    history, rows, now = history_of(np.stack([steady(1), steady(1, seed=1)]))
    pipeline = LimitPipeline(history, lessons=book)
    book.tell(rows, np.array([5, 6]))
    reference = features(read_window(history, rows)).reference_bytes
    pipeline.decide(rows, now)
    for bin_ in range(DAY, DAY + 12):
        append_bin(history, rows, bin_, np.full(2, 80 * MIB))
    pipeline.observe_oom(rows[:1], at(DAY + 6), [130 * MIB])
    pipeline.decide(rows, at(DAY + 12))
    need, other = book.lessons().need.tolist()
    assert LOG_LEVELS[need - 1] <= np.log(130 * MIB / reference[0]) < LOG_LEVELS[need]
    assert other == 0


def test_the_guard_saves_what_climbs_slowly():
    climbing = 100 * MIB * np.linspace(0.9, 1.5, 12)[None, :]
    sudden = 100 * MIB * np.r_[np.full(11, 0.8), 1.5][None, :]
    reference = np.array([100 * MIB])
    assert needs(climbing, reference, GuardSettings())[0] < needs(sudden, reference, GuardSettings())[0]
    assert needs(30 * sudden, reference, GuardSettings())[0] == len(LOG_LEVELS)


def test_rows_of_no_known_workload_teach_nothing():
    assert len(taught(1.5, tell=False)[0]) == 0


def test_an_hour_that_was_not_seen_and_a_row_that_was_freed_teach_nothing():
    book = LessonBook()
    history, rows, now = history_of(np.stack([steady(1), steady(1, seed=1)]))
    pipeline = LimitPipeline(history, lessons=book)
    book.tell(rows, np.array([1, 2]))
    pipeline.decide(rows, now)
    pipeline.forget(rows[:1])
    append_bin(history, rows, DAY + 11, np.full(2, 90 * MIB))  # one bin of twelve
    pipeline.decide(rows, at(DAY + 12))
    assert len(book) == 0


def test_a_large_fleet_teaches_no_faster_than_a_small_one_and_old_lessons_go():
    book = LessonBook(most=30)
    history, rows, _ = history_of(np.tile(steady(0.2), (4000, 1)))
    book.tell(rows, rows.astype(np.int64))
    window = read_window(history, rows)
    for hour in range(2):
        book.begin(rows, window, 12 * hour)
        assert AN_HOUR / 2 < len(book._open) < 2 * AN_HOUR
        usage = np.full((len(rows), 12), 100.0 * MIB)
        book.end(rows, np.full(len(rows), 12 * hour), usage, np.full(len(rows), np.nan))
        assert not book._open
    assert len(book) == len(book.lessons()) == 30
