"""The predictor that is used: speaks at once, learns its scope, steps back where plain ones are better."""

import math

import numpy as np
import pytest

from builders.pressure import network, recurrent, sample, stream
from plimsoll.pressure.bank import PressureBank
from plimsoll.pressure.calibrated import MAX_LOGIT
from plimsoll.pressure.guarded import Guarded
from plimsoll.pressure.network import Plain
from plimsoll.pressure.outcome import Outcomes
from plimsoll.pressure.protocol import PressureForecast, Source
from plimsoll.pressure.reactive import Exhaustion, Persistence, log_loss
from plimsoll.pressure.sample import SAMPLE_FIELDS, ScopeKind

NODE = ScopeKind.KUBE_NODE


def constant(logit):
    """A network that always says the same."""
    like = network()
    return Plain(like.mean, like.scale, ((np.zeros((1, len(like.mean))), np.array([float(logit)])),))


def played(predictor, samples):
    outcomes, forecasts = Outcomes(), []
    for each in samples:
        for done in outcomes.see(each):
            predictor.update(done.forecast, done.pressure)
        forecasts.append(predictor.predict(each, each.seconds))
        outcomes.expect(forecasts[-1])
    return forecasts


@pytest.mark.parametrize("model", [network(), recurrent()])
def test_the_network_speaks_from_the_first_sample_on(model):
    forecast = Guarded("x", model, NODE).predict(sample(), 100.0)
    assert forecast.source is Source.MODEL
    assert 0.0 < forecast.probability < 1.0


def test_without_weights_the_plain_forecasters_speak():
    forecasts = played(Guarded("x", None, NODE), stream(100))
    assert {each.source for each in forecasts} == {Source.FALLBACK}
    assert all(0.0 <= each.probability <= 1.0 for each in forecasts)


def test_without_psi_and_without_weights_time_to_exhaustion_speaks():
    forecast = Guarded("x", None, NODE).predict(sample(psi_some_ratio=math.nan), 100.0)
    assert forecast.source is Source.FALLBACK
    assert 0.0 <= forecast.probability <= 1.0


def test_a_network_that_is_wrong_of_late_loses_the_word_and_gets_it_back():
    guarded = Guarded("x", constant(MAX_LOGIT), NODE)
    calm = [sample(float(second)) for second in range(200)]
    forecasts = played(guarded, calm)
    assert forecasts[0].source is Source.MODEL
    assert forecasts[-1].source is Source.FALLBACK
    assert forecasts[-1].probability < 0.1
    right = np.array([8.0, 0.0, 0.0, 0.999, 0.3, 0.3, math.nan, math.nan])
    for _ in range(400):
        guarded.update(PressureForecast(300.0, 0.99, inputs=right), 1.0)
    assert guarded.predict(sample(400.0), 400.0).source is Source.MODEL


def test_the_guard_bounds_what_a_wrong_network_costs():
    samples = [sample(float(second)) for second in range(1000)]
    forecasts = played(Guarded("x", constant(MAX_LOGIT), NODE), samples)
    assert np.mean([log_loss(each.probability, 0.0) for each in forecasts[200:]]) < 0.1


def test_the_mix_turns_to_who_is_right():
    guarded = Guarded("x", constant(6.0), NODE, guard=False)
    forecasts = played(guarded, [sample(float(second)) for second in range(400)])
    assert forecasts[0].probability > 0.5
    assert forecasts[-1].probability < 0.1
    assert guarded._mix.weights[0] < 0.5


def test_without_psi_the_network_speaks_alone():
    forecast = Guarded("x", constant(1.0), NODE).predict(sample(psi_some_ratio=math.nan), 100.0)
    assert forecast.source is Source.MODEL
    assert forecast.probability == pytest.approx(1 / (1 + math.exp(-1.0)))


@pytest.mark.parametrize("model", [network(), recurrent(), None])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, -1.0, 1e300])
@pytest.mark.parametrize("name", SAMPLE_FIELDS[1:])
def test_no_number_gives_anything_but_a_probability_or_nothing(model, name, bad):
    guarded = Guarded("x", model, NODE)
    played(guarded, stream(10))
    forecast = guarded.predict(sample(106.0, **{name: bad}), 106.0)
    assert forecast.source is Source.MISSING or 0.0 <= forecast.probability <= 1.0
    assert math.isnan(forecast.probability) == (forecast.source is Source.MISSING)
    assert 0.0 <= guarded.predict(sample(107.0), 107.0).probability <= 1.0


def test_a_sample_of_unknown_size_is_missing():
    assert Guarded("x", network(), NODE).predict(sample(total_bytes=math.inf), 1.0).source is Source.MISSING
    assert Guarded("x", network(), NODE).predict(sample(), math.nan).source is Source.MISSING
    assert Guarded("x", network(), NODE).predict(sample(math.inf), 1.0).source is Source.MISSING


def test_a_recurrent_state_that_is_not_finite_is_forgotten():
    guarded = Guarded("x", recurrent(), NODE)
    guarded._state[:] = math.nan
    assert guarded.predict(sample(1.0), 1.0).source is Source.FALLBACK
    assert guarded.predict(sample(2.0), 2.0).source is Source.MODEL


def test_state_of_a_scope_is_smaller_than_the_ancestors():
    assert Guarded("x", network(), NODE).state_bytes <= 656
    assert PressureBank(network()).state_bytes <= 656


@pytest.mark.parametrize("plain", [Persistence, Exhaustion])
def test_plain_forecasters_learn_too(plain):
    samples = stream(1200)
    predictor = plain()
    forecasts = played(predictor, samples)
    assert predictor.state_bytes == 32
    assert all(0.0 <= each.probability <= 1.0 for each in forecasts)
    pressed = [
        each.probability for each, at in zip(forecasts, samples, strict=True) if at.psi_some_ratio > 0.05
    ]
    calm = [each.probability for each, at in zip(forecasts, samples, strict=True) if at.free_ratio > 0.5]
    assert np.mean(pressed) > np.mean(calm)


# -- the bank ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [network(), constant(MAX_LOGIT), None])
def test_a_row_of_the_bank_says_what_a_predictor_of_its_own_says(model):
    kinds = [ScopeKind.KUBE_NODE, ScopeKind.NUMA_NODE, ScopeKind.CONTAINER]
    alone = [Guarded("x", model, kind) for kind in kinds]
    bank = PressureBank(model)
    rows = bank.add(kinds)
    streams = [stream(300, seed) for seed in range(len(kinds))]
    waiting = []
    spoke = set()
    for number in range(300):
        samples = [each[number] for each in streams]
        now = samples[0].seconds
        if len(waiting) == 10:
            single, together = waiting.pop(0)
            came = np.array([float((number + at) % 4 == 0) for at in range(len(kinds))])
            bank.update(together, came)
            for predictor, forecast, each in zip(alone, single, came, strict=True):
                predictor.update(forecast, float(each))
        single = [predictor.predict(each, now) for predictor, each in zip(alone, samples, strict=True)]
        together = bank.predict(rows, samples, now)
        assert together.probability == pytest.approx([each.probability for each in single], abs=1e-9)
        assert together.fallback.tolist() == [each.source is Source.FALLBACK for each in single]
        spoke |= {each.source for each in single}
        waiting.append((single, together))
    assert Source.FALLBACK in spoke or model is not None


def test_a_bad_sample_in_the_bank_touches_no_other_row():
    bank = PressureBank(network())
    rows = bank.add([NODE, NODE])
    both = bank.predict(rows, [sample(1.0), sample(1.0)], 1.0)
    assert both.probability[0] == both.probability[1]
    forecast = bank.predict(rows, [sample(2.0, total_bytes=math.nan), sample(2.0)], 2.0)
    assert math.isnan(forecast.probability[0])
    assert 0.0 <= forecast.probability[1] <= 1.0
    bank.update(forecast, np.array([1.0, math.nan]))
    again = bank.predict(rows, [sample(3.0), sample(3.0)], 3.0)
    assert np.isfinite(again.probability).all()


def test_rows_are_recycled_and_start_anew():
    bank = PressureBank(network())
    first = bank.add([NODE] * 40)
    before = bank.predict(first, [sample(1.0)] * 40, 1.0)
    bank.update(before, np.ones(40))
    bank.remove(first)
    second = bank.add([NODE] * 40)
    assert set(second) == set(first)
    assert (bank.predict(second, [sample(1.0)] * 40, 1.0).probability == before.probability).all()


def test_an_empty_bank_says_nothing():
    bank = PressureBank(network())
    assert bank.predict(bank.add([]), [], 1.0).probability.shape == (0,)
