"""Acts before the pressure is there, second by second: compacts a NUMA node, or reclaims what policy offers.

In: the machine's files, the newest forecasts, what each container's law offers. Out: actions of the core's
`PressurePolicy` (at most ten a second, one at a time per scope), carried out through the `Actor` and told
back as effective or futile. For the kube node the least important containers give first; a container gives
for itself; a NUMA node is compacted only. Nothing is done where no policy asks for reclaim, where there is no
PSI, or by an agent that only watches.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from plimsoll.pages.control_share import NodeRoom, share_out
from plimsoll.pressure.policy import ActionCounts, ActionKind, PlannedAction, PressurePolicy, ScopeView
from plimsoll.pressure.protocol import PressureForecast
from plimsoll.pressure.sample import ScopeKind
from plimsoll_nodeagent.act.numa import Compact
from plimsoll_nodeagent.act.outcome import Outcome
from plimsoll_nodeagent.capabilities import Engine, Level
from plimsoll_nodeagent.control.controlled import Controlled
from plimsoll_nodeagent.control.forecasting import NEAR_PROBABILITY, PressureForecasts, Spoken, kind_of
from plimsoll_nodeagent.control.reclaiming import Reclaimer
from plimsoll_nodeagent.control.taking import asked_bytes, moved_bytes
from plimsoll_nodeagent.discover.tracker import Container, ContainerId
from plimsoll_nodeagent.kernelfs import KernelFs, Mode
from plimsoll_nodeagent.loop import Snapshot
from plimsoll_nodeagent.sample.formats import parse_meminfo, parsed
from plimsoll_nodeagent.sample.pressure_readings import (
    container_reading,
    is_numa,
    node_readings,
    numa_node_of,
    scope_name,
)
from plimsoll_nodeagent.sample.reading import ContainerSample
from plimsoll_nodeagent.sample.triggers import KUBE_NODE

CALM_SECONDS = 1.9  # a calm node is forecast every other second: still twice within the horizon
MOST_EVENTS = 64  # containers sampled for their events in one second; the others at the next tick
EFFECTIVE_RATIO = 0.5  # of what was asked for: less taken, and the action did nothing worth repeating
Look = Callable[[Container], ContainerSample | None]


@dataclass
class Pressing:
    """The agent's second hand."""

    fs: KernelFs
    forecasts: PressureForecasts
    reclaimer: Reclaimer
    look: Look
    """Samples one container now."""
    policy: PressurePolicy = field(default_factory=PressurePolicy)
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Actions by kind and whether they were ahead of the pressure."""
    reclaimed_bytes: int = 0
    _swap_total_bytes: int = 0
    _pressed: dict[ContainerId, float] = field(default_factory=dict)
    _stepped_seconds: float = float("-inf")
    _woken: bool = False

    @property
    def counts(self) -> ActionCounts:
        """What was planned and what was held back."""
        return self.policy.counts

    def see_all(self, snapshot: Snapshot, wanted: list[ContainerSample]) -> None:
        """Forecast every container, and the machine, from a whole look."""
        memory = snapshot.kube_node.memory
        if memory is not None:
            self._swap_total_bytes = memory.swap_total_bytes
        swap_total = 0 if memory is None else memory.swap_total_bytes
        now = snapshot.taken_seconds
        controlled = self.reclaimer.controlled
        self.forecasts.keep({key: each.workload_class for key, each in controlled.items()})
        classes = {key: each.shared_class for key, each in controlled.items()}
        self.forecasts.share(self.reclaimer.fleet, classes)
        readings = {each.container.key: container_reading(each, swap_total, now) for each in wanted}
        self.forecasts.see(readings | node_readings(self.fs, now), now)

    def wake(self) -> None:
        """The machine stalls, by its own PSI trigger: the next step looks at it, however calm it was."""
        self._woken = True

    def step(
        self,
        now_seconds: float,
        stalls: Mapping[ContainerId, float],
        happened: frozenset[ContainerId] = frozenset(),
    ) -> None:
        """Forecast the machine, whoever is near trouble and whoever has `happened` events, and act.

        `stalls`: PSI since the last step.
        """
        for key, ratio in stalls.items():
            self._pressed[key] = max(self._pressed.get(key, 0.0), float(ratio >= self.policy.rule.some_ratio))
        soon = 0.0 <= now_seconds - self._stepped_seconds < CALM_SECONDS
        if soon and not self._woken and not happened and self._is_calm():
            return
        self._woken = False
        self._stepped_seconds, pressed = now_seconds, self._pressed
        self._pressed = {}
        controlled = self.reclaimer.controlled
        readings = node_readings(self.fs, now_seconds)
        for key in (*self.forecasts.near(), *sorted(happened - set(self.forecasts.near()))[:MOST_EVENTS]):
            sample = self.look(controlled[key].container) if key in controlled else None
            if sample is not None:
                readings[key] = container_reading(sample, self._swap_total_bytes, now_seconds)
        self.forecasts.see(readings, now_seconds, pressed)
        self.act(now_seconds)

    def _is_calm(self) -> bool:
        """Whether nothing was pressed, and pressure is unlikely everywhere."""
        if any(self._pressed.values()) or self.forecasts.near():
            return False
        said = self.forecasts.spoken.values()
        return all(each.forecast.probability < NEAR_PROBABILITY for each in said)  # not where one is unknown

    def act(self, now_seconds: float) -> None:
        """Carry out what the core plans for the newest forecasts."""
        reclaimer = self.reclaimer
        if not reclaimer.controlled or reclaimer.capabilities.observe_only or self.fs.mode is Mode.READ:
            return
        offers = self._offers(now_seconds)
        stale = self.policy.settings.stale_seconds  # whoever is forecast tick by tick only is acted on then
        views = [
            self._view(key, each, offers)
            for key, each in self.forecasts.spoken.items()
            if (key[0] <= 0 or key in reclaimer.controlled) and now_seconds - each.forecast.seconds <= stale
        ]
        keys = {scope_name(key): key for key in self.forecasts.spoken}
        for action in self.policy.plan(views, now_seconds):
            effective = self._done(action, keys[action.scope], now_seconds)
            self.policy.outcome(action.scope, effective, now_seconds)
            self.outcomes[action.kind.value, "proactive" if action.proactive else "late"] += 1

    def _offers(self, now_seconds: float) -> dict[ContainerId, int]:
        """What each container's law offers; where nobody is alarmed nobody is asked."""
        bound = self.policy.settings.calm_probability
        alarmed = any(each.forecast.probability >= bound for each in self.forecasts.spoken.values())
        reclaimer = self.reclaimer
        controlled = reclaimer.controlled.items()
        return {key: reclaimer.offer_bytes(each, now_seconds) if alarmed else 0 for key, each in controlled}

    def _view(self, key: ContainerId, each: Spoken, offers: Mapping[ContainerId, int]) -> ScopeView:
        may = self._may(key)
        offered = sum(offers.values()) if key == KUBE_NODE else offers.get(key, 0)
        forecast = each.forecast if may else PressureForecast(each.forecast.seconds, 0.0)
        return ScopeView(scope_name(key), each.kind, each.sample, forecast, float(offered))

    def _may(self, key: ContainerId) -> bool:
        """Whether anything can be done for this scope here."""
        if not is_numa(key):
            return True
        return self.reclaimer.capabilities.at_least(Engine.COMPACTION, Level.PER_NUMA_NODE)

    def _done(self, action: PlannedAction, key: ContainerId, now_seconds: float) -> bool:
        if action.kind is ActionKind.COMPACT:
            outcome = self.reclaimer.taker.actor.act(Compact(numa_node_of(key)))
            self.reclaimer.outcomes[outcome.kind.value, outcome.answer.value] += 1
            return outcome.measured is not None and (outcome.measured.free_blocks or 0) > 0
        done = [
            outcome
            for each, amount in self._shares(action, key, now_seconds)
            for outcome in self.reclaimer.take(each, amount, now_seconds)
        ]
        return self._effective(action, done)

    def _shares(
        self, action: PlannedAction, key: ContainerId, now_seconds: float
    ) -> list[tuple[Controlled, int]]:
        """Who gives how much: where it costs least first, none more than it offers.

        Offers and the node's room in swap are asked for right before: what the action before this one took
        is in neither any more.
        """
        controlled, memory = self.reclaimer.controlled, parsed(self.fs.read("/proc/meminfo"), parse_meminfo)
        givers = [controlled[key]] if kind_of(key) is ScopeKind.CONTAINER else list(controlled.values())
        offers = [self.reclaimer.offer_bytes(each, now_seconds) for each in givers]
        claims = [each.claim(amount, each.file_bytes) for each, amount in zip(givers, offers, strict=True)]
        swap = (0, 0) if memory is None else (memory.swap_total_bytes, memory.swap_free_bytes)
        room = NodeRoom(*swap, action.reclaim_bytes)
        given = share_out(claims, room)
        return [(each, amount) for each, amount in zip(givers, given, strict=True) if amount > 0]

    def _effective(self, action: PlannedAction, done: list[Outcome]) -> bool:
        taken = sum(moved_bytes(outcome) for outcome in done if outcome.acted)
        self.reclaimed_bytes += taken
        asked = sum(map(asked_bytes, done))
        return taken > 0 and taken >= EFFECTIVE_RATIO * min(action.reclaim_bytes, asked)
