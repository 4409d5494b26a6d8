"""The vectorised guards by tables: raises, floors, OOM memory and hysteresis; NaN never becomes an act."""

import numpy as np
import pytest

from plimsoll.guard.limits import (
    GuardSettings,
    LimitReason,
    after_climb,
    after_oom,
    floor_by_use,
    remember_ooms,
    settle,
)
from plimsoll.recommend.recommendation import Recommendations
from plimsoll.usage.events import Events

MIB = 2.0**20
NAN = np.nan
SETTINGS = GuardSettings()
NOW = 1.8e9


def one(value: float) -> np.ndarray:
    return np.array([value])


@pytest.mark.parametrize(
    ("limit_mib", "raised_mib"), [(100, 200), (500, 600), (501, 601.2), (1000, 1200), (NAN, NAN)]
)
def test_after_a_kill_a_fifth_more_or_a_hundred_mib(limit_mib: float, raised_mib: float):
    assert after_oom(one(limit_mib * MIB), SETTINGS)[0] == pytest.approx(raised_mib * MIB, nan_ok=True)


@pytest.mark.parametrize(
    ("usage", "previous", "limit", "raised"),
    [
        (90, 90, 100, NAN),  # far enough
        (92, 92, 100, NAN),  # at the threshold, not above it
        (93, 93, 100, 1.12 * 93),
        (100, 100, 100, 112),
        (80, 60, 100, NAN),  # one more such rise just fits
        (80, 55, 100, 1.12 * 80 + 25),  # one more such rise would not
        (93, 99, 100, 1.12 * 93),  # falling, but close
        (93, NAN, 100, 1.12 * 93),
        (120, 80, 100, 1.12 * 120 + 40),
        (NAN, 90, 100, NAN),
        (93, 90, NAN, NAN),
    ],
)
def test_a_climb_raises_at_once(usage: float, previous: float, limit: float, raised: float):
    assert after_climb(one(usage), one(previous), one(limit), SETTINGS)[0] == pytest.approx(
        raised, nan_ok=True
    )


@pytest.mark.parametrize(("present", "floor"), [(100, 102), (NAN, 16), (0, 16), (1, 16)])
def test_the_floor_is_present_use_and_a_margin(present: float, floor: float):
    assert floor_by_use(one(present * MIB), SETTINGS)[0] == pytest.approx(floor * MIB)


def kills(*events: tuple[float, float, float]) -> Events:
    """Kills of one row: (seconds ago, limit MiB, usage seen MiB)."""
    padded = [(NAN, NAN, NAN)] * (8 - len(events)) + [
        (NOW - ago, limit, usage) for ago, limit, usage in events
    ]
    seconds, limit, usage = (np.array([column]) for column in zip(*padded, strict=True))
    return Events(seconds, limit * MIB, usage * MIB, np.array([len(events)]))


@pytest.mark.parametrize(
    ("events", "held", "remembered"),
    [
        ([], 0, 0),
        ([(60, 1000, 1100)], 1200, 1200),
        ([(60, 1000, 1500)], 1500, 1500),  # what it needed was seen
        ([(7200, 1000, 1100)], 0, 1200),  # priced again after an hour, remembered for a day
        ([(90_000, 1000, 1100)], 0, 0),
        ([(60, 1000, NAN)], 1200, 1200),
        ([(7200, 1000, NAN)], 0, 1200),  # its need was never seen: the lifted past speaks for it
        ([(7200, 1000, 1100), (60, 500, 550)], 600, 1200),
        ([(-50, 1000, 1100)], 1200, 1200),  # the clock jumped back: as of just now
        ([(60, NAN, NAN)], 0, 0),  # at an unknown limit
    ],
)
def test_kills_are_remembered(events: list[tuple[float, float, float]], held: float, remembered: float):
    memory = remember_ooms(kills(*events), NOW, SETTINGS)
    assert memory.hold_bytes[0] == pytest.approx(held * MIB)
    assert memory.remembered_bytes[0] == pytest.approx(remembered * MIB)


def recommended(lower: float, target: float, upper: float, ready: bool = True) -> Recommendations:
    values = [one(value if ready else NAN) for value in (target, lower, upper, 0.0, target)]
    return Recommendations(
        np.array([0], dtype=np.int32),
        np.array([ready]),
        *values,
        np.array([0.5]),
        np.array([[target]]),
        np.array([2.0]),
    )


@pytest.mark.parametrize(
    ("limit", "band", "ready", "remembered", "settled", "reason"),
    [
        (100, (90, 100, 120), True, 0, 100, LimitReason.WITHIN_BAND),
        (90, (90, 100, 120), True, 0, 90, LimitReason.WITHIN_BAND),
        (89, (90, 100, 120), True, 0, 100, LimitReason.OUT_OF_BAND),
        (121, (90, 100, 120), True, 0, 100, LimitReason.OUT_OF_BAND),
        (300, (90, 100, 120), True, 0, 150, LimitReason.OUT_OF_BAND),  # at most half at once
        (NAN, (90, 100, 120), True, 0, 100, LimitReason.FIRST),
        (300, (90, 100, 120), False, 0, 300, LimitReason.NOT_READY),
        (NAN, (90, 100, 120), False, 0, NAN, LimitReason.NOT_READY),
        (121, (90, 100, 120), True, 130, 100, LimitReason.OOM_PRICED_IN),
        (100, (90, 100, 120), True, 130, 100, LimitReason.OOM_PRICED_IN),
        (140, (90, 100, 150), True, 130, 140, LimitReason.WITHIN_BAND),
    ],
)
def test_limits_move_only_out_of_their_band(
    limit: float,
    band: tuple[float, float, float],
    ready: bool,
    remembered: float,
    settled: float,
    reason: LimitReason,
):
    plan = settle(recommended(*band, ready=ready), one(limit), one(remembered), SETTINGS)
    assert plan.limit_bytes[0] == pytest.approx(settled, nan_ok=True)
    assert LimitReason(int(plan.reason[0])) is reason


def test_reasons_read_as_words():
    assert LimitReason.OOM_PRICED_IN.label == "OomPricedIn"
    assert len({reason.label for reason in LimitReason}) == len(LimitReason)
