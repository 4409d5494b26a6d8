"""What the past alone says of a row: expected usage, request, the peak that binds, what a kill cut off,
readiness.

In: windows, and the forecast where a quantile of it counts. Out: columns [n], NaN where nothing was seen.
The pipeline puts them beside what the forecast and the price say.
"""

from dataclasses import replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from plimsoll.forecast.protocol import PeakDistribution
from plimsoll.forecast.seasonal import NEIGHBOUR_HOURS
from plimsoll.forecast.window import (
    BINS_PER_HOUR,
    HOURS_PER_DAY,
    HOURS_PER_WEEK,
    FloatArray,
    UsageWindow,
    held,
    last_hour_peak,
    mean,
    peak,
    peak_of_seen_hours,
    present_bytes,
    quantile_of_seen,
)
from plimsoll.guard.limits import GuardSettings, after_oom, floor_by_use
from plimsoll.usage.events import Events
from plimsoll.usage.sample import BIN_SECONDS

# A request is for packing: it covers so much of the coming hour's peak and of the last day's hours, not the
# rare peaks that the limit is for.
REQUEST_LEVEL = 0.9
# Hours whose peak is a floor of the limit, and the prices (container-days) from which on each of them is.
FLOOR_HOURS, DEAR_PRICE = 24, 2.0
CHEAP_FLOOR_HOURS, CHEAP_PRICE = 6, 0.5
Places = npt.NDArray[np.intp]


def expected_usage(window: UsageWindow) -> FloatArray:
    """Mean usage expected over the next hour, [n]: mostly the last hour's, partly the last day's."""
    hour = mean(window.recent_bytes[:, -BINS_PER_HOUR - 1 :])
    return np.maximum(0.8 * hour + 0.2 * mean(window.recent_bytes), 1.0)


def typical_need(forecast: PeakDistribution, window: UsageWindow, guard: GuardSettings) -> FloatArray:
    """What a row is to have for sure [n]: what nine in ten hours need, of the one to come and of the last
    day's (at night the day's load still counts), and never less than is used now.
    """
    coming = quantiles(forecast, np.array([REQUEST_LEVEL]))[:, 0]
    day = quantile_of_seen(window.hourly_bytes[:, -HOURS_PER_DAY - 1 :], REQUEST_LEVEL)
    return np.fmax(np.fmax(coming, day), floor_by_use(present_bytes(window), guard))


def past_peak(window: UsageWindow, price: FloatArray, guard: GuardSettings) -> FloatArray:
    """Peak [n] of the past that a limit must cover where a kill is worth `price` [n] container-days.

    The last day's where kills are dear: short floors forget restart peaks. The last hours' where they are
    cheap, for who wants tight limits. In between it goes from the one to the other by the logs of price and
    peak, so that a price that is steered moves a limit and never throws it. Hours are counted as seen: an
    outage of the usage source is not a calm that lets a peak fall out. Where a weekly season is proven, its
    peak at this hour counts as one of the day's, with the room that keeps the guard from raising there.
    """
    dear = np.clip(np.log(price / CHEAP_PRICE) / np.log(DEAR_PRICE / CHEAP_PRICE), 0.0, 1.0)
    day = peak_of_seen_hours(window.hourly_bytes, FLOOR_HOURS)
    day = np.fmax(day, weekly_peak(window, day) / guard.climb_threshold)
    if (dear == 1.0).all():
        return day
    hours = peak_of_seen_hours(window.hourly_bytes, CHEAP_FLOOR_HOURS)
    between = hours * np.power(np.maximum(day, 1.0) / np.maximum(hours, 1.0), dear)
    return np.where(dear == 1.0, day, between)  # to the bit, whoever else is asked about


def weekly_peak(window: UsageWindow, day_bytes: FloatArray) -> FloatArray:
    """The higher peak [n] of this hour and its neighbours one and two weeks ago; NaN: no weekly season there.

    Proven is one where in both weeks these hours went above the day before them, and above `day_bytes` [n],
    what the last day asks for anyway. Once is a spike; a level that was higher throughout has fallen since;
    what the day covers needs no week.
    """
    found, least = np.full(len(window), -np.inf), np.full(len(window), np.inf)
    for weeks in (1, 2):
        end = window.hourly_bytes.shape[1] - weeks * HOURS_PER_WEEK + NEIGHBOUR_HOURS
        begin = end - 2 * NEIGHBOUR_HOURS - 1
        there = peak(window.hourly_bytes[:, begin:end])
        day = peak(window.hourly_bytes[:, begin - HOURS_PER_DAY : begin])
        with np.errstate(invalid="ignore"):
            least = np.minimum(least, np.where(there > day, there, -np.inf))
        found = np.fmax(found, there)
    with np.errstate(invalid="ignore"):
        return np.where(least > day_bytes, found, np.nan)


def lifted(window: UsageWindow, kills: Events, current_bin: int, guard: GuardSettings) -> UsageWindow:
    """The past with what killed processes would have used, as far as that can be said.

    A kill cuts usage off at the limit, so the bin and the hour of one whose demand nobody saw count with the
    raised limit: VPA takes the same for a sample (`RecordOOM` of its recommender: 1.2 x and 100 MiB more at
    the least). `kills` [n, 8]; `current_bin` is the window's last column. What was seen is left as it is, as
    in every replay under the contract, whose usage goes on above the limit. One that is stamped later than
    the present counts as of the present.
    """
    if not kills.count.any():
        return window
    needed = np.where(np.isnan(kills.usage_bytes), after_oom(kills.limit_bytes, guard), np.nan)
    rows, places = np.nonzero(np.isfinite(needed) & np.isfinite(kills.seconds))
    if not len(rows):
        return window
    bins = np.minimum(kills.seconds[rows, places] // BIN_SECONDS, current_bin).astype(np.int64)
    wanted = needed[rows, places]
    recent = _raised(window.recent_bytes, rows, current_bin - bins, wanted)
    hours_ago = current_bin // BINS_PER_HOUR - bins // BINS_PER_HOUR
    return replace(
        window, recent_bytes=recent, hourly_bytes=_raised(window.hourly_bytes, rows, hours_ago, wanted)
    )


def _raised(columns: FloatArray, rows: Places, ago: Places, wanted: FloatArray) -> FloatArray:
    """A copy of `columns` [n, t] that has at least `wanted` [m] so many columns before the last."""
    within = ago < columns.shape[1]
    out = columns.copy()
    np.fmax.at(out, (rows[within], columns.shape[1] - 1 - ago[within]), wanted[within])
    return out


def ready(window: UsageWindow, forecast: PeakDistribution, least_hours: int) -> npt.NDArray[np.bool_]:
    """Rows with a fresh sample, a forecast, and a past of at least `least_hours`."""
    seen = np.isfinite(window.hourly_bytes)
    hours = seen.shape[1] - 1 - np.argmax(seen, axis=1)
    fresh = np.isfinite(last_hour_peak(window))
    return np.asarray(fresh & seen.any(axis=1) & (hours >= least_hours) & forecast.ready(), dtype=np.bool_)


def quantiles(forecast: PeakDistribution, levels: FloatArray) -> FloatArray:
    """Quantiles at other levels, by interpolation: [n, len(levels)]."""
    left, right, part = _between(forecast.levels.tobytes(), levels.tobytes())
    values = forecast.values_bytes
    return np.asarray(values[:, left] * (1 - part) + values[:, right] * part, dtype=np.float64)


@lru_cache(maxsize=32)  # a handful of levels are ever asked for
def _between(known: bytes, wanted: bytes) -> tuple[Places, Places, FloatArray]:
    """Columns to the left and right of each level that is wanted, and how far it lies between them."""
    levels, asked = (np.frombuffer(each, dtype=np.float64) for each in (known, wanted))
    right = held(np.searchsorted(levels, asked), 1, len(levels) - 1)
    low, high = levels[right - 1], levels[right]
    return right - 1, right, held((asked - low) / (high - low), 0, 1)
