"""Recordings of memory under stress, modelled or real, as sequences of samples with their outcomes.

In: seeds (then `pressure_kernel.py` makes them, and they are called `model`), or .jsonl.gz files written by
`record_pressure.py` on a real kernel (then they are called `recording`). Out: `Run`s: readings of one scope
at ten a second; and from a run its samples at any slower pace, and whether pressure came within the horizon
of each.
"""

import gzip
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path

import numpy as np

from plimsoll.pressure.outcome import PressureRule, under_pressure
from plimsoll.pressure.protocol import HORIZON_SECONDS, FloatArray
from plimsoll.pressure.sample import PressureReading, PressureSample, ScopeKind, sample_between
from pressure_kernel import STEP_SECONDS, Kernel, drawn_machine
from pressure_patterns import LEVELS, PATTERNS, Stress

READ_EVERY = 5  # steps: ten readings a second
RUN_SECONDS = 240.0
# One pace in ten readings a second; the agent reads its kube node at two a second, containers at one.
PACE = 5
KINDS = (ScopeKind.KUBE_NODE, ScopeKind.CONTAINER)
READING_FIELDS = tuple(each.name for each in fields(PressureReading))


@dataclass(frozen=True, slots=True)
class Run:
    """One scope through one stress."""

    source: str  # `model`, or a recording's name
    pattern: str
    level: float
    kind: ScopeKind
    readings: tuple[PressureReading, ...]


@dataclass(frozen=True, slots=True)
class Judged:
    """A run's samples, what came of each (NaN: nobody can tell), and the band of use it was made in."""

    run: Run
    samples: tuple[PressureSample, ...]
    came: FloatArray  # [t]
    pressed: FloatArray  # [t] under pressure at the time
    used_ratio: FloatArray  # [t]


def modelled(seeds: Sequence[int]) -> Iterator[Run]:
    """Each pattern at each level, on a machine drawn anew, for each seed and kind of scope."""
    for seed in seeds:
        for number, pattern in enumerate(PATTERNS):
            for at, level in enumerate(LEVELS):
                kind = KINDS[(seed + number + at) % 2]
                random = np.random.default_rng((seed, number, at))
                yield modelled_run(pattern, level, kind, random)


def modelled_run(pattern: str, level: float, kind: ScopeKind, random: np.random.Generator) -> Run:
    """One run of the model."""
    machine = drawn_machine(random, kind)
    kernel = Kernel(machine, random)
    stress = Stress(pattern, level, machine, random)
    readings = []
    for step in range(int(RUN_SECONDS / STEP_SECONDS)):
        kernel.step(stress.want())
        if step % READ_EVERY == 0:
            readings.append(kernel.reading(step * STEP_SECONDS))
    return Run("model", pattern, level, kind, tuple(readings))


def judged(run: Run, pace: int = PACE, rule: PressureRule | None = None) -> Judged:
    """The run as a predictor meets it, one reading in `pace`; outcomes are told by all readings."""
    rule = rule or PressureRule()
    kept = run.readings[::pace]
    pairs = [sample_between(before, after) for before, after in pairwise(kept)]
    samples = tuple(sample for sample in pairs if sample is not None)
    pressed = np.array([under_pressure(sample, rule) for sample in samples])
    seconds = np.array([sample.seconds for sample in samples])
    came = np.full(len(samples), np.nan)
    ends = np.searchsorted(seconds, seconds + HORIZON_SECONDS + 1e-6, side="right")
    for at, end in enumerate(ends):
        ahead = pressed[at + 1 : end]
        whole = end < len(samples) and not np.isnan(ahead).any()
        came[at] = np.nanmax(ahead) if whole and len(ahead) else np.nan
    free = np.array([sample.free_ratio for sample in samples])
    available = np.array([sample.available_ratio for sample in samples])
    return Judged(run, samples, came, pressed, 1.0 - np.where(np.isnan(available), free, available))


def recorded(paths: Sequence[Path]) -> Iterator[Run]:
    """Runs in recordings; a file's first line says what it is, then each line is one scope at one time."""
    for path in paths:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            provenance = json.loads(next(lines))
            scopes: dict[tuple[str, str, float, str], list[PressureReading]] = {}
            for line in lines:
                one = json.loads(line)
                if "scope" not in one:  # how the run went, not a reading
                    continue
                values = {name: one.get(name) for name in READING_FIELDS}
                reading = PressureReading(
                    **{name: np.nan if v is None else float(v) for name, v in values.items()}
                )
                scopes.setdefault((one["pattern"], one["kind"], one["level"], one["scope"]), []).append(
                    reading
                )
        for (pattern, kind, level, _), readings in scopes.items():
            yield Run(provenance.get("name", path.stem), pattern, level, ScopeKind(kind), tuple(readings))
