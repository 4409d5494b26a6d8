"""What the past says of a row: the floor of past peaks goes with the price, a kill cuts nothing off."""

import numpy as np
import pytest

from plimsoll.forecast.window import UsageWindow
from plimsoll.guard.limits import MIB, GuardSettings
from plimsoll.recommend.past import lifted, past_peak
from plimsoll.usage.events import Events

NAN = np.nan
GUARD = GuardSettings()
# 600 within the day, 300 within six hours, 100 in the present hour.
HOURLY = [900.0, *[100.0] * 3, 600.0, *[100.0] * 15, 300.0, *[100.0] * 5]
ODD = [*HOURLY[:4], 700.1, *HOURLY[5:]]


def window(*hourly: list[float]) -> UsageWindow:
    return UsageWindow(np.full((len(hourly), 288), 100.0), np.array(hourly))


@pytest.mark.parametrize(
    ("price", "expected"),
    [(0.01, 300.0), (0.5, 300.0), (1.0, np.sqrt(300.0 * 600.0)), (2.0, 600.0), (100.0, 600.0)],
)
def test_the_floor_is_the_last_hours_peak_or_the_days_by_the_price(price: float, expected: float) -> None:
    assert past_peak(window(HOURLY), np.array([price]), GUARD)[0] == pytest.approx(expected)


def test_it_rises_without_a_step() -> None:
    prices = np.geomspace(0.25, 4.0, 400)
    floors = past_peak(window(*[HOURLY] * 400), prices, GUARD)
    steps = floors[1:] / floors[:-1]
    assert steps.min() >= 1 - 1e-12
    assert steps.max() < 1.01


def test_what_is_dear_is_the_days_peak_to_the_bit_whoever_else_is_asked_about() -> None:
    alone = past_peak(window(ODD), np.array([3.0]), GUARD)
    beside = past_peak(window(ODD, HOURLY), np.array([3.0, 0.7]), GUARD)
    assert beside[0] == alone[0]


def test_an_outage_lets_no_peak_fall_out_and_nothing_seen_is_no_floor() -> None:
    outage = [*HOURLY[2:22], *[NAN] * 30, *HOURLY[22:]]
    found = past_peak(window(outage, [NAN] * len(outage)), np.array([3.0, 0.1]), GUARD)
    assert found[0] == 600.0
    assert np.isnan(found[1])


NOW_BIN = 12 * 1000 + 5  # the present hour has run for six bins


def kills(*ago_and_limit: tuple[int, float], seen: float = NAN) -> Events:
    """A row's kills: so many bins before the present, at a limit in MiB."""
    at = np.array([[(NOW_BIN - ago) * 300.0 + 299 for ago, _ in ago_and_limit]])
    limit = np.array([[limit * MIB for _, limit in ago_and_limit]])
    return Events(at, limit, np.full(at.shape, seen), np.array([at.shape[1]]))


def flat(mib: float = 100.0) -> UsageWindow:
    return UsageWindow(np.full((1, 288), mib * MIB), np.full((1, 672), mib * MIB))


def test_a_killed_bin_and_its_hour_count_with_the_raised_limit() -> None:
    found = lifted(flat(), kills((20, 150.0), (300, 1000.0)), NOW_BIN, GUARD)
    recent, hourly = found.recent_bytes[0] / MIB, found.hourly_bytes[0] / MIB
    assert recent[-1 - 20] == 250.0, "100 MiB more"
    assert hourly[-1 - 2] == 250.0, "bin 20 ago is the hour before the last"
    assert hourly[-1 - 25] == 1200.0, "a fifth more; the day of five-minute bins is over"
    assert (recent != 100.0).sum() == 1
    assert (hourly != 100.0).sum() == 2
    assert flat().hourly_bytes.max() == 100 * MIB


def test_what_was_seen_is_left_as_it_was_to_the_bit() -> None:
    window = flat()
    assert lifted(window, kills((20, 150.0), seen=160 * MIB), NOW_BIN, GUARD) is window
    none = Events(*(np.full((1, 8), NAN) for _ in range(3)), np.array([0]))
    assert lifted(window, none, NOW_BIN, GUARD) is window
    assert lifted(window, kills((20, NAN)), NOW_BIN, GUARD) is window, "killed at nobody knows what"
    higher = flat(400.0)
    assert (lifted(higher, kills((20, 150.0)), NOW_BIN, GUARD).hourly_bytes == higher.hourly_bytes).all()


def test_a_kill_from_a_clock_that_was_ahead_is_of_the_present_and_one_too_old_is_nowhere() -> None:
    ahead = lifted(flat(), kills((-50, 150.0)), NOW_BIN, GUARD)
    assert ahead.recent_bytes[0, -1] == ahead.hourly_bytes[0, -1] == 250 * MIB
    old = lifted(flat(), kills((12 * 673, 150.0)), NOW_BIN, GUARD)
    assert old.hourly_bytes.max() == old.recent_bytes.max() == 100 * MIB


def weeks(*peaks_mib: float, level_mib: float = 100.0, before_mib: float = 100.0) -> UsageWindow:
    """Four weeks at a level, with a peak an hour after this one so many weeks ago; earlier, another level."""
    hourly = np.full((1, 672), level_mib * MIB)
    hourly[:, :-100] = before_mib * MIB
    for number, mib in enumerate(peaks_mib):
        hourly[0, 671 - 168 * (number + 1) + 1] = mib * MIB
    return UsageWindow(np.full((1, 288), level_mib * MIB), hourly)


@pytest.mark.parametrize(
    ("window", "price", "expected_mib"),
    [
        (weeks(300.0, 230.0), 3.0, 300 / 0.92),
        (weeks(300.0, 230.0), 1.0, np.sqrt(100 * 300 / 0.92)),  # half way
        (weeks(300.0, 230.0), 0.1, 100.0),
        (weeks(300.0), 3.0, 100.0),  # once is a spike
        (weeks(100.0, 300.0), 3.0, 100.0),
        (weeks(300.0, NAN), 3.0, 100.0),
        (weeks(before_mib=300.0), 3.0, 100.0),  # it has fallen, and has no season
        (weeks(300.0, 230.0, level_mib=250.0), 3.0, 250.0),  # the day asks for more than one of them
    ],
)
def test_a_peak_of_both_weeks_at_this_hour_is_one_of_the_days(window, price, expected_mib) -> None:
    assert past_peak(window, np.array([price]), GUARD)[0] / MIB == pytest.approx(expected_mib)


def test_less_than_two_weeks_prove_nothing() -> None:
    window = weeks(300.0, 300.0)
    window.hourly_bytes[:, : -(2 * 168 - 1)] = NAN
    window.hourly_bytes[:, 671 - 168 + 1] = 300 * MIB
    assert past_peak(window, np.array([3.0]), GUARD)[0] == 100 * MIB
    assert past_peak(weeks(300.0, 300.0), np.array([3.0]), GUARD)[0] > 300 * MIB


def test_a_weekly_season_is_a_matter_of_its_own_hours() -> None:
    window = weeks(300.0, 300.0)
    for shift, found in ((-1, True), (1, True), (3, False), (-3, False)):
        moved = UsageWindow(window.recent_bytes, np.roll(window.hourly_bytes, shift - 1, axis=1))
        assert (past_peak(moved, np.array([3.0]), GUARD)[0] > 300 * MIB) == found, shift
