"""What many recorded series teach before a container has a past: tables fitted by `bench/train_prior.py`.

The tables ship as `prior.json` beside this module, with their provenance (sources, series held out, date,
command). Nothing is read but that file of the package itself.
"""

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

from plimsoll.forecast.window import FloatArray
from plimsoll.usage.sample import HOUR_SECONDS


@dataclass(frozen=True, slots=True)
class RatioPrior:
    """Pooled quantiles of log(peak that came / point forecast), by model."""

    levels: FloatArray  # [q]
    log_ratio: dict[str, FloatArray]  # model name -> [q]


@cache
def document() -> dict[str, Any]:
    """Return the shipped tables as they are written."""
    return _shipped("prior.json")


@cache
def hazard_document() -> dict[str, Any]:
    """Return the shipped networks as they are written."""
    return _shipped("hazard.json")


def _shipped(name: str) -> dict[str, Any]:
    text = resources.files("plimsoll.forecast").joinpath(name).read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


@cache
def ratio_prior() -> RatioPrior:
    """Quantiles of the simple models' errors over all training series."""
    table = document()["ratios"]
    models = {name: np.array(values) for name, values in table["log_ratio"].items()}
    return RatioPrior(np.array(table["levels"]), models)


def log_ratio_prior(model: str, levels: FloatArray, horizon_seconds: float) -> FloatArray:
    """Log ratio [q] of the peak that comes over `model`'s point forecast, at `levels`.

    A longer horizon has more hours in which to jump: the level that one hour must keep for all of them to
    keep it is `level ** (1 / hours)`.
    """
    prior = ratio_prior()
    hours = max(horizon_seconds / HOUR_SECONDS, 1.0)
    hourly = np.power(levels, 1 / hours)
    log_tail = np.log(1 - prior.levels)
    wanted = np.log(np.maximum(1 - hourly, 1e-12))
    # np.interp wants ascending x; the tail falls with the level.
    return np.asarray(np.interp(-wanted, -log_tail, prior.log_ratio[model]), dtype=np.float64)
