"""Pressure some seconds ahead, for the kube node, each NUMA node and the containers that are reclaimed.

In: readings of scopes, second by second for the machine and for whoever is near trouble, tick by tick for the
rest; and each second whether a container stalls. Out: a probability for each scope, from the core's own bank
of predictors (`plimsoll.pressure.bank`), which is told what really came when a forecast's horizon is over
(`horizons`). Where its weights are lost or damaged the bank speaks by its plain rules, and `fallbacks_total`
counts that. What is not known is no forecast. New scopes begin with what their like have learned. Another
predictor may be asked for by name (`mlp4`, the baseline): it has the word then, the bank learns beside it.
"""

import logging
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from plimsoll.pressure.bank import BankForecast, PressureBank, learned_of, shipped_mix
from plimsoll.pressure.horizons import BankOutcomes, Score
from plimsoll.pressure.named import Named, checked
from plimsoll.pressure.outcome import MAX_GAP_SECONDS, PressureRule, under_pressure
from plimsoll.pressure.protocol import FloatArray, PressureForecast, Source
from plimsoll.pressure.registry import DEFAULT
from plimsoll.pressure.sample import PressureReading, PressureSample, ScopeKind, sample_between
from plimsoll.pressure.weights import shipped
from plimsoll.store.shared_kinds import PRESSURE
from plimsoll_nodeagent.control.fleet_models import FleetModels, Model
from plimsoll_nodeagent.control.shared_mixes import judge_mixes, mixes_learned, young
from plimsoll_nodeagent.discover.tracker import ContainerId
from plimsoll_nodeagent.sample.pressure_readings import is_numa, scope_name
from plimsoll_nodeagent.sample.triggers import KUBE_NODE

logger = logging.getLogger(__name__)

NAN = math.nan
# Whoever is so near trouble is read each second, not each tick; at most so many containers.
NEAR_PROBABILITY, NEAR_AVAILABLE_RATIO, MOST_NEAR = 0.1, 0.1, 16


@dataclass(frozen=True, slots=True)
class Spoken:
    """One scope's newest sample and forecast."""

    kind: ScopeKind
    sample: PressureSample
    forecast: PressureForecast


class PressureForecasts:
    """Forecasts of one node. `taught`: what scopes of each name or class had learned before."""

    def __init__(self, taught: Mapping[str, FloatArray] | None = None) -> None:
        self._weights = shipped()
        self._bank = PressureBank(None if self._weights is None else self._weights.boosted)
        self._named: Named | None = None
        self.wanted = DEFAULT
        """Who is to have the word, from the next forecast on."""
        self._outcomes = BankOutcomes()
        self._rule = PressureRule()
        self._taught = dict(taught or {})
        self._fleet: FleetModels | None = None
        self._shared: dict[ContainerId, str] = {}
        self._rows: dict[ContainerId, int] = {}
        self._names: dict[ContainerId, str] = {}
        self._readings: dict[ContainerId, PressureReading] = {}
        self.spoken: dict[ContainerId, Spoken] = {}
        self.fallbacks_total = 0

    @property
    def predictor(self) -> str:
        """Who has the word."""
        return DEFAULT if self._named is None else self._named.name

    def set_predictor(self, name: str) -> None:
        """Give another one the word, from the next forecast on. Raises KeyError for an unknown name.

        It may be called from another thread.
        """
        self.wanted = checked(name)

    @property
    def score(self) -> Score:
        """How good forecasts were of late."""
        return self._outcomes.score

    @property
    def probability(self) -> dict[ContainerId, float]:
        """The newest probability of every scope that has one."""
        said = {key: each.forecast.probability for key, each in self.spoken.items()}
        return {key: each for key, each in said.items() if math.isfinite(each)}

    def keep(self, containers: Mapping[ContainerId, str]) -> None:
        """These containers (with their workload class) and the machine's scopes; all others are forgotten."""
        gone = [key for key in self._rows if key[0] > 0 and key not in containers]
        self._names = {key: name for key, name in self._names.items() if key[0] <= 0} | dict(containers)
        if gone:
            rows = np.array([self._rows.pop(key) for key in gone], dtype=np.int64)
            self._bank.remove(rows)
            if self._named is not None:
                self._named.forget(rows)
            self._outcomes.forget(rows)
        for key in gone:
            self._readings.pop(key, None)
            self.spoken.pop(key, None)

    def share(self, fleet: FleetModels, classes: Mapping[ContainerId, str]) -> None:
        """What the fleet has learned, and the images' classes of the containers: where new scopes start from.

        Scopes that have hardly seen an outcome yet take over what has changed.
        """
        self._fleet, self._shared = fleet, dict(classes)
        changed = fleet.take_changed(PRESSURE)
        if not changed:
            return
        for key, row in self._rows.items():
            shared = self._shared.get(key, "")
            if shared in changed and self._names.get(key, "") not in self._taught and young(self._bank, row):
                mix = fleet.vector(PRESSURE, shared)
                self._teach(row, learned_of(shipped_mix() if mix is None else mix))

    def shared_learned(self) -> dict[Model, tuple[FloatArray, int]]:
        """By image what the scopes of its containers have learned, and from how many outcomes."""
        rows: dict[str, list[int]] = {}
        for key, row in list(self._rows.items()):
            if shared := self._shared.get(key, ""):
                rows.setdefault(shared, []).append(row)
        return {(PRESSURE, name): mixes_learned(self._bank, each) for name, each in rows.items()}

    def see(
        self,
        readings: Mapping[ContainerId, PressureReading],
        now_seconds: float,
        pressed: Mapping[ContainerId, float] | None = None,
    ) -> None:
        """Take in readings: judge the forecasts whose time is over, and make new ones for these scopes.

        `pressed`: what else is known of who was under pressure since the last call, as `note` takes it.
        """
        self._swap()
        self._add(readings.keys())
        samples: dict[ContainerId, PressureSample] = {}
        for key, reading in readings.items():
            before = self._readings.get(key)
            sample = None if before is None else sample_between(before, reading)
            if sample is not None:
                samples[key] = sample
            self._readings[key] = reading
        # Of a longer time nobody knows when in it the pressure was; PSI is noted each second besides.
        short = {key: each for key, each in samples.items() if each.period_seconds <= MAX_GAP_SECONDS}
        came = {key: under_pressure(each, self._rule) for key, each in short.items()}
        self.note({**(pressed or {}), **came}, now_seconds)
        self._predict(samples, now_seconds)

    def note(self, pressure: Mapping[ContainerId, float], now_seconds: float) -> None:
        """Whether scopes were under pressure since they were last noted: 1.0, 0.0 or NaN each."""
        known = {self._rows[key]: value for key, value in pressure.items() if key in self._rows}
        rows = np.array(list(known), dtype=np.int64)
        self._outcomes.note(rows, np.array(list(known.values()), dtype=np.float64), now_seconds)
        for forecast, realised in self._outcomes.matured(now_seconds):
            if self._fleet is not None:
                classes = {row: self._shared.get(key, "") for key, row in self._rows.items()}
                judge_mixes(self._fleet, classes, forecast, realised)
            self._bank.update(forecast, realised)
            if self._named is not None:
                self._named.update(forecast, realised)

    def near(self) -> list[ContainerId]:
        """Containers near trouble, the nearest first."""
        said = [
            (-each.forecast.probability, key)
            for key, each in self.spoken.items()
            if each.kind is ScopeKind.CONTAINER and _is_near(each)
        ]
        return [key for _, key in sorted(said)[:MOST_NEAR]]

    def learned(self) -> dict[str, FloatArray]:
        """What scopes have learned: of each of the machine's scopes and of each workload class a mean."""
        found: dict[str, list[FloatArray]] = {}
        for key, row in list(self._rows.items()):
            learned = self._bank.learned(np.array([row], dtype=np.int64))
            found.setdefault(self._name(key), []).append(learned[0])
        return self._taught | {name: np.mean(each, axis=0) for name, each in found.items()}

    def _swap(self) -> None:
        """Where another predictor is wanted: it begins anew, and what is judged from now on is its."""
        if self.wanted == self.predictor:
            return
        before = self.predictor
        self._named = None if self.wanted == DEFAULT else Named(self.wanted, self._weights)
        self._outcomes = BankOutcomes()
        logger.info("pressure is forecast by another", extra={"before": before, "now": self.predictor})

    def _add(self, keys: Iterable[ContainerId]) -> None:
        new = [key for key in keys if key not in self._rows]
        if not new:
            return
        rows = self._bank.add([kind_of(key) for key in new])
        self._rows |= dict(zip(new, map(int, rows), strict=True))
        for key, row in zip(new, rows, strict=True):
            taught = self._taught.get(self._name(key))
            if taught is None and self._fleet is not None:
                mix = self._fleet.vector(PRESSURE, self._shared.get(key, ""))
                taught = None if mix is None else learned_of(mix)
            if taught is not None:
                self._teach(int(row), taught)

    def _teach(self, row: int, learned: FloatArray) -> None:
        try:
            self._bank.teach(np.array([row]), learned[None, :])
        except ValueError as error:
            logger.warning("what was learned of pressure is refused", extra={"why": str(error)})

    def _name(self, key: ContainerId) -> str:
        """What a scope shares experience with; a NUMA node's name has a space, no workload's has."""
        return self._names.get(key, "") if key[0] > 0 else f"scope {scope_name(key)}"

    def _predict(self, samples: Mapping[ContainerId, PressureSample], now_seconds: float) -> None:
        if not samples:
            return
        rows = np.array([self._rows[key] for key in samples], dtype=np.int64)
        made = self._bank.predict(rows, list(samples.values()), now_seconds)
        if self._named is not None:
            made = self._named.instead(made, [kind_of(key) for key in samples], list(samples.values()))
        self._outcomes.expect(made)
        self.fallbacks_total += int(made.fallback.sum())
        for at, (key, sample) in enumerate(samples.items()):
            self.spoken[key] = Spoken(kind_of(key), sample, _forecast(made, at))


def kind_of(key: ContainerId) -> ScopeKind:
    """What kind of scope a key stands for."""
    if is_numa(key):
        return ScopeKind.NUMA_NODE
    return ScopeKind.KUBE_NODE if key == KUBE_NODE else ScopeKind.CONTAINER


def _forecast(made: BankForecast, at: int) -> PressureForecast:
    probability = float(made.probability[at])
    if not math.isfinite(probability):
        return PressureForecast(made.seconds, NAN, Source.MISSING)
    source = Source.FALLBACK if made.fallback[at] else Source.MODEL
    return PressureForecast(made.seconds, probability, source)


def _is_near(each: Spoken) -> bool:
    return (
        each.forecast.probability >= NEAR_PROBABILITY or each.sample.available_ratio <= NEAR_AVAILABLE_RATIO
    )
