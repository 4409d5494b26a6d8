"""Engines that policies may ask for before they are built, and which of them are in.

In: a policy's spec. Out: the engines it explicitly asks for, and those of them that do not act yet (condition
`NotYetActive`). A value equal to its default asks for nothing, so a plain policy never gets the condition.
"""

from collections.abc import Iterator
from enum import StrEnum

from plimsoll.api.effective import Basis, LeakAction
from plimsoll.api.policy import NodePlacement, NumaPlacement, PolicySpec
from plimsoll.api.reclaim import ReclaimMode


class Engine(StrEnum):
    """What acts beyond limits; the value is the field that asks for it."""

    RECLAIM = "reclaim.mode"
    PLACEMENT_NODE = "placement.node"
    PLACEMENT_NUMA = "placement.numa"
    PLACEMENT_BIND = "placement.numa: Bind"
    LEAK = "leak.action"
    NEEDED = "limits.basis"
    HOLIDAYS = "forecast.holidays"


HOLIDAY_MODEL = "prophet"  # the one forecaster that looks at holidays
# Add an engine here in the change that brings it: its policies lose the condition `NotYetActive`.
ACTIVE_ENGINES: frozenset[Engine] = frozenset(
    {
        Engine.LEAK,
        Engine.HOLIDAYS,
        Engine.RECLAIM,
        Engine.PLACEMENT_NODE,
        Engine.PLACEMENT_NUMA,
        Engine.PLACEMENT_BIND,
        Engine.NEEDED,
    }
)


def asked_engines(spec: PolicySpec) -> Iterator[Engine]:
    """The engines a spec explicitly asks for."""
    reclaims = (spec.reclaim, *(spec.reclaim.with_override(each.reclaim) for each in spec.containers))
    if any(each.mode is not ReclaimMode.OFF for each in reclaims):
        yield Engine.RECLAIM
    if spec.placement.node is not NodePlacement.OFF:
        yield Engine.PLACEMENT_NODE
    if spec.placement.numa is not NumaPlacement.OFF:
        bind = spec.placement.numa is NumaPlacement.BIND
        yield Engine.PLACEMENT_BIND if bind else Engine.PLACEMENT_NUMA
    if spec.leak.action in (LeakAction.RAISE, LeakAction.RESTART):
        yield Engine.LEAK
    if Basis.NEEDED in (spec.limits.basis, *(each.limits.basis for each in spec.containers if each.limits)):
        yield Engine.NEEDED
    if spec.forecast.holidays and spec.forecast.model == HOLIDAY_MODEL:
        yield Engine.HOLIDAYS


def inactive_engines(spec: PolicySpec) -> tuple[Engine, ...]:
    """The engines a spec asks for that are not in yet."""
    return tuple(engine for engine in asked_engines(spec) if engine not in ACTIVE_ENGINES)
