"""What a stress program wants over time: five patterns, each at a level of the memory there is.

In: a pattern's name, a level (.50 to .98), the scope's size and a seed. Out: a function of time that says
what is wanted (`Want`). The recorder (`record_pressure.py`) plays the same five on a real kernel.
"""

from collections.abc import Callable, Iterator

import numpy as np

from pressure_kernel import STEP_SECONDS, Machine, Want

PATTERNS = ("ramp", "burst", "sawtooth", "cache", "fragment")
LEVELS = (0.50, 0.75, 0.85, 0.95, 0.98)

Targets = Iterator[tuple[float, float]]  # seconds, share of the memory wanted at their end (linear between)


def _ramp(random: np.random.Generator, level: float) -> Targets:
    while True:
        yield random.uniform(2, 10), random.uniform(0.2, 0.4)
        yield random.uniform(15, 70), level * random.uniform(0.97, 1.07)
        yield random.uniform(5, 20), level * random.uniform(0.97, 1.04)


def _burst(random: np.random.Generator, level: float) -> Targets:
    while True:
        low = level * random.uniform(0.6, 0.85)
        yield 0.5, low
        yield random.exponential(14), low
        peak = level * random.uniform(0.9, 1.12)
        yield random.uniform(0.4, 4), peak
        yield random.exponential(4), peak


def _sawtooth(random: np.random.Generator, level: float) -> Targets:
    fall = random.uniform(0.35, 0.75)
    period = random.uniform(4, 25)
    while True:
        top = level * random.uniform(0.97, 1.06)
        yield period * random.uniform(0.85, 1.15), top
        yield random.uniform(0.05, 0.5), top * fall


def _steady(random: np.random.Generator, level: float) -> Targets:
    while True:
        yield random.uniform(3, 25), level * random.uniform(0.85, 1.02)


_ANON: dict[str, Callable[[np.random.Generator, float], Targets]] = {
    "ramp": _ramp,
    "burst": _burst,
    "sawtooth": _sawtooth,
    "cache": lambda random, level: _steady(random, 0.55 * level),
    "fragment": lambda random, level: _steady(random, 0.93 * level),
}


class Stress:
    """One run of one pattern."""

    def __init__(self, pattern: str, level: float, machine: Machine, random: np.random.Generator) -> None:
        total = machine.total_mib * 0.96
        self._random = random
        self._total = total
        self._targets = _ANON[pattern](random, level)
        self._from, self._to, self._left, self._span = 0.3, 0.3, 0.0, 1.0
        cache = pattern == "cache"
        self._file_share = random.uniform(0.4, 1.0) * level if cache else random.uniform(0.02, 0.15)
        self._file_reads = float(random.uniform(50, 400) if cache else random.uniform(2, 40))
        self._file_phase = 0.0
        self._huge = (
            float(random.uniform(5, 60)) if pattern == "fragment" else float(random.choice([0, 0, 2.0]))
        )
        self._churn_share = random.uniform(0.05, 0.5) if pattern == "fragment" else random.uniform(0, 0.05)
        self._wobble = 0.0

    def want(self) -> Want:
        """What is wanted in the next step."""
        if self._left <= 0:
            self._span, self._to, self._from = *next(self._targets), self._to
            self._left = self._span = max(STEP_SECONDS, self._span)
        self._left -= STEP_SECONDS
        share = self._to + (self._from - self._to) * max(0.0, self._left) / self._span
        # Others on the machine: a slow random walk of some per cent.
        self._wobble += (
            0.004 * float(self._random.normal()) * STEP_SECONDS**0.5 - 0.05 * self._wobble * STEP_SECONDS
        )
        self._file_phase += STEP_SECONDS
        reads = self._file_reads * (1.0 if self._file_phase % 40 < 28 else 0.1)
        return Want(
            max(0.01, share + self._wobble) * self._total,
            self._file_share * self._total,
            reads,
            self._huge,
            self._churn_share * self._total,
        )
