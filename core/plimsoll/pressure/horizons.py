"""What came of a bank's forecasts: `outcome.py` for all scopes at once, on arrays.

In: the bank's forecasts as they are made, and, second by second, whether scopes were under pressure (1.0),
calm (0.0) or nobody could tell (NaN). Out: forecasts whose horizon is over, each with what came [n]; NaN
where the horizon was not watched closely enough. Scopes may be forecast at a pace of their own, as long as
their pressure is noted every few seconds. Also the score: faded Brier score and share of right calls.
"""

import math
from collections import deque
from dataclasses import dataclass

import numpy as np

from plimsoll.pressure.bank import BankForecast, Rows
from plimsoll.pressure.outcome import MAX_GAP_SECONDS
from plimsoll.pressure.protocol import HORIZON_SECONDS, FloatArray

MOST_PENDING = 64  # forecasts; more than a horizon's worth at several a second
SCORE_MEMORY = 0.005  # a forecast's share of the score: the last few hundred count
CALL = 0.5  # a probability from which on pressure was called


@dataclass(slots=True)
class Score:
    """How good forecasts were of late, over all scopes."""

    judged: int = 0
    pressed: int = 0
    brier: float = math.nan
    right_ratio: float = math.nan

    def take(self, probability: FloatArray, realised: FloatArray) -> None:
        """Judge forecasts [n] by what came [n], both known."""
        self.judged += len(realised)
        self.pressed += int(realised.sum())
        right = (probability >= CALL) == (realised > 0.5)
        gain = 1.0 - (1.0 - SCORE_MEMORY) ** len(realised)
        for name, value in (("brier", (probability - realised) ** 2), ("right_ratio", right)):
            before, mean = getattr(self, name), float(np.mean(value))
            setattr(self, name, mean if math.isnan(before) else before + gain * (mean - before))


class BankOutcomes:
    """Forecasts of a bank that wait for their horizon to pass; rows are the bank's."""

    def __init__(self, horizon_seconds: float = HORIZON_SECONDS) -> None:
        self._horizon_seconds = horizon_seconds
        self._pending: deque[BankForecast] = deque(maxlen=MOST_PENDING)
        # [rows]: when each row was last under pressure, last seen, and when the last unwatched gap ended.
        self._times: FloatArray = np.full((3, 0), -np.inf)
        self._now_seconds = -math.inf
        self.score = Score()

    def expect(self, forecast: BankForecast) -> None:
        """Keep forecasts until they can be judged."""
        if len(forecast.rows):
            self._make_room(int(forecast.rows.max()))
            self._pending.append(forecast)

    def note(self, rows: Rows, pressure: FloatArray, now_seconds: float) -> None:
        """What was seen of these rows since they were last noted: 1.0, 0.0 or NaN each [n]."""
        if now_seconds < self._now_seconds:  # the clock went back: what is pending was asked by another one
            self._pending.clear()
            self._times[:] = -np.inf
        self._now_seconds = now_seconds
        if not len(rows):
            return
        self._make_room(int(rows.max()))
        pressed, seen, gap_end = self._times
        unknown = np.isnan(pressure) | (now_seconds - seen[rows] > MAX_GAP_SECONDS)
        gap_end[rows[unknown & (pressure != 1.0)]] = now_seconds
        pressed[rows[pressure == 1.0]] = now_seconds
        seen[rows] = now_seconds

    def matured(self, now_seconds: float) -> list[tuple[BankForecast, FloatArray]]:
        """Forecasts whose horizon is over by now, the oldest first, each with what came of its rows [n]."""
        done = []
        while self._pending and self._pending[0].seconds + self._horizon_seconds <= now_seconds:
            forecast = self._pending.popleft()
            realised = self._came(forecast, now_seconds)
            known = np.isfinite(realised) & np.isfinite(forecast.probability)
            if known.any():
                self.score.take(forecast.probability[known], realised[known])
            done.append((forecast, realised))
        return done

    def forget(self, rows: Rows) -> None:
        """These rows are given back: what is pending of them is nobody's."""
        known = rows[rows < self._times.shape[1]]
        self._times[:, known] = -np.inf
        for forecast in self._pending:
            forecast.probability[np.isin(forecast.rows, rows)] = np.nan
            forecast.inputs[np.isin(forecast.rows, rows)] = np.nan

    def _came(self, forecast: BankForecast, now_seconds: float) -> FloatArray:
        pressed, seen, gap_end = self._times[:, forecast.rows]
        late = now_seconds - forecast.seconds > self._horizon_seconds + MAX_GAP_SECONDS
        watched = (
            (gap_end <= forecast.seconds) & (seen > forecast.seconds) & np.isfinite(forecast.probability)
        )
        came = np.where(pressed > forecast.seconds, 1.0, np.where(watched, 0.0, np.nan))
        return np.where(np.isfinite(forecast.probability) & ~np.bool_(late), came, np.nan)

    def _make_room(self, row: int) -> None:
        lacking = row + 1 - self._times.shape[1]
        if lacking > 0:
            more = np.full((3, max(16, lacking)), -np.inf)
            self._times = np.concatenate([self._times, more], axis=1)
