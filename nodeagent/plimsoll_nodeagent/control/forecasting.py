"""Pressure some seconds ahead, for the kube node and for the containers that are reclaimed.

In: snapshots, one after the other. Out: a probability for each scope, from the core's own bank of predictors
(`plimsoll.pressure.bank`), which is told each time what really came. Where its weights are lost or damaged
the bank speaks by its plain rules, and `fallback` counts that. What is not known is no forecast.
"""

import math
from collections.abc import Iterable

import numpy as np

from plimsoll.pressure.bank import BankForecast, PressureBank
from plimsoll.pressure.outcome import PressureRule, under_pressure
from plimsoll.pressure.sample import PressureReading, PressureSample, ScopeKind, sample_between
from plimsoll.pressure.weights import shipped
from plimsoll_nodeagent.discover.tracker import ContainerId
from plimsoll_nodeagent.loop import Snapshot
from plimsoll_nodeagent.sample.reading import ContainerSample
from plimsoll_nodeagent.sample.triggers import KUBE_NODE

NAN = math.nan
MOST_JUDGED_SECONDS = 15.0  # a forecast of five seconds is not judged by what came within more than this


class PressureForecasts:
    """Forecasts of one node; call `see` once a tick."""

    def __init__(self) -> None:
        weights = shipped()
        self.has_weights = weights is not None
        self._bank = PressureBank(None if weights is None else weights.boosted)
        self._rule = PressureRule()
        self._rows: dict[ContainerId, int] = {}
        self._readings: dict[ContainerId, PressureReading] = {}
        self._last: tuple[BankForecast, list[ContainerId]] | None = None
        self.probability: dict[ContainerId, float] = {}
        self.fallbacks_total = 0
        self.judged_total = 0

    def see(self, snapshot: Snapshot, wanted: Iterable[ContainerSample]) -> None:
        """Take in a snapshot: judge the forecasts before it and make new ones."""
        readings = {each.container.key: _of_container(each, snapshot.taken_seconds) for each in wanted}
        node = _of_kube_node(snapshot)
        if node is not None:
            readings[KUBE_NODE] = node
        self._keep(readings.keys())
        samples: dict[ContainerId, PressureSample] = {}
        for key, reading in readings.items():
            before = self._readings.get(key)
            sample = None if before is None else sample_between(before, reading)
            if sample is not None:
                samples[key] = sample
        self._readings = readings
        self._judge(samples)
        self._predict(samples, snapshot.taken_seconds)

    def _keep(self, keys: Iterable[ContainerId]) -> None:
        wanted = set(keys)
        gone = [key for key in self._rows if key not in wanted]
        if gone:
            self._bank.remove(np.array([self._rows.pop(key) for key in gone], dtype=np.int64))
            self._last = None
        new = [key for key in wanted if key not in self._rows]
        kinds = [ScopeKind.KUBE_NODE if key == KUBE_NODE else ScopeKind.CONTAINER for key in new]
        if new:
            self._rows |= dict(zip(new, map(int, self._bank.add(kinds)), strict=True))

    def _judge(self, samples: dict[ContainerId, PressureSample]) -> None:
        if self._last is None:
            return
        forecast, keys = self._last
        realised = np.array([self._came(samples.get(key)) for key in keys])
        self._bank.update(forecast, realised)
        self.judged_total += int(np.isfinite(realised).sum())

    def _came(self, sample: PressureSample | None) -> float:
        if sample is None or sample.period_seconds > MOST_JUDGED_SECONDS:
            return NAN
        return under_pressure(sample, self._rule)

    def _predict(self, samples: dict[ContainerId, PressureSample], now_seconds: float) -> None:
        keys = list(samples)
        if not keys:
            self._last, self.probability = None, {}
            return
        rows = np.array([self._rows[key] for key in keys], dtype=np.int64)
        forecast = self._bank.predict(rows, [samples[key] for key in keys], now_seconds)
        self.probability = {
            key: float(each)
            for key, each in zip(keys, forecast.probability, strict=True)
            if math.isfinite(each)
        }
        self.fallbacks_total += int(forecast.fallback.sum())
        self._last = (forecast, keys)


def _of_kube_node(snapshot: Snapshot) -> PressureReading | None:
    memory, pressure = snapshot.kube_node.memory, snapshot.kube_node.pressure
    if memory is None:
        return None
    return PressureReading(
        seconds=snapshot.taken_seconds,
        total_bytes=memory.total_bytes,
        free_bytes=memory.free_bytes,
        available_bytes=memory.available_bytes,
        psi_some_seconds=NAN if pressure is None else pressure.some.total_seconds,
        psi_full_seconds=NAN if pressure is None else pressure.full.total_seconds,
        swap_used_bytes=memory.swap_total_bytes - memory.swap_free_bytes,
        swap_total_bytes=memory.swap_total_bytes,
    )


def _of_container(sample: ContainerSample, now_seconds: float) -> PressureReading:
    most = sample.memory_max_bytes
    total = float(sample.usage_bytes if most is None or math.isinf(most) else most)
    events, pressure = sample.events or {}, sample.pressure
    stat = sample.stat
    return PressureReading(
        seconds=now_seconds,
        total_bytes=max(total, 1.0),
        free_bytes=total - sample.usage_bytes,
        available_bytes=total - (sample.working_set_bytes or sample.usage_bytes),
        refaults=NAN
        if stat is None
        else float((stat.refault_anon_pages or 0) + (stat.refault_file_pages or 0)),
        psi_some_seconds=NAN if pressure is None else pressure.some.total_seconds,
        psi_full_seconds=NAN if pressure is None else pressure.full.total_seconds,
        events_high=events.get("high", NAN),
        events_max=events.get("max", NAN),
        oom_kills=events.get("oom_kill", NAN),
        swap_used_bytes=NAN if sample.swap_bytes is None else float(sample.swap_bytes),
    )
