"""What came of a forecast: did the scope come under pressure within the horizon?

In: the samples as they come, and the forecasts made meanwhile. Out: each forecast with 1.0 or 0.0 once its
horizon is over, and not before; a forecast whose horizon was not watched closely enough, or in which the
kernel said nothing of pressure, is dropped and never counted as calm.

Pressure is what costs somebody time: tasks stalled on memory for more than `some_ratio` of a second (PSI),
a task that had to compact memory itself, or an OOM kill. Reaching a limit is none: a container full of page
cache lives at its limit.
"""

import math
from collections import deque
from dataclasses import dataclass

from plimsoll.pressure.protocol import PressureForecast
from plimsoll.pressure.sample import PressureSample

# The longest stretch of a horizon that may go unwatched before nothing can be said of it.
MAX_GAP_SECONDS = 3.0
# A predictor that is never told what came would otherwise keep its questions for ever.
MAX_PENDING = 512


@dataclass(frozen=True, slots=True)
class PressureRule:
    """When a sample is one of pressure. A lower `some_ratio` warns of smaller stalls, and more often."""

    some_ratio: float = 0.05
    compactions: float = 1.0


def under_pressure(sample: PressureSample, rule: PressureRule) -> float:
    """1.0 under pressure, 0.0 calm, NaN where the kernel tells nothing that would show it."""
    if (
        sample.oom_kills >= 1
        or sample.compactions >= rule.compactions
        or sample.psi_some_ratio >= rule.some_ratio
    ):
        return 1.0
    return math.nan if math.isnan(sample.psi_some_ratio) else 0.0


@dataclass(frozen=True, slots=True)
class Realised:
    """A forecast and what came: 1.0 pressure, 0.0 none."""

    forecast: PressureForecast
    pressure: float


class Outcomes:
    """Forecasts of one scope that wait for their horizon to pass."""

    def __init__(self, rule: PressureRule | None = None) -> None:
        self._rule = rule or PressureRule()
        self._pending: deque[PressureForecast] = deque(maxlen=MAX_PENDING)
        self._pressed_seconds = -math.inf
        self._gap_end_seconds = -math.inf
        self._seen_seconds = math.nan

    def expect(self, forecast: PressureForecast) -> None:
        """Keep a forecast until it can be judged; one without a probability promises nothing."""
        if math.isfinite(forecast.probability):
            self._pending.append(forecast)

    def see(self, sample: PressureSample) -> list[Realised]:
        """Take a sample; returns the forecasts whose horizon is over with it, oldest first."""
        now = sample.seconds
        if now <= self._seen_seconds:
            self._pending.clear()  # the clock went back: what is pending was asked by another clock
            self._pressed_seconds = self._gap_end_seconds = -math.inf
        pressure = under_pressure(sample, self._rule)
        if pressure == 1.0:
            self._pressed_seconds = now
        elif math.isnan(pressure) or now - self._seen_seconds > MAX_GAP_SECONDS:
            self._gap_end_seconds = now
        self._seen_seconds = now
        return list(self._matured(now))

    def _matured(self, now: float) -> list[Realised]:
        done = []
        # Pressure settles a forecast only at the end of its horizon too: outcomes stay in order.
        while self._pending and self._pending[0].seconds + self._pending[0].horizon_seconds <= now:
            forecast = self._pending.popleft()
            if now - forecast.seconds > forecast.horizon_seconds + MAX_GAP_SECONDS:
                continue
            if self._pressed_seconds > forecast.seconds:
                done.append(Realised(forecast, 1.0))
            elif self._gap_end_seconds <= forecast.seconds:
                done.append(Realised(forecast, 0.0))
        return done
