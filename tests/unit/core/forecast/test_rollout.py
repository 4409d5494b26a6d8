"""After a rollout the old image's past is moved to the new one's level, as far as that is known."""

import numpy as np
import pytest

from builders.histories import MIB, at, history_of
from plimsoll.forecast.rollout import moved_to_image
from plimsoll.forecast.window import read_window

DAY = 288
HOURS = 24


def usage(days: float, ratio: float, hours_since: int, seed: int = 3) -> np.ndarray:
    """Usage with a day's swing; `hours_since` before the end it becomes `ratio` times as much."""
    bins = round(days * DAY)
    t = np.arange(bins)
    level = 100 * MIB * (1 + 0.4 * np.sin(2 * np.pi * t / DAY))
    noise = 1 + 0.02 * np.random.default_rng(seed).uniform(-1, 1, bins)
    return level * noise * np.where(t >= bins - 12 * hours_since, ratio, 1.0)


def moved(days: float, ratio: float, hours_since: int):
    history, rows, now = history_of(usage(days, ratio, hours_since))
    window = read_window(history, rows)
    since = np.array([now - hours_since * 3600.0])
    return window, moved_to_image(window, since, now)


def old_shift(before, after) -> float:
    """By how much the hours of the first days were moved."""
    scale = after.hourly_bytes[0] / before.hourly_bytes[0]
    seen = np.flatnonzero(np.isfinite(scale))
    assert len(set(np.round(scale[seen[:24]], 9))) == 1
    return float(scale[seen[0]])


def test_without_a_rollout_the_window_is_the_very_same():
    window, _ = moved(6, 1.0, 3)
    for since in (np.nan, at(6 * DAY) - 60 * 86_400.0, at(6 * DAY) - 60.0):  # none, forgotten, just now
        assert moved_to_image(window, np.array([since]), at(6 * DAY)) is window


@pytest.mark.parametrize("ratio", [1.0, 1.5])
def test_an_image_like_the_one_before_and_a_hungrier_one_move_nothing(ratio: float):
    for hours in (1, 4, 12, 48):
        before, after = moved(6, ratio, hours)
        assert old_shift(before, after) == pytest.approx(1.0, abs=0.005)


def test_a_more_modest_image_is_believed_slowly():
    shifts = [old_shift(*moved(6, 0.5, hours)) for hours in (4, 12, 48)]
    assert 0.6 < shifts[0] < 0.8
    assert shifts[0] > shifts[1] > shifts[2] > 0.5
    assert shifts[2] == pytest.approx(0.5, rel=0.07)


def test_a_process_that_only_begins_low_is_not_modest():
    """Usage climbs back to what it was within three hours."""
    low = usage(6, 1.0, 4)
    low[-48:-12] *= np.linspace(0.4, 1.0, 36)
    history, rows, now = history_of(low)
    window = read_window(history, rows)
    assert old_shift(window, moved_to_image(window, np.array([now - 4 * 3600.0]), now)) > 0.99


def test_only_the_old_images_part_moves():
    before, after = moved(6, 0.5, 12)
    new = slice(-12, None)
    np.testing.assert_array_equal(before.hourly_bytes[:, new], after.hourly_bytes[:, new])
    np.testing.assert_array_equal(before.recent_bytes[:, -143:], after.recent_bytes[:, -143:])
    assert (after.recent_bytes[0, :140] < before.recent_bytes[0, :140]).all()


def test_a_rollout_before_a_day_has_passed_and_gaps_are_borne():
    before, after = moved(0.5, 0.5, 3)
    assert after is before  # nobody knows what the old image used at these hours
    gaps = usage(6, 0.5, 24)
    gaps[::3] = np.nan
    gaps[3 * DAY : 4 * DAY] = np.nan
    history, rows, now = history_of(gaps)
    window = read_window(history, rows)
    after = moved_to_image(window, np.array([now - 24 * 3600.0]), now)
    np.testing.assert_array_equal(np.isnan(after.hourly_bytes), np.isnan(window.hourly_bytes))
    assert old_shift(window, after) < 0.7
