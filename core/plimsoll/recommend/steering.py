"""The price that a fleet's containers share, moved until what they asked for comes out.

In: rows whose policy asks for `slack:X` or `oom:X`, and hour by hour the slack and the kills that came of
their limits. Out: factors of the price. A table of training series says where to begin; slack and
kills at one price hang on who is in the fleet, by a fifth and more (docs/decisions/0082). So all rows that
ask for the same share one offset of the log of the price, and each hour of each adds its part of the error to
it (integral control): in the mean over T hours the fleet is off by at most its reach over gain x T. Only
hours count in which the limit that was decided was in force: what comes of a person's own (mode Recommend,
a pause, `limits.min`) says nothing of a price, and would drive it to its bound (docs/decisions/0138).
No container gets another price than its like, and a replay under the contract, where a series may know of
itself only, is never steered. Every row's checkpoint keeps the offset of what it asks for, and the newest is
where a restarted operator, or another replica, goes on (docs/decisions/0247).
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from plimsoll.forecast.window import FloatArray, mean
from plimsoll.recommend.in_an_hour import InAnHour
from plimsoll.recommend.objective import Ask
from plimsoll.recommend.row_policy import UNSAID, PolicyColumns
from plimsoll.usage.sample import DAY_SECONDS, HOUR_SECONDS

STEERED = "price-steering"  # under this name a row's checkpoint keeps where the price is
MOST_LOG = np.log(16.0)  # no further from the price of the table
SURE_KILLS = 2.0  # expected in a day; a smaller fleet is steered by so much less
HOURS_IN_1000_DAYS = 1000 * DAY_SECONDS / HOUR_SECONDS
Rows = npt.NDArray[np.integer]
ROUNDING = 1.01  # a limit is written in whole MiB, and its float in the kernel's pages
ROUNDING_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Gains:
    """Log of price an hour ..."""

    slack: float = 1.0  # for a slack that is off by 1: half of an error is gone within a day or so (0134)
    kills: float = 0.02  # for as many kills again as were asked for: they are rare, and come in bursts


def is_in_force(decided_bytes: FloatArray, limit_bytes: FloatArray) -> npt.NDArray[np.bool_]:
    """Which limits in force [n] are those that were decided [n], but for how they are rounded."""
    with np.errstate(invalid="ignore"):
        above = limit_bytes >= decided_bytes / ROUNDING
        return np.asarray(above & (limit_bytes <= decided_bytes * ROUNDING + ROUNDING_BYTES))


class PriceSteering:
    """Offsets of the log of the price, by what is asked for."""

    def __init__(self, policies: PolicyColumns, gains: Gains | None = None) -> None:
        self._policies = policies
        self._gains = gains or Gains()
        self._offset: dict[Ask, float] = {}
        self._hour: dict[Ask, float] = {}  # of the newest lesson, here or before a restart
        self._fleet: defaultdict[Ask, InAnHour] = defaultdict(InAnHour)

    def factor(self, ask: Ask) -> float:
        """The factor of the price for those that ask for this."""
        return float(np.exp(self._offset.get(ask, 0.0)))

    def told(self) -> dict[str, float]:
        """The factor of each objective that was asked for, as policies spell it (`slack:0.25`)."""
        return {f"{kind}:{wanted:g}": self.factor((kind, wanted)) for kind, wanted in self._policies.asks}

    def factors(self, rows: Rows) -> FloatArray:
        """The factors of the price of `rows` [n]; 1 where no point was asked for."""
        codes = self._policies.asked[rows]
        if not self._offset or (codes == UNSAID).all():
            return np.ones(len(codes))
        by_code = np.array([self.factor(ask) for ask in self._policies.asks])
        return np.where(codes == UNSAID, 1.0, by_code[codes])

    def learn(
        self, rows: Rows, usage_bytes: FloatArray, limit_bytes: FloatArray, killed: FloatArray, hour: int
    ) -> None:
        """An hour of `rows` [n] is over: usage [n, 12], the limit [n], whether it was exceeded; NaN: unseen.

        It is now `hour`. Rows come due one after the other; each weighs as one of those heard of in an hour.
        """
        codes = self._policies.asked[rows]
        for code in np.unique(codes[codes != UNSAID]).tolist():
            kind, wanted = ask = self._policies.asks[code]
            mine = codes == code
            fleet = self._fleet[ask].heard(int(np.count_nonzero(mine)), hour)
            if kind == "slack":
                errors = wanted - (1 - mean(usage_bytes[mine]) / limit_bytes[mine])
                gain = self._gains.slack
            else:
                errors = killed[mine] * HOURS_IN_1000_DAYS / wanted - 1.0
                gain = self._gains.kills * min(1.0, fleet * wanted / 1000 / SURE_KILLS)
            moved = self._offset.get(ask, 0.0) + gain * float(np.nansum(errors)) / fleet
            self._offset[ask] = float(np.clip(moved, -MOST_LOG, MOST_LOG))
            self._hour[ask] = hour

    def learned(self, row: int) -> Mapping[str, float]:
        """What a checkpoint of `row` keeps: what it asks for, the log of its factor, and of which hour."""
        code = int(self._policies.asked[row])
        ask = None if code == UNSAID else self._policies.asks[code]
        if ask is None or ask not in self._offset:
            return {}
        return {ask[0]: ask[1], "log": self._offset[ask], "hour": self._hour[ask]}

    def relearn(self, numbers: Mapping[str, float]) -> None:
        """Go on from what a checkpoint kept, unless something newer is known; what makes no sense is left."""
        kind = next((each for each in ("slack", "oom") if each in numbers), None)
        log, hour = numbers.get("log", np.nan), numbers.get("hour", np.nan)
        if kind is None or not (np.isfinite(log) and np.isfinite(hour)):
            return
        ask = (kind, numbers[kind])
        if hour > self._hour.get(ask, -np.inf):
            self._offset[ask] = float(np.clip(log, -MOST_LOG, MOST_LOG))
            self._hour[ask] = hour
