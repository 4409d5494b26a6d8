"""What the engine last recommended for every row, columnar, and the raises and uses of this tick.

In: ticks. Out: an `Ask` for a row or a pod, present use of a row, and the numbers that a profile shows.
Rows are due hourly; between two recommendations the last one stands, for the horizon is an hour and the
guards look at every loop.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from plimsoll.forecast.workload_class import WorkloadClass
from plimsoll.guard.state import Ask, Purpose
from plimsoll.recommend.recommendation import FloatArray, IntArray, Recommendations
from plimsoll.usage.grown import grown
from plimsoll.usage.needed import Basis
from plimsoll_operator.engine.messages import PodContainer, RowShapes, Tick

FIRST_ROWS = 1024
COLUMNS = ("target_bytes", "lower_bytes", "upper_bytes", "buffer_bytes", "request_bytes", "oom_price")
# A recommendation is forgotten when it has not been renewed for this long: two missed hours are a fault.
LONGEST_AGE_SECONDS = 3 * 3600.0
ASKED = "its agent was asked what it needs, and has not said yet; nothing moves on the forecast until then"
SOUGHT = (
    "its agent tells what it needs, and is still trying what it can do without; what was not tried yet counts"
    " for no forecast, and is not cut"
)


@dataclass(frozen=True, slots=True)
class RowView:
    """One row's recommendation as a profile shows it, bytes; what a kill was worth, whose forecast it is."""

    target_bytes: int
    lower_bytes: int
    upper_bytes: int
    buffer_bytes: int
    request_bytes: int
    quantiles: tuple[tuple[float, int], ...]
    made_seconds: float
    oom_price: float  # container-days of unused limit, NaN: not known
    stand_in: str = ""  # why another model answered than the policy's; "": its own did


@dataclass(frozen=True, slots=True)
class BasisView:
    """What a row's limit is made for, where its policy asks for needed memory."""

    basis: Basis
    needed_bytes: int | None
    sought: bool = False  # what is needed is still being found out

    @property
    def sentence(self) -> str:
        """Why, for people."""
        return _SOUGHT.get(self.basis, self.basis.sentence) if self.sought else self.basis.sentence


_SOUGHT = {Basis.NEEDED: SOUGHT, Basis.AWAITED: ASKED}


@dataclass(frozen=True, slots=True)
class LeakView:
    """A row that leaks: bytes a second with the interval around it, and since when it is told."""

    slope: float
    slope_low: float
    slope_high: float
    since_seconds: float


class Asks:
    """The last word of the engine on every row."""

    def __init__(self) -> None:
        self._values: FloatArray = np.full((FIRST_ROWS, len(COLUMNS)), np.nan)
        self._quantiles: FloatArray = np.empty((FIRST_ROWS, 0))
        self._levels: FloatArray = np.empty(0)
        self._made: FloatArray = np.full(FIRST_ROWS, np.nan)
        self._ready = np.zeros(FIRST_ROWS, dtype=np.bool_)
        self._usage: dict[int, tuple[float, float]] = {}
        self._raises: dict[PodContainer, tuple[int, str]] = {}
        self._holds: dict[int, str] = {}
        self._released: set[int] = set()  # rows whose hold ended or changed, until they are asked for
        self._covered: IntArray = np.empty(0, dtype=np.int32)  # ascending
        self._classes: dict[int, int] = {}
        self._leaks: dict[int, LeakView] = {}
        self._bases: dict[int, BasisView] = {}
        self._stand_ins: dict[int, str] = {}
        self.lent: Mapping[PodContainer, Ask] = {}
        """What coordination with agents asks for single pods: leases, and shrinks that are taken back."""

    def take(self, tick: Tick) -> None:
        """Take over one tick."""
        self._recommend(tick.recommendations, tick.now_seconds)
        for row in self._stand_ins.keys() & set(tick.recommendations.rows.tolist()):
            del self._stand_ins[row]
        self._stand_ins |= tick.stand_ins
        self._covered = np.sort(tick.covered)
        self._shape(tick.shapes)
        bases = tick.bases
        named = (bases.codes, bases.needed_bytes, bases.sought)
        columns = (bases.rows.tolist(), *(each.tolist() for each in named))
        self._bases = {
            row: BasisView(Basis(code), math.ceil(needed) if math.isfinite(needed) else None, sought)
            for row, code, needed, sought in zip(*columns, strict=True)
        }
        usage = tick.usage
        uses = (usage.rows.tolist(), usage.current_bytes.tolist(), usage.age_seconds.tolist())
        self._usage = {row: (used, age) for row, used, age in zip(*uses, strict=True)}
        holds = {row: reason for reason, rows in tick.holds.items() for row in rows.tolist()}
        self._released |= {row for row, why in self._holds.items() if holds.get(row) != why}
        self._holds = holds
        raises = zip(tick.raises.pods, tick.raises.limit_bytes.tolist(), tick.raises.reasons, strict=True)
        self._raises = {uid: (math.ceil(limit), reason) for uid, limit, reason in raises}

    def forget(self, rows: Sequence[int]) -> None:
        """These rows stand for nothing any more, and soon for another container."""
        mine = [row for row in rows if row < len(self._made)]
        for row in rows:
            self._classes.pop(row, None)
            self._leaks.pop(row, None)
            self._stand_ins.pop(row, None)
        self._ready[mine] = False
        self._made[mine] = np.nan

    def basis(self, row: int) -> BasisView | None:
        """What a row's limit is made for; None where its policy asks for usage."""
        return self._bases.get(row)

    def leak(self, row: int) -> LeakView | None:
        """The leak of a row; None where it has none."""
        return self._leaks.get(row)

    def leaking(self) -> tuple[int, ...]:
        """The rows that leak."""
        return tuple(self._leaks)

    def workload_class(self, row: int) -> str:
        """The shape of a row's usage, in a word; "" where it was never looked at."""
        code = self._classes.get(row)
        return "" if code is None else WorkloadClass(code).label

    def class_counts(self) -> dict[str, float]:
        """How many rows have each class."""
        found = Counter(self._classes.values())
        return {each.label: float(found[each]) for each in WorkloadClass if each in found}

    def raised(self) -> Iterator[tuple[PodContainer, Ask]]:
        """Pod-level raises of this tick."""
        return ((uid, self._urgent(limit, reason)) for uid, (limit, reason) in self._raises.items())

    def for_pod(self, uid: PodContainer, row: int, now_seconds: float) -> Ask | None:
        """What is asked for one container of one pod: its raise where there is one, else the row's target."""
        lent, raised = self.lent.get(uid), self._raises.get(uid)
        if lent is not None and (raised is None or raised[0] <= (lent.limit_bytes or 0)):
            return lent
        if raised is not None:
            return self._urgent(*raised)
        return self.for_row(row, now_seconds)

    def for_row(self, row: int, now_seconds: float) -> Ask | None:
        """What is asked for every pod of a row; None where nothing (recent) is."""
        if row in self._holds or row >= len(self._made) or not self._ready[row]:
            return None
        if not abs(now_seconds - self._made[row]) <= LONGEST_AGE_SECONDS:
            return None
        target, lower, upper, _, request, _ = self._values[row].tolist()
        whole = [
            math.ceil(value) if math.isfinite(value) else None for value in (target, lower, upper, request)
        ]
        if whole[0] is None:
            return None
        made = float(self._made[row])
        return Ask(whole[0], whole[3], lower_bytes=whole[1], upper_bytes=whole[2], made_seconds=made)

    def usage(self, row: int) -> tuple[float | None, float | None]:
        """Present use (bytes) and its age (seconds) of a row; None where there is no sample."""
        used, age = self._usage.get(row, (math.nan, math.nan))
        return (used, age) if math.isfinite(used) and math.isfinite(age) else (None, None)

    def why_silent(self, row: int) -> str:
        """Why the engine says nothing about a row, in one word; "" where it does."""
        return self._holds.get(row, "")

    def take_released(self) -> set[int]:
        """The rows whose hold ended, or is for another reason, since this was last asked."""
        released, self._released = self._released, set()
        return released

    def covered(self, row: int) -> bool:
        """True where the engine knows the row's last hour without a gap."""
        place = int(np.searchsorted(self._covered, row))
        return place < len(self._covered) and int(self._covered[place]) == row

    def knows(self, row: int) -> bool:
        """True where the engine has ever recommended something for a row, and has not taken it back."""
        return row < len(self._made) and bool(self._ready[row])

    def view(self, row: int) -> RowView | None:
        """The numbers of the last recommendation."""
        if not self.knows(row):
            return None
        *sizes, price = self._values[row].tolist()
        target, lower, upper, buffer, request = map(_whole, sizes)
        levels, values = self._levels.tolist(), self._quantiles[row].tolist()
        quantiles = tuple((level, _whole(value)) for level, value in zip(levels, values, strict=True))
        made, stand_in = float(self._made[row]), self._stand_ins.get(row, "")
        return RowView(target, lower, upper, buffer, request, quantiles, made, price, stand_in)

    def _shape(self, shapes: RowShapes) -> None:
        rows = shapes.rows.tolist()
        self._classes.update(zip(rows, shapes.workload_class.tolist(), strict=True))
        for row in shapes.rows[~shapes.leaks].tolist():
            self._leaks.pop(row, None)
        for place in np.flatnonzero(shapes.leaks).tolist():
            columns = (shapes.slope, shapes.slope_low, shapes.slope_high, shapes.since_seconds)
            self._leaks[rows[place]] = LeakView(*(float(each[place]) for each in columns))

    def _urgent(self, limit_bytes: int, reason: str) -> Ask:
        return Ask(limit_bytes, None, purpose=Purpose.URGENT, reason=reason)

    def _recommend(self, made: Recommendations, now_seconds: float) -> None:
        if not len(made.rows):
            return
        self._grow(int(made.rows.max()) + 1, len(made.quantile_levels))
        self._values[made.rows] = np.column_stack([getattr(made, name) for name in COLUMNS])
        self._levels = made.quantile_levels
        self._quantiles[made.rows] = made.quantile_bytes
        self._made[made.rows] = now_seconds
        self._ready[made.rows] = made.ready

    def _grow(self, rows: int, quantiles: int) -> None:
        if self._quantiles.shape[1] != quantiles:
            self._quantiles = np.full((len(self._made), quantiles), np.nan)
        self._values = grown(self._values, rows, np.nan)
        self._quantiles = grown(self._quantiles, rows, np.nan)
        self._made = grown(self._made, rows, np.nan)
        self._ready = grown(self._ready, rows, False)


def _whole(value: float) -> int:
    return max(0, math.ceil(value)) if math.isfinite(value) else 0
