"""Rows of what was drawn: figures in, rows out whose intervals say what they are of.

In: values of a figure, as measured and in every draw of a bootstrap over groups of siblings. Out: rows with
the number of series and of groups. One group has no interval; where nothing was seen to happen (no kill, no
difference in kills, no hour of a broken promise) the interval reaches as far as that does not exclude.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from plimsoll.replay.promises import Kept, realised_over_promised
from plimsoll.replay.resample import OOM, UNSEEN_EVENTS, groups_in, interval, unseen_kills
from plimsoll.replay.score import Interval, SeriesScores
from plimsoll.replay.series import FloatArray
from report import Row, finite

UNITS = ("1/1000 container-days", "fraction of the limit", "1/container-day")
NAMES = ("oom", "slack", "changes_per_container_day")
NONE = "nothing to divide by, or no setting that comes so far"


@dataclass(frozen=True, slots=True)
class Drawn:
    """What the draws of some rows are of, and the command that makes them."""

    n: int  # series
    groups: int  # of siblings
    unseen_kills: float  # OOM/1000 cd that none at all does not exclude
    command: str

    @staticmethod
    def of(scores: SeriesScores, weights: FloatArray, command: str) -> "Drawn":
        """Of the series that weigh something."""
        n = int((weights[0] > 0).sum())
        return Drawn(n, groups_in(scores, weights), unseen_kills(scores, weights), command)

    def row(self, name: str, found: Interval, unit: str) -> Row:
        """A row without peers."""
        share = None if found.finite == 1 else found.finite
        row = Row(name, None, unit, self.n, self.command, groups=self.groups, finite_draws=share)
        if not np.isfinite(found.value):
            return replace(row, why=NONE)
        return replace(row, value=found.value, low=finite(found.low), high=finite(found.high))

    def figure(self, name: str, values: FloatArray, unit: str, at_most: float = np.nan) -> Row:
        """A figure; `at_most`: what it may be although nothing was seen."""
        return self.row(name, interval(values, self.groups, at_most), unit)

    def difference(self, name: str, values: FloatArray, unit: str, at_most: float = np.nan) -> Row:
        """One minus another on the same draws; `at_most`: of either, where they do not differ in any."""
        found = interval(values, self.groups)
        if found.value == found.low == found.high == 0 and np.isfinite(at_most):
            found = replace(found, low=-at_most, high=at_most)
        return self.row(name, found, unit)

    def ratio(self, name: str, kept: Kept, weights: FloatArray) -> Row:
        """Realised over promised chances of an exceedance."""
        promised = float(weights[0] @ kept.promised.sum(axis=1))
        return self.figure(name, realised_over_promised(kept, weights), "ratio", unseen_over(promised))

    def figures(self, prefix: str, values: FloatArray) -> Iterator[Row]:
        """Kills, slack and changes of one arm, `values` [r, 3] of all draws."""
        for column, (name, unit) in enumerate(zip(NAMES, UNITS, strict=True)):
            yield self.figure(f"{prefix}.{name}", values[:, column], unit, self.at_most(column))

    def differences(self, prefix: str, values: FloatArray, end: str = "") -> Iterator[Row]:
        """The same of one arm minus another."""
        for column, (name, unit) in enumerate(zip(NAMES, UNITS, strict=True)):
            yield self.difference(f"{prefix}.{name}{end}", values[:, column], unit, self.at_most(column))

    def at_most(self, column: int) -> float:
        """What a column may be although nothing was seen: kills alone are counted."""
        return self.unseen_kills if column == OOM else np.nan


def unseen_over(exposure: float) -> float:
    """The rate over this exposure that no event at all does not exclude."""
    return UNSEEN_EVENTS / exposure if exposure else float("nan")


def plain(found: Interval) -> list[float | None]:
    """Value, low, high as JSON has them."""
    return [finite(found.value), finite(found.low), finite(found.high)]
