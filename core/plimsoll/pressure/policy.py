"""From forecasts to actions before the pressure is there: compact a NUMA node, reclaim some bytes, or
nothing.

In: each scope's latest sample and forecast, and what of its memory may be reclaimed. Out: a plan of few
actions, each with its reason, and counts of what was done ahead of pressure (proactive) and what came too
late (reactive). How often: at most ten actions a second over all scopes, one at a time per scope.
Hysteresis: a scope is alarmed above one probability and calm again only below a lower one. Watchdog: a plan
that was not asked for in time, a forecast that is old, or actions that did nothing hold everything back for
a while. NaN acts on nothing. How much is decided here; shells only carry it out.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

from plimsoll.pressure.outcome import PressureRule, under_pressure
from plimsoll.pressure.protocol import PressureForecast, Source
from plimsoll.pressure.sample import PressureSample, ScopeKind


class ActionKind(Enum):
    """What can be done ahead of pressure."""

    COMPACT = "compact"
    RECLAIM = "reclaim"


@dataclass(frozen=True, slots=True)
class PolicySettings:
    """What the policy may do; the defaults were chosen on the model of `bench/pressure_kernel.py`."""

    alarm_probability: float = 0.5
    calm_probability: float = 0.25
    actions_per_second: float = 10.0
    scope_pause_seconds: float = 1.0  # between two actions on one scope: the first must show its effect
    stale_seconds: float = 2.0  # a forecast older than this is no ground to act
    watchdog_seconds: float = 10.0  # not asked for so long: what is known of scopes is of another time
    futile_actions: int = 5  # so many in a row without effect ...
    futile_pause_seconds: float = 30.0  # ... and the scope is left alone for so long
    compact_fragmentation_ratio: float = 0.5
    reclaim_step_ratio: float = 0.02  # of the scope's memory, the most in one action
    headroom_ratio: float = 0.02  # kept free beyond what the horizon will ask for


@dataclass(frozen=True, slots=True)
class ScopeView:
    """What is known of a scope when a plan is made; its policy lets `reclaimable_bytes` be taken."""

    scope: str
    kind: ScopeKind
    sample: PressureSample
    forecast: PressureForecast
    reclaimable_bytes: float = 0.0


@dataclass(frozen=True, slots=True)
class PlannedAction:
    """One action. `proactive`: pressure was foreseen and not there yet."""

    scope: str
    kind: ActionKind
    reclaim_bytes: int
    proactive: bool
    reason: str


@dataclass(slots=True)
class ActionCounts:
    """What was planned and what was held back, to be reported."""

    proactive: int = 0
    reactive: int = 0
    rate_limited: int = 0
    held: int = 0
    futile: int = 0


@dataclass(slots=True)
class _Scope:
    alarmed: bool = False
    acted_seconds: float = -math.inf
    futile: int = 0
    paused_until_seconds: float = -math.inf
    seen_seconds: float = -math.inf


@dataclass(slots=True)
class PressurePolicy:
    """Keeps what hysteresis, rate limit and watchdog need; one per agent."""

    settings: PolicySettings = field(default_factory=PolicySettings)
    rule: PressureRule = field(default_factory=PressureRule)
    counts: ActionCounts = field(default_factory=ActionCounts)
    _scopes: dict[str, _Scope] = field(default_factory=dict)
    _tokens: float = 0.0
    _planned_seconds: float = math.nan

    def plan(self, views: Sequence[ScopeView], now_seconds: float) -> list[PlannedAction]:
        """Actions for these scopes now, the likeliest pressure first; none after a leap of the clock."""
        if not math.isfinite(now_seconds) or not self._wound(now_seconds):
            self.counts.held += len(views)
            return []
        self._forget(now_seconds)
        actions = []
        for view in sorted(views, key=_urgency):
            action = self._considered(view, now_seconds)
            if action is None:
                continue
            if self._tokens < 1.0:
                self.counts.rate_limited += 1
                continue
            self._tokens -= 1.0
            self._scopes[view.scope].acted_seconds = now_seconds
            self.counts.proactive += action.proactive
            self.counts.reactive += not action.proactive
            actions.append(action)
        return actions

    def outcome(self, scope: str, effective: bool, now_seconds: float) -> None:  # noqa: FBT001
        """Tell whether an action did anything; a scope on which nothing helps is left alone for a while."""
        state = self._scopes.get(scope)
        if state is None:
            return
        state.futile = 0 if effective else state.futile + 1
        self.counts.futile += not effective
        if state.futile >= self.settings.futile_actions:
            state.futile = 0
            state.paused_until_seconds = now_seconds + self.settings.futile_pause_seconds

    def _wound(self, now_seconds: float) -> bool:
        """Refill what may be done; False on the first call, after a leap, or when nobody asked for long."""
        since = now_seconds - self._planned_seconds
        self._planned_seconds = now_seconds
        if not 0.0 <= since <= self.settings.watchdog_seconds:  # the first time it is NaN
            self._tokens = 0.0
            self._scopes.clear()
            return False
        rate = self.settings.actions_per_second
        self._tokens = min(rate, self._tokens + since * rate)
        return True

    def _considered(self, view: ScopeView, now: float) -> PlannedAction | None:
        state = self._scopes.setdefault(view.scope, _Scope())
        state.seen_seconds = now
        forecast = view.forecast
        if not self._speaks(forecast, now):
            self.counts.held += 1
            return None
        bound = self.settings.calm_probability if state.alarmed else self.settings.alarm_probability
        state.alarmed = forecast.probability >= bound
        resting = (
            now - state.acted_seconds < self.settings.scope_pause_seconds or now < state.paused_until_seconds
        )
        return None if resting or not state.alarmed else self._action(view)

    def _speaks(self, forecast: PressureForecast, now: float) -> bool:
        age = now - forecast.seconds
        known = forecast.source is not Source.MISSING and 0.0 <= forecast.probability <= 1.0
        return known and 0.0 <= age <= self.settings.stale_seconds

    def _action(self, view: ScopeView) -> PlannedAction | None:
        sample, probability = view.sample, view.forecast.probability
        proactive = under_pressure(sample, self.rule) == 0.0
        why = f"pressure within {view.forecast.horizon_seconds:g} s with probability {probability:.2f}"
        # Compaction moves pages into free ones: without any it only burns processor time.
        splintered = sample.fragmentation_ratio >= self.settings.compact_fragmentation_ratio
        if view.kind is ScopeKind.NUMA_NODE and splintered and sample.free_ratio >= 0.01:
            reason = f"{why}; {sample.fragmentation_ratio:.0%} of what is free is in small blocks"
            return PlannedAction(view.scope, ActionKind.COMPACT, 0, proactive, reason)
        # Where tasks stall already the kernel reclaims as fast as it can: more of it only brings refaults.
        wanted = self._reclaim_bytes(view) if proactive else 0
        if wanted <= 0:
            return None
        reason = f"{why}; {sample.available_ratio:.1%} of the memory is left"
        return PlannedAction(view.scope, ActionKind.RECLAIM, wanted, proactive, reason)

    def _reclaim_bytes(self, view: ScopeView) -> int:
        """What the horizon will ask for beyond what is free, in steps; nothing where a number is unknown."""
        sample, settings = view.sample, self.settings
        coming = sample.allocation_bytes_per_second * view.forecast.horizon_seconds
        missing = coming + (settings.headroom_ratio - sample.free_ratio) * sample.total_bytes
        bounds = (missing, settings.reclaim_step_ratio * sample.total_bytes, view.reclaimable_bytes)
        # min() of a NaN and a number is whichever stands first.
        return max(0, int(min(bounds))) if all(math.isfinite(bound) for bound in bounds) else 0

    def _forget(self, now_seconds: float) -> None:
        """Scopes that were not shown for a while are gone."""
        oldest = now_seconds - max(self.settings.watchdog_seconds, self.settings.futile_pause_seconds)
        for scope in [name for name, state in self._scopes.items() if state.seen_seconds < oldest]:
            del self._scopes[scope]


def _urgency(view: ScopeView) -> float:
    probability = view.forecast.probability
    return -probability if math.isfinite(probability) else 1.0
