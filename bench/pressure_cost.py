"""What a prediction with its update costs, one scope at a time and all scopes of a kube node at once.

In: a judged run and weights. Out: rows of microseconds (processor time of the thread, so that who else runs
on the machine does not count) and bytes of state. The ancestor ran inside a kernel in C: 20 us mean, 43 us
p99.
"""

import time
from collections import deque
from collections.abc import Callable

import numpy as np

from plimsoll.pressure import registry
from plimsoll.pressure.bank import BankForecast, PressureBank
from plimsoll.pressure.mlp4 import STATE_BYTES
from plimsoll.pressure.protocol import PressureForecast
from plimsoll.pressure.sample import ScopeKind
from plimsoll.pressure.weights import Weights
from pressure_data import Judged
from report import Row

CALLS = 6000
BANK_CALLS = 400
SCOPES = 103  # a kube node, two NUMA nodes, a hundred containers
DELAY = 10  # samples between a forecast and what came of it


def cost_rows(one: Judged, weights: Weights, command: str) -> list[Row]:
    """Rows of the default predictor, with the others beside it."""
    single = {name: single_us(name, one, weights) for name in registry.NAMES}
    bank = bank_us(one, weights)
    states = {
        name: registry.predictor(name, ScopeKind.CONTAINER, weights).state_bytes for name in registry.NAMES
    }
    chosen = registry.DEFAULT
    rows = []
    figures: dict[str, Callable[[np.ndarray], float]] = {
        "mean": np.mean,
        "p99": lambda us: np.quantile(us, 0.99),
    }
    for figure, measure in figures.items():
        value = {name: float(measure(us)) for name, us in single.items()}
        mine = value.pop(chosen)
        rows.append(Row(f"pressure.predict_us_{figure}", mine, "us", CALLS, command, against=value))
        batched = float(measure(bank)) / SCOPES
        rows.append(Row(f"pressure.predict_us_{figure}.bank_of_{SCOPES}", batched, "us", BANK_CALLS, command))
    others = {name: float(count) for name, count in states.items() if name != chosen}
    others["bank"] = float(PressureBank(weights.boosted).state_bytes)
    rows.append(Row("pressure.state_bytes", float(states[chosen]), "bytes", 1, command, against=others))
    assert states["mlp4"] == STATE_BYTES
    for row in rows:
        print(
            f"{row.name} {row.value:.2f} {row.unit}",
            {name: round(value, 2) for name, value in row.against.items()},
        )
    return rows


def single_us(name: str, one: Judged, weights: Weights) -> np.ndarray:
    """Microseconds of each of so many predictions with an update, one scope."""
    predictor = registry.predictor(name, one.run.kind, weights)
    waiting: deque[PressureForecast] = deque()
    taken = []
    for call in range(CALLS):
        sample = one.samples[call % len(one.samples)]
        now = call * 0.5
        began = time.thread_time_ns()
        forecast = predictor.predict(sample, now)
        if len(waiting) == DELAY:
            predictor.update(waiting.popleft(), float(call % 3 == 0))
        taken.append(time.thread_time_ns() - began)
        waiting.append(forecast)
    return np.array(taken[200:]) / 1000.0


def bank_us(one: Judged, weights: Weights) -> np.ndarray:
    """Microseconds of each of so many predictions with an update, all scopes at once."""
    bank = PressureBank(weights.boosted)
    rows = bank.add(
        [ScopeKind.KUBE_NODE, ScopeKind.NUMA_NODE, ScopeKind.NUMA_NODE, *[ScopeKind.CONTAINER] * 100]
    )
    waiting: deque[BankForecast] = deque()
    came = (np.arange(SCOPES) % 3 == 0).astype(float)
    taken = []
    for call in range(BANK_CALLS):
        samples = [one.samples[(call + at) % len(one.samples)] for at in range(SCOPES)]
        began = time.thread_time_ns()
        forecast = bank.predict(rows, samples, call * 0.5)
        if len(waiting) == DELAY:
            bank.update(waiting.popleft(), came)
        taken.append(time.thread_time_ns() - began)
        waiting.append(forecast)
    return np.array(taken[20:]) / 1000.0
