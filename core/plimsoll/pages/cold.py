"""Which part of a container's memory is cold, by the page policy in force: a registry by name.

In: an idle-age histogram, the container's survival model, what it may cost. Out: cold bytes, or None where
the policy does not tell (then reclaim follows the kernel's own order). All are hot-swappable: they keep no
state of their own, only the survival model does, and it learns under every one of them.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from plimsoll.api.reclaim import ReclaimMode
from plimsoll.pages.guarded_plan import BUDGETED, GUARDED, REUSE
from plimsoll.pages.survival import SurvivalModel
from plimsoll.pages.working_set import IdleAges

COLD_AFTER_SECONDS = 120.0  # Google's far memory: a third of a fleet's memory is idle for so long


@dataclass(frozen=True, slots=True)
class Cold:
    """What is cold, and from which idle age on."""

    cold_bytes: int
    threshold_seconds: float


PagePolicy = Callable[[IdleAges, SurvivalModel, float], Cold | None]
"""Histogram, model, bytes a second that may come back -> what is cold."""


def lru(ages: IdleAges, model: SurvivalModel, bytes_per_second: float) -> Cold | None:  # noqa: ARG001
    """Tell nothing: the kernel takes what is oldest in its lists."""
    return None


def idle_age(ages: IdleAges, model: SurvivalModel, bytes_per_second: float) -> Cold | None:  # noqa: ARG001
    """What has been idle for two minutes."""
    return Cold(int(ages.idle_bytes(COLD_AFTER_SECONDS)), COLD_AFTER_SECONDS)


def survival(ages: IdleAges, model: SurvivalModel, bytes_per_second: float) -> Cold | None:
    """From the lowest age on at which what is expected back stays within the budget."""
    threshold = model.threshold_seconds(ages, bytes_per_second)
    return Cold(0 if math.isinf(threshold) else int(ages.idle_bytes(threshold)), threshold)


PAGE_POLICIES: Mapping[str, PagePolicy] = {"lru": lru, "idle-age": idle_age, "survival": survival}
# By address where that is known (`address_plan`): the guard's choice, or one expert's order throughout.
ADDRESS_POLICIES = (GUARDED, BUDGETED, REUSE)
POLICY_NAMES = (*PAGE_POLICIES, *ADDRESS_POLICIES)
DEFAULT_PAGE_POLICY = {ReclaimMode.COLD: "idle-age", ReclaimMode.PREDICTIVE: GUARDED}


def by_ages(name: str) -> str:
    """The policy that speaks where memory is known by its idle ages alone."""
    return "survival" if name in ADDRESS_POLICIES else name


def page_policy(name: str) -> PagePolicy:
    """Look one up. Raises KeyError with a sentence that names those there are."""
    try:
        return PAGE_POLICIES[by_ages(name)]
    except KeyError:
        raise KeyError(f"no page policy {name!r}; there are {', '.join(POLICY_NAMES)}") from None
