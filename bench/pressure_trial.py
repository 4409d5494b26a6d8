"""What acting on forecasts does, in the MODEL of a kernel: reactive kernel, mlp4 and ours under the same
stress.

In: weights that have not seen the pattern they are tried on. Out: OOM kills, direct compactions, stall per
request, and the share of compactions ahead of need, each against the kernel that only reacts. The same
wants are played to every arm (same seeds). None of this is a measurement; the rows' names say `model`, and
the rows that the VM will fill are there without a value.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from plimsoll.pressure import registry
from plimsoll.pressure.outcome import Outcomes
from plimsoll.pressure.policy import ActionKind, PressurePolicy, ScopeView
from plimsoll.pressure.protocol import PressurePredictor
from plimsoll.pressure.sample import PressureReading, ScopeKind, sample_between
from plimsoll.pressure.weights import Weights
from pressure_data import KINDS, RUN_SECONDS
from pressure_kernel import MIB, STEP_SECONDS, Kernel, drawn_machine
from pressure_patterns import PATTERNS, Stress
from report import Row

LEVELS = (0.95, 0.98)
EVERY = 25  # steps between two looks: two a second
REACTIVE = "reactive kernel"
ARMS = (REACTIVE, "mlp4", registry.DEFAULT)
REQUEST_MS = 5.0  # what a request takes when nothing stalls it


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run of one arm."""

    oom_kills: float
    compactions: float
    response_ms: float
    some_seconds: float
    proactive: float  # compactions asked for ahead of need


class Watcher:
    """The agent's part: sample, learn, forecast, plan, act."""

    def __init__(self, predictor: PressurePredictor, kernel: Kernel) -> None:
        self._predictor, self._kernel = predictor, kernel
        self._outcomes, self.policy = Outcomes(), PressurePolicy()
        self._before: PressureReading | None = None

    def look(self, seconds: float) -> None:
        """One tick."""
        reading, before = self._kernel.reading(seconds), self._before
        self._before = reading
        sample = None if before is None else sample_between(before, reading)
        if sample is None:
            return
        for done in self._outcomes.see(sample):
            self._predictor.update(done.forecast, done.pressure)
        forecast = self._predictor.predict(sample, seconds)
        self._outcomes.expect(forecast)
        machine = self._kernel.machine
        reclaimable = 0.6 * self._kernel.file * MIB  # the model has no cold anonymous memory
        views = [ScopeView("scope", machine.kind, sample, forecast, reclaimable)]
        if machine.kind is ScopeKind.KUBE_NODE:
            views.append(ScopeView("numa", ScopeKind.NUMA_NODE, sample, forecast))
        for action in self.policy.plan(views, seconds):
            if action.kind is ActionKind.COMPACT:
                self._kernel.compact()
            else:
                self._kernel.reclaim(action.reclaim_bytes / MIB)


def tried(arm: str, weights: Weights, pattern: str, level: float, seed: int) -> Outcome:
    """One run of one arm; the same seed gives the same machine and the same wants."""
    kind = KINDS[seed % 2]
    number = PATTERNS.index(pattern)
    machine = drawn_machine(np.random.default_rng((seed, number, 1)), kind)
    kernel = Kernel(machine, np.random.default_rng((seed, number, 2)))
    stress = Stress(pattern, level, machine, np.random.default_rng((seed, number, 3)))
    watcher = None if arm == REACTIVE else Watcher(registry.predictor(arm, kind, weights), kernel)
    for step in range(int(RUN_SECONDS / STEP_SECONDS)):
        kernel.step(stress.want())
        if watcher is not None and step % EVERY == 0:
            watcher.look(step * STEP_SECONDS)
    c = kernel.counters
    response = REQUEST_MS + 1000.0 * c.stall_seconds / c.requests
    return Outcome(c.oom_kills, c.compactions, response, c.some_seconds, c.proactive_compactions)


def trial_rows(weights: Mapping[str, Weights], seeds: int, command: str) -> list[Row]:
    """Rows at each level, against both other arms."""
    rows = []
    for level in LEVELS:
        outcomes = {
            arm: [
                tried(arm, weights[pattern], pattern, level, 1000 + seed)
                for pattern in PATTERNS
                if pattern in weights
                for seed in range(seeds)
            ]
            for arm in ARMS
        }
        rows += _rows(outcomes, f"{100 * level:.0f}", command)
    why = "needs the stress in a virtual machine with the agent on and off: see docs/pressure.md"
    for name in ("oom_reduction_percent.95", "compaction_reduction_percent.95", "proactive_percent"):
        rows.append(Row(f"pressure.{name}", None, "%", 0, command, why=why))
    return rows


def _rows(outcomes: Mapping[str, Sequence[Outcome]], level: str, command: str) -> list[Row]:
    base = outcomes[REACTIVE]
    rows = []
    for name, part in (
        ("oom", "oom_kills"),
        ("compaction", "compactions"),
        ("stall", "some_seconds"),
        ("response", "response_ms"),
    ):
        cuts = {arm: _reduction(base, runs, part) for arm, runs in outcomes.items() if arm != REACTIVE}
        low, high = _interval(base, outcomes[registry.DEFAULT], part)
        value = cuts.pop(registry.DEFAULT)
        rows.append(
            Row(
                f"pressure.model.{name}_reduction_percent.{level}",
                value,
                "%",
                len(base),
                command,
                low,
                high,
                cuts,
            )
        )
    shares = {arm: _proactive(runs) for arm, runs in outcomes.items() if arm != REACTIVE}
    value = shares.pop(registry.DEFAULT)
    rows.append(
        Row(f"pressure.model.proactive_percent.{level}", value, "%", len(base), command, against=shares)
    )
    for row in rows:
        print(row.name, row.value, (row.low, row.high), row.against)
    return rows


def _reduction(base: Sequence[Outcome], runs: Sequence[Outcome], part: str) -> float:
    before = sum(getattr(run, part) for run in base)
    after = sum(getattr(run, part) for run in runs)
    return 100.0 * (1.0 - after / before) if before else float("nan")


def _interval(base: Sequence[Outcome], runs: Sequence[Outcome], part: str) -> tuple[float, float]:
    random = np.random.default_rng(7)
    drawn = []
    for _ in range(500):
        at = random.integers(0, len(base), len(base))
        drawn.append(_reduction([base[i] for i in at], [runs[i] for i in at], part))
    low, high = np.nanquantile(drawn, (0.025, 0.975)) if np.isfinite(drawn).any() else (np.nan, np.nan)
    return float(low), float(high)


def _proactive(runs: Sequence[Outcome]) -> float:
    ahead, late = sum(run.proactive for run in runs), sum(run.compactions for run in runs)
    return 100.0 * ahead / (ahead + late) if ahead + late else float("nan")
