"""Guards that need nothing but usage, limits and OOM kills: the same in a replay and in a cluster.

In: columns of usage, limits in force and recommendations. Out: limits that must rise now, floors that no
limit goes below, and the limits after hysteresis. Every function is pure; missing data (NaN) never raises,
lowers or throws. Thresholds were measured (see docs/decisions): asking at 92 % of the limit pays, at 88 %
or less it hurts.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from plimsoll.api.effective import LEAST_LIMIT_BYTES
from plimsoll.forecast.window import FloatArray
from plimsoll.recommend.recommendation import Recommendations
from plimsoll.usage.events import Events

MIB = 2**20
BoolArray = npt.NDArray[np.bool_]
CodeArray = npt.NDArray[np.int8]


class LimitReason(IntEnum):
    """Why a limit is what it is; the name is shown to people and is a metric label."""

    WITHIN_BAND = 0  # a change would gain less than it costs
    OUT_OF_BAND = 1  # the forecast and the price ask for it
    OOM_KILLED = 2  # the kernel killed the container at its limit
    CLIMB = 3  # usage came close to the limit
    NEW_PEAK = 4  # usage rose above what the last forecast knew
    OOM_PRICED_IN = 5  # below the limit that followed an OOM kill: that kill's usage is covered again
    NOT_READY = 6  # not enough history: the limit in force stays
    FIRST = 7  # no limit was in force
    START_UP = 8  # a process began whose kind has needed more at its start
    FEWER_PODS = 9  # the load of pods that are gone falls on those that are left

    @property
    def label(self) -> str:
        """CamelCase word."""
        return "".join(part.capitalize() for part in self.name.split("_"))


@dataclass(frozen=True, slots=True)
class GuardSettings:
    """Thresholds of the guards; fractions of the limit or ratios over usage."""

    climb_threshold: float = 0.92  # usage above this part of the limit raises at once
    climb_ratio: float = 1.12  # ... to this multiple of usage
    looks_ahead: bool = True  # False: a rise that would reach the limit is no climb (for comparison only)
    present_margin: float = 0.02  # no limit below present use plus this part of it
    oom_ratio: float = 1.2  # after an OOM kill: at least this multiple of the limit ...
    oom_step_bytes: float = 100.0 * MIB  # ... and at least this much more
    oom_hold_seconds: float = 3600.0  # for so long nothing goes below that
    oom_memory_seconds: float = 86_400.0  # for so long going below it needs a reason
    least_limit_bytes: float = float(LEAST_LIMIT_BYTES)
    largest_cut: float = 0.5  # one decision takes away at most this part of a limit


@dataclass(frozen=True, slots=True)
class Raises:
    """Limits that must rise now."""

    rows: npt.NDArray[np.int32]  # [m]
    limit_bytes: FloatArray  # [m]
    reason: CodeArray  # [m] LimitReason


def after_oom(limit_bytes: FloatArray, settings: GuardSettings) -> FloatArray:
    """Return the least limit [n] after a kill at `limit_bytes` [n]; NaN where the limit is unknown."""
    return np.maximum(settings.oom_ratio * limit_bytes, limit_bytes + settings.oom_step_bytes)


def after_climb(
    usage_bytes: FloatArray, previous_bytes: FloatArray, limit_bytes: FloatArray, settings: GuardSettings
) -> FloatArray:
    """Limit [n] to rise to because usage is close to it, or NaN.

    `previous_bytes` is the usage one bin earlier: a rise that would reach the limit within one more bin
    counts as close, and the new limit then holds such another rise.
    """
    with np.errstate(invalid="ignore"):
        rise = np.fmax(np.where(np.isnan(previous_bytes), 0.0, usage_bytes - previous_bytes), 0.0)
        close = usage_bytes > settings.climb_threshold * limit_bytes
        heading = (usage_bytes + rise > limit_bytes) & settings.looks_ahead
        wanted = settings.climb_ratio * usage_bytes + np.where(heading, rise, 0.0)
        return np.where((close | heading) & (wanted > limit_bytes), wanted, np.nan)


def exceeded(usage_bytes: FloatArray, limit_bytes: FloatArray, settings: GuardSettings) -> BoolArray:
    """Return which limits [n, m] coming usage [n, bins] would exceed with `after_climb`'s first rule at work.

    The rule alone, without its look at the rise: what is learned and promised is then a bound from above.
    """
    limit = limit_bytes.copy()
    broken = np.zeros(limit.shape, dtype=np.bool_)
    for usage in np.nan_to_num(usage_bytes, nan=0.0).T[:, :, None]:
        broken |= usage > limit
        climbed = (usage > settings.climb_threshold * limit) & (usage <= limit)
        limit = np.where(climbed, np.maximum(limit, settings.climb_ratio * usage), limit)
    return broken


def floor_by_use(present_bytes: FloatArray, settings: GuardSettings) -> FloatArray:
    """Limit [n] that holds what is used now; the least limit where usage is unknown or tiny."""
    return np.fmax((1 + settings.present_margin) * present_bytes, settings.least_limit_bytes)


@dataclass(frozen=True, slots=True)
class OomMemory:
    """What a row's kills of the last day ask for; 0 where there were none."""

    hold_bytes: FloatArray  # [n] no limit below this now
    remembered_bytes: FloatArray  # [n] a limit below this needs a reason


def remember_ooms(events: Events, now_seconds: float, settings: GuardSettings) -> OomMemory:
    """Floors from the kills that a history remembers."""
    if not events.count.any():  # of most rows nothing was ever killed
        return OomMemory(np.zeros(len(events.count)), np.zeros(len(events.count)))
    age = now_seconds - events.seconds
    needed = np.fmax(after_oom(events.limit_bytes, settings), events.usage_bytes)
    needed = np.where(np.isfinite(needed), needed, 0.0)
    # A kill stamped in the future (a clock that jumped back) counts as one of just now.
    with np.errstate(invalid="ignore"):
        held = np.where(age < settings.oom_hold_seconds, needed, 0.0)
        remembered = np.where(age <= settings.oom_memory_seconds, needed, 0.0)
    return OomMemory(held.max(axis=1, initial=0.0), remembered.max(axis=1, initial=0.0))


@dataclass(frozen=True, slots=True)
class LimitPlan:
    """The limits after hysteresis, for the rows of a `Recommendations`; NaN: nothing to say."""

    limit_bytes: FloatArray  # [n]
    reason: CodeArray  # [n] LimitReason


def settle(
    recommendations: Recommendations,
    limit_bytes: FloatArray,
    remembered_bytes: FloatArray,
    settings: GuardSettings,
) -> LimitPlan:
    """Limits [n] to put in force: the target where the one in force lies outside the band, else no change.

    `limit_bytes` [n] is in force now (NaN: none), `remembered_bytes` [n] comes from `remember_ooms`.
    """
    unset = np.isnan(limit_bytes)
    with np.errstate(invalid="ignore"):
        outside = (limit_bytes < recommendations.lower_bytes) | (limit_bytes > recommendations.upper_bytes)
    moved = recommendations.ready & (unset | outside)
    least = np.where(unset, 0.0, limit_bytes * (1 - settings.largest_cut))
    limit = np.where(moved, np.fmax(recommendations.target_bytes, least), limit_bytes)
    reason = np.where(moved, LimitReason.OUT_OF_BAND, LimitReason.WITHIN_BAND)
    reason = np.where(moved & unset, LimitReason.FIRST, reason)
    with np.errstate(invalid="ignore"):
        reason = np.where(
            recommendations.ready & (limit < remembered_bytes), LimitReason.OOM_PRICED_IN, reason
        )
    reason = np.where(recommendations.ready, reason, LimitReason.NOT_READY)
    return LimitPlan(limit, reason.astype(np.int8))
