"""From what a policy asks for to the price of an OOM kill: `balanced`, `slack:X`, `oom:X`, an importance.

In: the words of `limits.objective`, `limits.oomPrice` and `importance`. Out: a price in container-days of a
wholly unused limit that one kill is worth. `slack:X` and `oom:X` are looked up in a table that
`bench/train_prior.py` fitted to training series; it is never fitted to the series at hand.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np

from plimsoll.api.effective import EffectiveContainerPolicy, Importance
from plimsoll.api.limits import OBJECTIVE_FORMS
from plimsoll.forecast.prior import document

# A kill of a critical container is worth 16 kills of an unimportant one.
IMPORTANCE_FACTOR = {
    Importance.LOW: 0.25,
    Importance.NORMAL: 1.0,
    Importance.HIGH: 2.0,
    Importance.CRITICAL: 4.0,
}
BALANCED = "balanced"
Ask = tuple[str, float]  # ("slack", X) or ("oom", X)
DEFAULT_OBJECTIVE = "slack:0.268"


def oom_price_of(objective: str = BALANCED, importance: Importance = Importance.NORMAL) -> float:
    """Container-days of unused limit that one OOM kill is worth under `objective`; raises ValueError."""
    return _price(DEFAULT_OBJECTIVE if objective == BALANCED else objective) * IMPORTANCE_FACTOR[importance]


def price_of(policy: EffectiveContainerPolicy) -> float:
    """What a kill of this container is worth: the policy's price, else its objective, else its importance."""
    if policy.oom_price is not None:
        return policy.oom_price
    if policy.objective is not None:
        return oom_price_of(policy.objective)
    return oom_price_of(importance=policy.importance)


def asked_of(objective: str | None) -> Ask | None:
    """What `slack:X` and `oom:X` ask for, as ("slack", X); None for all else, misspelt ones too."""
    kind, _, text = (objective or "").partition(":")
    try:
        wanted = float(text)
    except ValueError:
        return None
    known = (kind == "slack" and 0 < wanted < 1) or (kind == "oom" and wanted > 0)
    return (kind, wanted) if known else None


def reachable(table: Mapping[str, Sequence[float]] | None = None) -> dict[str, tuple[float, float]]:
    """Least and most X of `slack:X` and `oom:X` that a table of prices (the shipped one) was measured at."""
    known = document()["objectives"] if table is None else table
    return {
        kind: (float(min(known[column])), float(max(known[column])))
        for kind, column in (("slack", "slack"), ("oom", "oom_per_1000_cd"))
    }


@lru_cache(maxsize=256)  # a policy's few objectives, asked for each of 100,000 containers
def _price(objective: str) -> float:
    return price_at(objective, document()["objectives"])


def price_at(objective: str, table: Mapping[str, Sequence[float]]) -> float:
    """The price at which `table` (oom_price, slack, oom_per_1000_cd) has `slack:X` or `oom:X`.

    Beyond what was measured its ends answer; a policy that asks for it is told so (`ObjectiveOutOfReach`).
    """
    kind, _, text = objective.partition(":")
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"objective {objective!r}: {OBJECTIVE_FORMS}") from None
    prices = np.log(np.array(table["oom_price"]))
    if kind == "slack" and 0 < value < 1:
        return float(np.exp(np.interp(value, table["slack"], prices)))
    if kind == "oom" and value > 0:
        # More kills allowed, lower price: kills fall as the table goes on, np.interp wants them to rise.
        return float(np.exp(np.interp(-value, -np.array(table["oom_per_1000_cd"]), prices)))
    raise ValueError(f"objective {objective!r}: {OBJECTIVE_FORMS}")
