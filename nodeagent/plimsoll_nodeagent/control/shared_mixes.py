"""The pressure nets' mixes between a node's bank and the fleet: what was learned, what others' would say.

In: rows of a bank and the images' classes of their containers, forecasts whose time is over. Out: a mix by
class with its outcomes; losses of the fleet's mixes on what came, told to `FleetModels`. All scopes of a
class count alike.
"""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from plimsoll.pressure.bank import OUTCOMES_AT, BankForecast, PressureBank, mix_of, said_by
from plimsoll.pressure.calibrated import MIN_OUTCOMES
from plimsoll.pressure.protocol import FloatArray
from plimsoll.store.shared_kinds import PRESSURE
from plimsoll_nodeagent.control.fleet_models import FleetModels

LEAST_PROBABILITY = 1e-4  # of what came: no forecast loses more than nine nats


def young(bank: PressureBank, row: int) -> bool:
    """Whether a scope has seen so little that it may still start from elsewhere."""
    return float(bank.learned(np.array([row], dtype=np.int64))[0, OUTCOMES_AT]) < MIN_OUTCOMES


def mixes_learned(bank: PressureBank, rows: Sequence[int]) -> tuple[FloatArray, int]:
    """The mean mix [8] of scopes, weighed by the outcomes they have seen, and how many these are."""
    learned = bank.learned(np.array(rows, dtype=np.int64))
    outcomes = learned[:, OUTCOMES_AT]
    weights = np.maximum(outcomes, 1e-9)
    return np.average(mix_of(learned), axis=0, weights=weights), int(outcomes.sum())


def judge_mixes(
    fleet: FleetModels, classes: Mapping[int, str], forecast: BankForecast, realised: FloatArray
) -> None:
    """Hold the fleet's mixes against what came [n] of a bank's forecast."""
    wanted = {name for name in set(classes.values()) if name and fleet.wants(PRESSURE, name)}
    if not wanted:
        return
    of_rows = np.array([classes.get(int(row), "") for row in forecast.rows], dtype=object)
    known = np.isfinite(realised) & np.isfinite(forecast.inputs[:, 3])
    for name in wanted:
        at = known & (of_rows == name)
        if at.any():
            loss = partial(_log_loss, inputs=forecast.inputs[at], came=realised[at])
            fleet.judge(PRESSURE, name, loss)


def _log_loss(mix: FloatArray, inputs: FloatArray, came: FloatArray) -> float:
    said = said_by(mix, inputs)
    of_it = np.where(came > 0.5, said, 1.0 - said)
    return float(-np.log(np.maximum(of_it, LEAST_PROBABILITY)).mean())
