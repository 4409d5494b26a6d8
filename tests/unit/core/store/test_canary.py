"""A merged model on trial: a worse one is rolled back, one that is no worse hardly ever."""

import math

import numpy as np
import pytest

from plimsoll.store.canary import (
    ALPHA,
    MOST_ROUNDS,
    SHARE,
    Release,
    Trial,
    Verdict,
    document,
    on_trial,
    read,
    relative_difference,
)
from plimsoll.store.content import ContentError, decode, encode

OLD, NEW = np.zeros(3), np.ones(3)


def tried(losses, release=None):
    """The release after rounds of (candidate, predecessor) losses, its verdict, and after how many."""
    release = release or Release(1, OLD).proposed(NEW)
    for number, (candidate, predecessor) in enumerate(losses, 1):
        release, verdict = release.judged(candidate, predecessor)
        if verdict is not Verdict.WAIT:
            return release, verdict, number
    return release, Verdict.WAIT, number


def losses(rng, ratio, rounds=MOST_ROUNDS, noise=0.3):
    return zip(ratio * rng.lognormal(0, noise, rounds), rng.lognormal(0, noise, rounds), strict=True)


@pytest.mark.parametrize(("ratio", "verdict", "within"), [
    (1.5, Verdict.ROLL_BACK, 100), (1.2, Verdict.ROLL_BACK, 400), (0.8, Verdict.PROMOTE, 400),
])  # fmt: skip
def test_what_is_worse_goes_and_what_is_better_comes(ratio, verdict, within):
    for seed in range(8):
        release, said, rounds = tried(losses(np.random.default_rng(seed), ratio))
        assert said is verdict
        assert rounds <= within
        np.testing.assert_array_equal(release.current, NEW if verdict is Verdict.PROMOTE else OLD)
        assert release.candidate is None
        assert release.generation == 3


def test_one_that_is_no_worse_is_hardly_ever_proven_worse():
    """At most ALPHA of all candidates, looked at after every round; losses depend on the past here."""
    rng, wrong, runs = np.random.default_rng(5), 0, 400
    for _ in range(runs):
        trial, level = Trial(), 1.0
        for step in rng.normal(0, 0.2, 200):
            level = math.exp(0.9 * math.log(level) + step)  # the same hour is hard for both
            candidate, predecessor = rng.lognormal(0, 0.3, 2)
            trial = trial.after(level * candidate, level * predecessor)
            if trial.worse >= -math.log(ALPHA):
                wrong += 1
                break
    assert wrong <= 2 * ALPHA * runs


def test_without_proof_the_predecessor_stays():
    neither = [(1.5, 1.0), (0.695, 1.0)]  # a hundredth worse in the mean, a fifth up or down each time
    release, verdict, rounds = tried(neither * MOST_ROUNDS)
    assert (verdict, rounds) == (Verdict.ROLL_BACK, MOST_ROUNDS)
    np.testing.assert_array_equal(release.current, OLD)


@pytest.mark.parametrize("loss", [math.nan, math.inf, -1.0])
def test_a_candidate_that_breaks_goes_soon(loss):
    _, verdict, rounds = tried([(loss, 1.0)] * 100)
    assert verdict is Verdict.ROLL_BACK
    assert rounds < 25


def test_what_was_refused_is_not_tried_again():
    release, *_ = tried([(9.0, 1.0)] * 100)
    assert release.proposed(NEW) is release
    assert release.proposed(NEW * 2).candidate is not None


@pytest.mark.parametrize("merged", [OLD, np.full(3, np.nan), np.ones(4)])
def test_nothing_is_tried_that_is_no_candidate(merged):
    release = Release(1, OLD)
    assert release.proposed(merged) is release


def test_a_trial_is_not_disturbed_by_the_next_candidate():
    release = Release(1, OLD).proposed(NEW)
    assert release.proposed(NEW * 5) is release


def test_rounds_without_a_loss_of_the_predecessor_tell_nothing():
    release = Release(1, OLD).proposed(NEW)
    assert release.judged(5.0, math.nan) == (release, Verdict.WAIT)
    assert relative_difference(0.0, 0.0) == 0.0


def test_a_share_of_rows_tries_it_another_one_each_time():
    names = [f"row-{number}" for number in range(4000)]
    first = {name for name in names if on_trial(name, 1)}
    second = {name for name in names if on_trial(name, 2)}
    assert len(first) == pytest.approx(SHARE * len(names), rel=0.2)
    assert len(first & second) < 0.3 * len(first)


def test_a_release_survives_its_document():
    release = Release(4, OLD, NEW, Trial().after(2.0, 1.0), ("abc",), {"n1": 7})
    back = read(decode(encode(document(release))))
    assert (back.generation, back.trial, back.refused) == (4, release.trial, ("abc",))
    assert back.heard == {"n1": 7}
    before = {name: each for name, each in document(release).items() if name != "heard"}
    assert read(before).heard == {}, "of the version before"
    np.testing.assert_array_equal(back.candidate, NEW)
    with pytest.raises(ContentError):
        read({"generation": 1})
