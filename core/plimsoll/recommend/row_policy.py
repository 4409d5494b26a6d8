"""What a policy says about how one row is forecast and priced, and the same for all rows in columns.

In: an `EffectiveContainerPolicy`. Out: a `RowPolicy`, small enough to cross a pipe with every container, and
`PolicyColumns`, which the pipeline indexes by rows. A value that cannot be honoured (a model nobody knows)
falls back to the default here; that it does is said in a condition of the policy (`api.conditions`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, inf, nan

import numpy as np

from plimsoll.api.effective import Basis, EffectiveContainerPolicy
from plimsoll.forecast.registry import DEFAULT_MODEL, POLICY_MODELS, model_names
from plimsoll.forecast.window import HISTORY_HOURS, FloatArray, IntArray
from plimsoll.recommend.objective import Ask, asked_of, price_of
from plimsoll.usage.grown import grown
from plimsoll.usage.sample import HOUR_SECONDS

UNSAID = -1  # code of a row whose model no policy names


@dataclass(frozen=True, slots=True)
class RowPolicy:
    """One row's. The defaults say nothing: the pipeline's settings stand."""

    oom_price: float | None = None  # container-days of unused limit that a kill is worth
    model: str = ""  # a name of the registry; "": the pipeline's own
    history_hours: int = HISTORY_HOURS  # how far back the forecast looks
    buffer_min_fraction: float = -inf  # of the forecast's 95 % quantile, least above it
    buffer_max_fraction: float = inf  # ... and most
    leak_window_hours: int = 24  # how long growth must have lasted to be a leak
    holidays: tuple[str, ...] = ()  # for the model `prophet`: country codes and dates
    asked: Ask | None = None  # the operating point that its fleet's price is steered to (`steering`)
    needed: bool = False  # the limit is made for needed memory (`usage.needed`)


@lru_cache(maxsize=4096)  # a policy's few containers, asked for each of 100,000
def row_policy(policy: EffectiveContainerPolicy) -> RowPolicy:
    """What `policy` says about the rows of its container."""
    least, most = policy.buffer_min_fraction, policy.buffer_max_fraction
    return RowPolicy(
        oom_price=price_of(policy),
        model=policy.model_name if policy.model_name in POLICY_MODELS else DEFAULT_MODEL,
        history_hours=min(ceil(policy.history_seconds / HOUR_SECONDS), HISTORY_HOURS),
        buffer_min_fraction=-inf if least is None else least,
        buffer_max_fraction=inf if most is None else most,
        leak_window_hours=min(max(policy.leak_window_seconds // HOUR_SECONDS, 1), HISTORY_HOURS),
        holidays=policy.holidays,
        asked=asked_of(policy.objective) if policy.oom_price is None else None,
        needed=policy.basis is Basis.NEEDED,
    )


class PolicyColumns:
    """The policies of all rows of a history, [capacity] each."""

    def __init__(self) -> None:
        self.oom_price: FloatArray = np.empty(0)  # NaN: what the pipeline's objective says
        self.model: IntArray = np.empty(0, dtype=np.int32)  # place in `model_names()`, or UNSAID
        self.history_hours: IntArray = np.empty(0, dtype=np.int32)
        self.buffer_min: FloatArray = np.empty(0)  # -inf: no bound
        self.buffer_max: FloatArray = np.empty(0)  # inf: no bound
        self.asked: IntArray = np.empty(0, dtype=np.int32)  # place in `asks`, or UNSAID
        self.asks: list[Ask] = []  # every one that was ever asked for: a few

    def grow(self, capacity: int) -> None:
        """Make room for `capacity` rows; new ones say nothing."""
        self.oom_price = grown(self.oom_price, capacity, nan)
        self.model = grown(self.model, capacity, UNSAID)
        self.history_hours = grown(self.history_hours, capacity, HISTORY_HOURS)
        self.buffer_min = grown(self.buffer_min, capacity, -inf)
        self.buffer_max = grown(self.buffer_max, capacity, inf)
        self.asked = grown(self.asked, capacity, UNSAID)

    def put(self, rows: IntArray, policies: Sequence[RowPolicy]) -> None:
        """The policies of `rows` [n] are these."""
        codes = {name: place for place, name in enumerate(model_names())}
        prices = (nan if each.oom_price is None else each.oom_price for each in policies)
        self.oom_price[rows] = np.fromiter(prices, dtype=np.float64, count=len(policies))
        self.model[rows] = [codes.get(each.model, UNSAID) for each in policies]
        self.history_hours[rows] = [each.history_hours for each in policies]
        self.buffer_min[rows] = [each.buffer_min_fraction for each in policies]
        self.buffer_max[rows] = [each.buffer_max_fraction for each in policies]
        self.asked[rows] = [self._code(each.asked) for each in policies]

    def _code(self, asked: Ask | None) -> int:
        if asked is None:
            return UNSAID
        if asked not in self.asks:
            self.asks.append(asked)
        return self.asks.index(asked)

    def clear(self, rows: IntArray) -> None:
        """Rows were freed or given to another container."""
        self.put(rows, [RowPolicy()] * len(rows))
