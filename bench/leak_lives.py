"""Made containers whose processes end early, as the leak detector sees them: usage, and every start.

In: a shape's name, a seed, a half (made for calibration, or to be judged). Out: `Lived`. All rise by 50 to
150 % of 300 MiB, with noise of 0.5 to 3 % that lasts. Lives last 4 to 48 hours; half of the series have
lives of one length (a CronJob that restarts them, a leak that always dies at the same limit), half of
lengths that differ by up to 30 % either way (people who roll out).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from plimsoll.forecast.window import BINS_PER_HOUR
from plimsoll.replay.series import SeriesBatch, batch_of
from plimsoll.replay.split import Half
from plimsoll.usage.sample import HOUR_SECONDS

SERIES, DAYS = 40, 10
BASE_BYTES = 300.0 * 2**20
LASTING = 0.7  # of the noise, from bin to bin
# Rise at an age (hours), of a life of so many hours; what differs between containers is drawn.
Shape = Callable[[np.ndarray, float, np.random.Generator], np.ndarray]


@dataclass(frozen=True, slots=True)
class Lived:
    """Series, and when their processes were started."""

    batch: SeriesBatch
    starts_seconds: np.ndarray  # [n, most] since the first bin, ascending, NaN at the end


def _settles(age: np.ndarray, hours: float, random: np.random.Generator) -> np.ndarray:
    """Settles with a time constant of a twelfth to a third of the life."""
    return 1.0 - np.exp(-age / (hours * random.uniform(1 / 12, 1 / 3)))


def _settles_late(age: np.ndarray, hours: float, random: np.random.Generator) -> np.ndarray:
    """Still rises when it ends: a time constant of a third to two thirds of the life."""
    return 1.0 - np.exp(-age / (hours * random.uniform(1 / 3, 2 / 3)))


def _jvm(age: np.ndarray, hours: float, random: np.random.Generator) -> np.ndarray:
    """Warm after some minutes, then a garbage collector's ups and downs, several in a life."""
    warm, collected = 1.0 - np.exp(-age / random.uniform(0.05, 0.5)), hours * random.uniform(0.05, 0.3)
    return warm + random.uniform(0.0, 0.3) * (age % collected) / collected


def _leaks(age: np.ndarray, hours: float, _random: np.random.Generator) -> np.ndarray:
    """Straight up to its end."""
    return age / hours


def _starts_and_leaks(age: np.ndarray, hours: float, random: np.random.Generator) -> np.ndarray:
    """A start-up of some minutes that takes as much again, then straight up."""
    return 1.0 - np.exp(-age / random.uniform(0.05, 0.5)) + age / hours


SETTLING: dict[str, Shape] = {"settles": _settles, "settles_late": _settles_late, "jvm": _jvm}
LEAKING: dict[str, Shape] = {"leaks": _leaks, "starts_and_leaks": _starts_and_leaks}


def lived(name: str, seed: int, half: Half) -> Lived:
    """SERIES containers of one shape, DAYS days each."""
    shapes = {**SETTLING, **LEAKING}
    random = np.random.default_rng([seed, list(shapes).index(name), int(half is Half.JUDGED)])
    hour = np.arange(DAYS * 24 * BINS_PER_HOUR) / BINS_PER_HOUR
    series, starts = {}, np.full((SERIES, DAYS * 24), np.nan)
    for number in range(SERIES):
        hours = float(random.choice([4, 6, 8, 12, 24, 48]))
        spread = 0.0 if number % 2 else 0.3
        ends = np.cumsum(hours * random.uniform(1 - spread, 1 + spread, size=int(2 * DAYS * 24 / hours)))
        ends = ends[ends < DAYS * 24]
        begun = np.concatenate([[0.0], ends])
        age = hour - begun[np.searchsorted(begun, hour, side="right") - 1]
        rise = random.uniform(0.5, 1.5) * shapes[name](age, hours, random)
        series[f"{name}-{number}"] = BASE_BYTES * (1.0 + rise) * (1.0 + _noise(len(hour), random))
        starts[number, : len(ends)] = ends * HOUR_SECONDS
    return Lived(batch_of("lives", series), starts)


def _noise(bins: int, random: np.random.Generator) -> np.ndarray:
    shocks = random.normal(0.0, random.uniform(0.005, 0.03), bins)
    noise = np.zeros(bins)
    for k in range(1, bins):
        noise[k] = LASTING * noise[k - 1] + LASTING * shocks[k]
    return noise
