"""Several models, weighed per container by how well each of them did lately.

In: windows, and the peaks that came. Out: a distribution whose log quantiles are the weighted mean of the
members'. Each hour a row's members are charged the pinball loss of the log of what came against the quantiles
they had said; losses fade with a half-life of a day; weights are exponential in the faded loss
(exponentially weighted forecasters, Cesa-Bianchi & Lugosi 2006), mixed with a floor (fixed share, Herbster &
Warmuth 1998), so that no model is lost to the fashion of one day. Weights are memory that is not in the
history: what each member has lost goes into the row's checkpoint by the member's name, and comes back from
there.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from plimsoll.forecast.protocol import FittedPeak, Hindcast, Outcome, PeakDistribution, PeakModel
from plimsoll.forecast.window import FloatArray, IntArray, UsageWindow
from plimsoll.usage.grown import grown, rows_up_to
from plimsoll.usage.sample import HOUR_SECONDS

JUDGED_LEVELS = np.array([0.5, 0.9, 0.99])
FADE = 0.5 ** (1 / 24)  # an hour's: half-life of a day
RATE = 30.0  # losses are in logs of bytes: 0.03 of them is what e^-1 takes
FLOOR = 0.05  # of the weight, shared by all members
MOST_LOSS = 1e6  # faded; no honest one comes near, for a day's losses are a few units of logs


class EnsemblePeak:
    """Members by name, and what each row has seen of them."""

    name = "ensemble"

    def __init__(self, members: Sequence[Callable[[], PeakModel]]) -> None:
        self._members = [member() for member in members]
        count = len(self._members)
        self._loss: FloatArray = np.zeros((0, count))  # faded
        self._said: FloatArray = np.full((0, count, len(JUDGED_LEVELS)), np.nan)  # for the open hour

    def fit(self, window: UsageWindow) -> FittedPeak:
        """Fit all members, and note what they say of rows that have no hour open."""
        fitted = [member.fit(window) for member in self._members]
        if window.rows is None:
            return FittedEnsemble(fitted, self._weights(np.zeros((len(window), len(fitted)))))
        self._grow(window.rows)
        said = np.stack([each.predict(HOUR_SECONDS, JUDGED_LEVELS).values_bytes for each in fitted], axis=1)
        open_ = np.isfinite(self._said[window.rows, 0, 0])[:, None, None]
        self._said[window.rows] = np.where(open_, self._said[window.rows], said)
        return FittedEnsemble(fitted, self._weights(self._loss[window.rows]))

    def update(self, outcome: Outcome) -> None:
        """Charge every member for what it had said, and close the hour."""
        self._grow(outcome.rows)
        said = self._said[outcome.rows]
        came = np.log(np.maximum(outcome.peak_bytes, 1.0))[:, None, None]
        error = came - np.log(np.maximum(said, 1.0))
        loss = np.maximum(JUDGED_LEVELS * error, (JUDGED_LEVELS - 1) * error).sum(axis=2)
        judged = np.isfinite(loss).all(axis=1)
        rows = outcome.rows[judged]
        self._loss[rows] = FADE * self._loss[rows] + loss[judged]
        self._said[outcome.rows] = np.nan
        for member in self._members:
            member.update(outcome)

    def forget(self, rows: IntArray) -> None:
        """Even weights again."""
        self._grow(rows)
        self._loss[rows] = 0.0
        self._said[rows] = np.nan
        for member in self._members:
            member.forget(rows)

    def learned(self, row: int) -> Mapping[str, float]:
        """Each member's faded loss, where the row has judged any."""
        if row >= len(self._loss) or not self._loss[row].any():
            return {}
        losses = zip(self._members, self._loss[row].tolist(), strict=True)
        return {member.name: float(f"{loss:.6g}") for member, loss in losses}

    def relearn(self, row: int, learned: Mapping[str, float]) -> None:
        """Take losses up again; nothing without a word on every member: they are weighed by each other."""
        losses = [learned.get(member.name, math.nan) for member in self._members]
        rows = np.array([row], dtype=np.int32)
        self._grow(rows)
        if all(0.0 <= loss <= MOST_LOSS for loss in losses) and not self._loss[row].any():
            self._loss[row] = losses

    def weights(self, rows: IntArray) -> FloatArray:
        """The members' weights [n, members], as they are now."""
        self._grow(rows)
        return self._weights(self._loss[rows])

    @staticmethod
    def _weights(loss: FloatArray) -> FloatArray:
        raw = np.exp(-RATE * (loss - loss.min(axis=1, keepdims=True)))
        share = raw / raw.sum(axis=1, keepdims=True)
        return np.asarray((1 - FLOOR) * share + FLOOR / loss.shape[1])

    def _grow(self, rows: IntArray) -> None:
        self._loss = grown(self._loss, rows_up_to(rows), 0.0)
        self._said = grown(self._said, rows_up_to(rows), np.nan)


@dataclass(frozen=True)
class FittedEnsemble:
    """The members' words and their weights."""

    members: Sequence[FittedPeak]
    weights: FloatArray  # [n, members]

    def predict(self, horizon_seconds: float, levels: FloatArray) -> PeakDistribution:
        """Weighted mean of log quantiles; a member that knows nothing of a row leaves its weight."""
        logs = np.stack(
            [
                np.log(np.maximum(each.predict(horizon_seconds, levels).values_bytes, 1.0))
                for each in self.members
            ],
            axis=1,
        )
        known = np.isfinite(logs).all(axis=2)
        weight = np.where(known, self.weights, 0.0)
        total = weight.sum(axis=1, keepdims=True)
        mean = (np.where(known[:, :, None], logs, 0.0) * weight[:, :, None]).sum(axis=1)
        values = np.where(total > 0, np.exp(mean / np.where(total > 0, total, 1.0)), np.nan)
        return PeakDistribution(levels, values)

    def hindcast(self) -> Hindcast:
        """None of its own: members are judged one by one, and the promise as a whole is kept elsewhere."""
        point = self.members[0].hindcast().point_bytes
        return Hindcast(point, np.empty((len(point), 0)))
