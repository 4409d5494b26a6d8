"""A node holds what it was given against what ships, and tells the fleet how both models of a trial do."""

import numpy as np
import pytest

from builders.pressure import sample
from plimsoll.pages.survival import Returns, deviance, prior_hazard
from plimsoll.pressure.bank import MIX_BELIEVED, PressureBank, learned_of, mix_of, said_by, shipped_mix
from plimsoll.pressure.sample import ScopeKind
from plimsoll.store.letters import Given, Judged
from plimsoll.store.trying import Tried

NOW = 1_800_000_000.0
SHIPS = np.zeros(3)
TRUTH = np.array([1.0, -2.0, 0.5])


def loss_of(rng):
    """What came differs each time; a vector loses by its distance from that."""
    came = TRUTH + rng.normal(0, 0.5, 3)
    return lambda vector: float(np.abs(vector - came).sum())


def outcomes(tried, count, seed=7):
    rng = np.random.default_rng(seed)
    for number in range(count):
        if tried.judge(loss_of(rng)):
            return number + 1
    return None


def test_what_is_worse_here_than_what_ships_is_refused_and_not_taken_up_again():
    tried = Tried(SHIPS)
    assert tried.take(Given(1, -TRUTH), "a")
    np.testing.assert_array_equal(tried.in_use, -TRUTH)
    refused_after = outcomes(tried, 200)
    assert refused_after is not None
    assert refused_after < 60
    assert tried.in_use is None
    assert not tried.take(Given(1, -TRUTH), "a")
    assert not tried.take(Given(2, -TRUTH, TRUTH), "b"), "the same numbers in another letter"
    assert tried.in_use is None
    assert tried.take(Given(3, TRUTH), "c")
    np.testing.assert_array_equal(tried.in_use, TRUTH)


def test_what_is_better_stays_and_is_not_looked_at_for_ever():
    tried = Tried(SHIPS)
    tried.take(Given(1, TRUTH), "a")
    assert outcomes(tried, 400) is None
    assert tried.in_use is not None
    assert not tried.wanted
    assert tried.take(None, "")
    assert tried.in_use is None


@pytest.mark.parametrize("seed", range(12))
def test_what_is_as_good_is_hardly_ever_refused(seed):
    tried = Tried(SHIPS)
    tried.take(Given(1, SHIPS + 1e-9), "a")
    assert outcomes(tried, 500, seed) is None


@pytest.mark.parametrize("given_is_candidate", [True, False])
def test_both_models_of_a_trial_are_charged_for_the_same_outcomes_and_told_once(given_is_candidate):
    use, rival = (TRUTH, SHIPS) if given_is_candidate else (SHIPS, TRUTH)
    tried = Tried(SHIPS)
    tried.take(Given(4, use, rival, on_trial=given_is_candidate), "a")
    assert tried.to_tell(NOW) is None
    outcomes(tried, 20)
    said = tried.to_tell(NOW)
    assert isinstance(said, Judged)
    assert said.generation == 4
    assert said.candidate_loss < said.current_loss
    again = tried.to_tell(NOW - 600.0)
    assert (again.candidate_loss, again.current_loss) == (said.candidate_loss, said.current_loss)
    assert again.sequence > said.sequence > 0, "whatever the clock says"
    tried.told()
    assert tried.to_tell(NOW) is None
    tried.judge(lambda vector: float("nan"))
    assert tried.to_tell(NOW) is None, "a loss that is none is not told"


def test_losses_of_a_generation_that_is_over_are_not_told():
    tried = Tried(SHIPS)
    tried.take(Given(4, SHIPS, TRUTH), "a")
    outcomes(tried, 5)
    tried.take(Given(5, TRUTH), "b")
    assert tried.to_tell(NOW) is None


def test_deviance_is_least_for_the_hazard_that_made_the_returns():
    rng = np.random.default_rng(7)
    truth = prior_hazard() * rng.uniform(0.2, 3.0, len(prior_hazard()))
    exposed = rng.uniform(1, 50, len(truth)) * (1 << 20) * 60
    seen = Returns(exposed, truth * exposed)
    assert deviance(truth, seen) == pytest.approx(0.0, abs=1e-9)
    assert deviance(truth * 1.5, seen) > 0.0
    assert deviance(truth * 3.0, seen) > deviance(truth * 1.5, seen)
    assert deviance(prior_hazard(), seen) > 0.0
    assert deviance(truth, Returns(np.zeros(len(truth)), np.zeros(len(truth)))) == 0.0


def test_a_mix_says_of_the_same_inputs_what_a_bank_that_has_learned_it_says():
    rng = np.random.default_rng(7)
    bank = PressureBank(None)
    rows = bank.add([ScopeKind.CONTAINER] * 4)
    mix = np.clip(shipped_mix() + rng.normal(0, 0.2, 8), *MIX_BELIEVED)
    bank.teach(rows, np.stack([learned_of(mix)] * 4))
    np.testing.assert_allclose(mix_of(bank.learned(rows))[0], mix)
    samples = [sample(seconds=1.0, psi_some_ratio=each) for each in (0.0, 0.02, 0.3, 0.9)]
    made = bank.predict(rows, samples, 1.0)
    inputs = made.inputs.copy()
    inputs[:, 0] = 0.3  # a network that spoke
    said = said_by(mix, inputs)
    assert said.shape == (4,)
    assert np.isfinite(said).all()
    # The plain parts are the bank's own.
    np.testing.assert_allclose(np.where(made.inputs[:, 6] > 0, mix[5], mix[4]), made.inputs[:, 4])
    assert not np.allclose(said, said_by(shipped_mix(), inputs))
