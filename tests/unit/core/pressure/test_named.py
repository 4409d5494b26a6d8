"""In: a bank's forecasts. Out: what a predictor that was asked for by name says of each scope, and learns."""

import math

import numpy as np
import pytest

from plimsoll.pressure import registry
from plimsoll.pressure.bank import PressureBank
from plimsoll.pressure.named import Named
from plimsoll.pressure.sample import PressureSample, ScopeKind

GIB = 1 << 30
KINDS = [ScopeKind.KUBE_NODE, ScopeKind.CONTAINER]


def sample(second: int, scope: int, free_ratio: float | None = None) -> PressureSample:
    """Scope 0 runs full by and by, scope 1 has room."""
    free = (0.5 - 0.004 * second if scope == 0 else 0.6) if free_ratio is None else free_ratio
    return PressureSample(
        float(second), 1.0, GIB, free, free, 4e6 * (1 + scope), compactions=0.0, psi_some_ratio=0.0
    )


@pytest.mark.parametrize("name", registry.NAMES)
def test_each_scope_says_what_a_predictor_of_that_name_says_alone(name: str):
    bank, named = PressureBank(None), Named(name, None)
    rows = bank.add(KINDS)
    alone = [
        registry.predictor(name, kind, None, seed=int(row)) for kind, row in zip(KINDS, rows, strict=True)
    ]
    said = np.zeros(2)
    for second in range(1, 100):
        samples = [sample(second, 0), sample(second, 1)]
        made = named.instead(bank.predict(rows, samples, float(second)), KINDS, samples)
        each = [one.predict(of, float(second)) for one, of in zip(alone, samples, strict=True)]
        assert made.probability.tolist() == [one.probability for one in each]
        came = np.array([float(second > 60), 0.0 if second % 7 else math.nan])
        named.update(made, came)
        for one, forecast, what in zip(alone, each, came.tolist(), strict=True):
            if not math.isnan(what):
                one.update(forecast, what)
        said = made.probability
    assert said[0] > said[1]


def test_a_row_that_is_given_back_begins_anew():
    bank, named = PressureBank(None), Named("mlp4", None)
    rows = bank.add(KINDS[:1])

    def once(second: int, came: float) -> float:
        made = named.instead(bank.predict(rows, [sample(1, 0)], float(second)), KINDS[:1], [sample(1, 0)])
        named.update(made, np.array([came]))
        return float(made.probability[0])

    first = once(1, 1.0)
    assert [once(second, 1.0) for second in range(2, 40)][-1] > first
    named.forget(rows)
    assert once(40, 1.0) == first


def test_what_is_not_known_is_no_forecast():
    bank, named = PressureBank(None), Named("mlp4", None)
    rows = bank.add(KINDS)
    samples = [sample(1, 0), sample(1, 1, free_ratio=math.nan)]
    made = named.instead(bank.predict(rows, samples, 1.0), KINDS, samples)
    assert np.isnan(made.probability).tolist() == [False, True]


def test_the_banks_own_forecasts_teach_it_nothing_and_an_unknown_name_is_refused():
    bank, named = PressureBank(None), Named("mlp4", None)
    rows = bank.add(KINDS)
    samples = [sample(1, 0), sample(1, 1)]
    named.update(bank.predict(rows, samples, 1.0), np.ones(2))
    with pytest.raises(KeyError, match="there are persistence"):
        Named("magic", None)
