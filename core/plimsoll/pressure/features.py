"""From samples to the inputs of the pre-trained predictors: one formula for one scope and for thousands.

In: a sample's numbers, and running means of them over 1, 5 and 15 seconds. Out: `FEATURES`, each bounded.
Everything is arithmetic without branches, so the same lines run on floats (one scope, microseconds) and on
arrays (all scopes of a kube node at once). Counts and rates are squashed by x / (x + scale): no logarithm, no
overflow, and what was never seen in training cannot leave the range that was. A slope is the distance from a
running mean, which is a difference over its time constant and costs no history. Unknown numbers keep what was
known before, or what a calm scope has.
"""

import math
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from plimsoll.pressure.protocol import HORIZON_SECONDS, FloatArray
from plimsoll.pressure.sample import MAX_PERIOD_SECONDS, SAMPLE_FIELDS, PressureSample, ScopeKind

Value = TypeVar("Value", float, FloatArray)

TIME_CONSTANTS_SECONDS = (1.0, 5.0, 15.0)
# What is followed, what a calm scope has, and the scale at which a squashed value is a half (None: a share).
FOLLOWED: dict[str, tuple[float, float | None]] = {
    "free": (0.5, None),
    "available": (0.5, None),
    "allocation": (0.0, 0.02),  # shares of the scope's memory a second
    "compactions": (0.0, 1.0),  # a second
    "direct_reclaims": (0.0, 20.0),
    "refaults": (0.0, 200.0),
    "psi_some": (0.0, 0.05),
    "psi_full": (0.0, 0.02),
    "events": (0.0, 2.0),  # high and max, a second
    "ooms": (0.0, 0.05),
    "swap": (0.0, None),
    "fragmentation": (0.5, None),
}
LEVELS = ("free", "available", "swap", "fragmentation")
RATES = tuple(name for name in FOLLOWED if name not in LEVELS)
COUNT = len(FOLLOWED)
STATE_SIZE = COUNT * (1 + len(TIME_CONSTANTS_SECONDS))  # the last values, then their means
# Above it a number is not believed: no share is more than the whole, no rate that large.
MOST = tuple(1.0 if scale is None or name.startswith("psi") else 1e9 for name, (_, scale) in FOLLOWED.items())
CALM = tuple(calm for calm, _ in FOLLOWED.values())
SLOPE_GAIN = 4.0  # shares per horizon that fill a slope's range: a quarter of the memory

FEATURES = (
    *(f"{name}_now" for name in FOLLOWED),
    *(f"{name}_mean_{int(tau)}s" for name in RATES for tau in TIME_CONSTANTS_SECONDS),
    *(f"{name}_slope_{int(tau)}s" for name in LEVELS for tau in TIME_CONSTANTS_SECONDS),
    *(f"exhaustion_{int(tau)}s" for tau in TIME_CONSTANTS_SECONDS),
    "exhaustion_free",
    "is_numa_node",
    "is_container",
)
FEATURE_COUNT = len(FEATURES)

_AT = {name: index for index, name in enumerate(SAMPLE_FIELDS)}
_INDEX = {name: index for index, name in enumerate(FOLLOWED)}
_RATE_SCALES = tuple((_INDEX[name], FOLLOWED[name][1] or 1.0) for name in RATES)
_LEVEL_INDICES = tuple(_INDEX[name] for name in LEVELS)
_MEANS = COUNT


def followed(values: Sequence[Value], total_bytes: Value, period_seconds: Value) -> list[Value]:
    """What is followed, in the order of `FOLLOWED`, out of a sample's numbers; NaN stays NaN."""
    return [
        values[_AT["free_ratio"]],
        values[_AT["available_ratio"]],
        values[_AT["allocation_bytes_per_second"]] / total_bytes,
        values[_AT["compactions"]] / period_seconds,
        values[_AT["direct_reclaims_per_second"]],
        values[_AT["refaults_per_second"]],
        values[_AT["psi_some_ratio"]],
        values[_AT["psi_full_ratio"]],
        (values[_AT["events_high"]] + values[_AT["events_max"]]) / period_seconds,
        values[_AT["oom_kills"]] / period_seconds,
        values[_AT["swap_used_ratio"]],
        values[_AT["fragmentation_ratio"]],
    ]


def advance(state: list[Value], now: Sequence[Value], gains: Sequence[Value]) -> None:
    """Move the running means [STATE_SIZE] towards what is now; a gain per time constant, 1 starts anew."""
    for index, value in enumerate(now):
        state[index] = value
        at = COUNT + index
        for gain in gains:
            state[at] = state[at] + (value - state[at]) * gain
            at += COUNT


def inputs_of(state: Sequence[Value], is_numa_node: Value, is_container: Value) -> list[Value]:
    """The features, from the running means."""
    out: list[Value] = []
    out.extend(state[index] for index in _LEVEL_INDICES[:2])
    out += [state[index] / (state[index] + scale) for index, scale in _RATE_SCALES]
    out += [state[index] for index in _LEVEL_INDICES[2:]]
    for index, scale in _RATE_SCALES:
        for mean in range(_MEANS + index, STATE_SIZE, COUNT):
            out.append(state[mean] / (state[mean] + scale))
    for index in _LEVEL_INDICES:
        for mean in range(_MEANS + index, STATE_SIZE, COUNT):
            change = SLOPE_GAIN * (state[index] - state[mean])
            out.append(change / (1.0 + abs(change)))
    available = state[_INDEX["available"]]
    for number, tau in enumerate(TIME_CONSTANTS_SECONDS):
        used_per_second = (state[_MEANS + number * COUNT + _INDEX["available"]] - available) / tau
        out.append(_exhaustion(available, used_per_second))
    allocated_per_second = state[_MEANS + _INDEX["allocation"]]
    out.append(_exhaustion(state[_INDEX["free"]], allocated_per_second))
    out.append(is_numa_node)
    out.append(is_container)
    return out


def _exhaustion(left: Value, used_per_second: Value) -> Value:
    """0 where nothing is used up, 0.5 where it lasts just the horizon, 1 where it is gone."""
    used = (abs(used_per_second) + used_per_second) * (0.5 * HORIZON_SECONDS)
    return used / (used + left + 1e-3)


class ScopeFeatures:
    """The running means of one scope."""

    def __init__(self, kind: ScopeKind) -> None:
        self._flags = (float(kind is ScopeKind.NUMA_NODE), float(kind is ScopeKind.CONTAINER))
        self._state = list(CALM) * (1 + len(TIME_CONSTANTS_SECONDS))
        self._seconds = -math.inf

    @property
    def state_bytes(self) -> int:
        """Bytes of numbers kept."""
        return 8 * (STATE_SIZE + 1)

    def take(self, values: Sequence[float], now_seconds: float) -> FloatArray | None:
        """The features [FEATURE_COUNT] of these sample's numbers; None where they cannot be used at all."""
        period, total = values[_AT["period_seconds"]], values[_AT["total_bytes"]]
        if not (0.0 < period <= MAX_PERIOD_SECONDS and 0.0 < total < math.inf):
            return None
        state = self._state
        now = [
            value if 0.0 <= value <= most else kept
            for value, most, kept in zip(followed(values, total, period), MOST, state, strict=False)
        ]
        since = now_seconds - self._seconds
        if 0.0 < since <= MAX_PERIOD_SECONDS:
            gains = [since / (since + tau) for tau in TIME_CONSTANTS_SECONDS]
        else:  # the first sample, or the clock leapt: what was followed before is of another time
            gains = [1.0] * len(TIME_CONSTANTS_SECONDS)
        self._seconds = now_seconds
        advance(state, now, gains)
        return np.array(inputs_of(state, *self._flags))


def usable(sample: PressureSample) -> bool:
    """Whether the sample has what every predictor needs: memory of a known size and what is left of it."""
    return (
        math.isfinite(sample.seconds)
        and 0.0 < sample.period_seconds <= MAX_PERIOD_SECONDS
        and 0.0 < sample.total_bytes < math.inf
        and (0.0 <= sample.free_ratio <= 1.0 or 0.0 <= sample.available_ratio <= 1.0)
    )
