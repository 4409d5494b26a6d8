"""What a node has learned, put together for the operator: pages, reuse and pressure of the images that run.

In: the agent's reclaimer and its pressure forecasts. Out: the `ModelDelta`s that are due, at most a dozen a
look. Vectors are made of those alone that are due: the reuse tables of many images cost milliseconds.
"""

from collections.abc import Iterator

from plimsoll.coordinate.messages import ModelDelta
from plimsoll_nodeagent.control import start
from plimsoll_nodeagent.control.fleet_models import FleetModels
from plimsoll_nodeagent.control.forecasting import PressureForecasts
from plimsoll_nodeagent.control.reclaiming import Reclaimer


class Learning:
    """One for the agent; called by its loop alone."""

    def __init__(self, reclaimer: Reclaimer, forecasts: PressureForecasts) -> None:
        self._reclaimer, self._forecasts = reclaimer, forecasts

    @property
    def fleet(self) -> FleetModels:
        """What the fleet has learned."""
        return self._reclaimer.fleet

    def deltas(self, now_seconds: float) -> Iterator[ModelDelta]:
        """What is to be said now."""
        due = self.fleet.due(now_seconds)
        if not due:
            return
        learned = start.learned(self._reclaimer.controlled.values(), due) | self._forecasts.shared_learned()
        yield from self.fleet.say(due, learned, now_seconds)

    def said(self, delta: ModelDelta, now_seconds: float) -> None:
        """The stream has taken it."""
        self.fleet.counts["told"] += 1
        self.fleet.said(delta, now_seconds)
