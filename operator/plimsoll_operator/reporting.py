"""What one loop says about itself: gauges and counters, from what the stages left behind.

In: membership, world, plans, tick of one loop. Out: metrics only.
"""

import asyncio
import math
from collections import Counter

from plimsoll.api.precedence import EffectivePolicy
from plimsoll.guard.decision import DecisionKind
from plimsoll.usage.needed import Basis
from plimsoll_operator.engine.messages import Tick
from plimsoll_operator.forecasters.desks import FitReport
from plimsoll_operator.membership import Changes, Membership
from plimsoll_operator.planning import Plans
from plimsoll_operator.serve.metrics import Metrics
from plimsoll_operator.world import World

COUNTED_AT_ONCE = 2000  # groups between two turns of the event loop


async def report(
    metrics: Metrics, membership: Membership, world: World, plans: Plans, tick: Tick, changes: Changes
) -> None:
    """Set every gauge and counter of a loop."""
    _decisions(metrics, plans)
    await _containers(metrics, membership)
    valid = sum(1 for each in world.policies if not each.policy.problem)
    states = {"valid": float(valid), "invalid": float(len(world.policies) - valid)}
    metrics.replace("plimsoll_policies", "state", states)
    metrics.set("plimsoll_paused", float(world.paused))
    metrics.set("plimsoll_owners_unknown_pods", float(changes.waiting))
    _engine(metrics, tick)


def _fits(metrics: Metrics, fits: FitReport) -> None:
    metrics.set("plimsoll_forecast_queue_depth", float(fits.depth))
    for seconds in fits.seconds:
        metrics.observe("plimsoll_forecast_fit_seconds", seconds)
    for outcome, number in (("fitted", len(fits.seconds)), ("failed", fits.failed)):
        metrics.count("plimsoll_forecast_fits_total", number, outcome=outcome)
    metrics.replace("plimsoll_forecast_rows", "state", {state: float(n) for state, n in fits.rows.items()})
    metrics.count("plimsoll_forecast_workers_replaced_total", fits.replaced)


def _decisions(metrics: Metrics, plans: Plans) -> None:
    made = Counter((each.decision.kind, each.decision.reason) for each in plans.rows.values())
    held: Counter[str] = Counter()
    for (kind, reason), number in made.items():
        metrics.count("plimsoll_decisions_total", number, kind=kind.value, reason=reason)
        if kind is DecisionKind.HOLD:
            held[reason] += number
    metrics.replace("plimsoll_held_containers", "reason", {name: float(each) for name, each in held.items()})


async def _containers(metrics: Metrics, membership: Membership) -> None:
    modes: Counter[str] = Counter()
    workloads = 0
    for number, group in enumerate(list(membership.groups.values())):
        if number % COUNTED_AT_ONCE == COUNTED_AT_ONCE - 1:
            await asyncio.sleep(0)
        if isinstance(group.policy, EffectivePolicy):
            workloads += 1
            for name in group.rows:
                modes[group.policy.container(name).mode.value] += len(group.pods)
    metrics.set("plimsoll_workloads", float(workloads))
    metrics.replace("plimsoll_containers", "mode", {name: float(each) for name, each in modes.items()})


def _engine(metrics: Metrics, tick: Tick) -> None:
    metrics.set("plimsoll_usage_bytes", tick.used_bytes)
    metrics.set("plimsoll_limit_bytes", tick.limit_bytes)
    metrics.count("plimsoll_samples_total", tick.samples)
    for reason, number in tick.rejected.items():
        if number:
            metrics.count("plimsoll_samples_rejected_total", number, reason=str(reason))
    if tick.problems:
        metrics.count("plimsoll_source_problems_total")
    ages = [age for age in tick.usage.age_seconds.tolist() if math.isfinite(age)]
    metrics.set("plimsoll_usage_age_seconds_max", max(ages, default=0.0))
    bases = Counter(Basis(code).name.lower() for code in tick.bases.codes.tolist())
    metrics.replace("plimsoll_needed_basis_rows", "basis", {name: float(n) for name, n in bases.items()})
    metrics.replace("plimsoll_price_factor", "objective", tick.price_factors)
    promised, realised = ({name: each[place] for name, each in tick.kept.items()} for place in (0, 1))
    metrics.replace("plimsoll_promised_exceedances", "class", promised)
    metrics.replace("plimsoll_realised_exceedances", "class", realised)
    _fits(metrics, tick.fits)
    for name, seconds in tick.stages.items():
        metrics.observe("plimsoll_loop_stage_seconds", seconds, stage=f"engine_{name}")
