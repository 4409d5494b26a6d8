"""Lessons of a made cluster: features at random, needs drawn from the shipped odds, moved or not."""

import numpy as np

from plimsoll.forecast.features import LOG_LEVELS
from plimsoll.forecast.hazard import shipped_networks
from plimsoll.forecast.own import Lessons


def lessons_of(workloads: int, hours: int, *, moved: float = 0.0, seed: int = 0) -> Lessons:
    """So many hours of each workload; `moved`: how far log odds of rises lie from what the networks say."""
    rng = np.random.default_rng(seed)
    networks, count = shipped_networks(), workloads * hours
    row = _drawn(networks[0].row_knots, count, rng)
    level = np.stack([_drawn(networks[0].level_knots, count, rng) for _ in LOG_LEVELS], axis=1)
    level[:, :, 0] = LOG_LEVELS
    inputs = np.concatenate([row, level.reshape(count, -1)], axis=1)
    logits = np.mean([network.logits(network.ranks().of(inputs)) for network in networks], axis=0) + moved
    failed = rng.uniform(size=logits.shape) < 1 / (1 + np.exp(-logits))
    need = np.where(failed.all(axis=1), len(LOG_LEVELS), np.argmin(failed, axis=1))
    return Lessons(row, level, need, np.repeat(np.arange(workloads), hours))


def _drawn(knots, count: int, rng: np.random.Generator) -> np.ndarray:
    """Values [count, columns] between training values."""
    columns = [rng.choice(at, count) if len(at) else np.zeros(count) for at in knots]
    return np.stack(columns, axis=1).astype(np.float32)
