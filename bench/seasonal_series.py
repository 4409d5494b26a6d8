"""A labelled set of containers that follow the day and the week, with free days, for judging forecasts.

In: a seed. Out: series of 5-minute maxima with what was put into each. No recorded set has weeks of
containers with known holidays, so these are made: a day of two harmonics, quieter weekends and free days, a
trend, noise, and spikes in every second one. Bin 0 is that of the replay (`replay.live.FIRST_BIN`), whose
calendar the free days are in.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt

from plimsoll.replay.live import FIRST_BIN
from plimsoll.replay.series import BINS_PER_DAY, SeriesBatch, batch_of
from plimsoll.usage.sample import BIN_SECONDS

SOURCE = "synthetic_weekly"
FREE_DAYS = (4, 10, 16)  # counted from bin 0; two to learn from, one in the week that is judged
MIB = 2**20


@dataclass(frozen=True, slots=True)
class Recipe:
    """What was put into one series; fractions of its base."""

    base_bytes: float
    daily: float
    weekend: float  # share of the day's usage that is left on a weekend or a free day
    trend: float  # over the whole length
    noise: float
    spikes: float  # share of the bins; 0: none


def synthetic(count: int, days: int, seed: int) -> tuple[SeriesBatch, tuple[Recipe, ...]]:
    """`count` series of `days` days, and their recipes."""
    rng = np.random.default_rng(seed)
    recipes = tuple(_recipe(rng, number) for number in range(count))
    series = {f"weekly-{number}": _series(recipe, days, rng) for number, recipe in enumerate(recipes)}
    return batch_of(SOURCE, series), recipes


def free_dates() -> tuple[str, ...]:
    """The free days as a policy's `forecast.holidays` would name them (days are UTC's)."""
    return tuple(str((_start() + timedelta(days=day)).date()) for day in FREE_DAYS)


def _start() -> datetime:
    return datetime.fromtimestamp(FIRST_BIN * BIN_SECONDS, UTC)


def _recipe(rng: np.random.Generator, number: int) -> Recipe:
    return Recipe(
        base_bytes=float(np.exp(rng.uniform(np.log(200), np.log(4000)))) * MIB,
        daily=float(rng.uniform(0.1, 0.6)),
        weekend=float(rng.uniform(0.5, 0.9)),
        trend=float(rng.uniform(-0.1, 0.4)),
        noise=float(rng.uniform(0.01, 0.08)),
        spikes=0.002 if number % 2 else 0.0,
    )


def _series(recipe: Recipe, days: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    bins = np.arange(days * BINS_PER_DAY)
    seconds = (FIRST_BIN + bins) * BIN_SECONDS
    turn, phases = 2 * np.pi * (seconds % 86_400) / 86_400, rng.uniform(0, 2 * np.pi, 2)
    day = np.sin(turn + phases[0]) + 0.3 * np.sin(2 * turn + phases[1])
    date = seconds // 86_400
    free = np.isin(date, FIRST_BIN * BIN_SECONDS // 86_400 + np.array(FREE_DAYS))
    weekend = (date + 3) % 7 >= 5  # 1 January 1970 was a Thursday
    quiet = np.where(free | weekend, recipe.weekend, 1.0)
    slope = 1 + recipe.trend * bins / len(bins)
    noise = np.exp(recipe.noise * rng.standard_normal(len(bins)))
    spike = np.where(rng.random(len(bins)) < recipe.spikes, rng.uniform(1.2, 1.6, len(bins)), 1.0)
    return np.asarray(recipe.base_bytes * (1 + recipe.daily * day / 1.3) * quiet * slope * noise * spike)
