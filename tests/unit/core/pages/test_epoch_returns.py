"""Evidence from returns: counts beyond a level, the prior, and what a mass return teaches."""

import numpy as np

from plimsoll.pages.epoch_returns import LEVELS, PRIOR_EPOCHS, ReturnEvidence, beyond

NONE = np.empty(0, np.int64)


def quiet(epochs, level=100, pages=200):
    """So many epochs in which nothing comes back."""
    evidence = ReturnEvidence()
    for epoch in range(epochs):
        evidence.take(NONE, np.full(pages, level), np.full(pages, epoch + 1))
    return evidence


def test_counts_are_of_a_level_and_all_colder_ones() -> None:
    counts = beyond(np.array([0, 3, 3, LEVELS - 1]))
    assert counts[[0, 1, 3, 4, LEVELS - 1]].tolist() == [4, 3, 3, 1, 1]
    assert beyond(np.array([2]), np.array([0.5]))[1] == 0.5


def test_silence_is_believed_more_the_longer_it_lasts() -> None:
    early, late = (quiet(epochs).refaults_per_epoch()[100] for epochs in (5, 200))
    assert 0 < late < early


def test_returns_count_at_every_level_up_to_theirs() -> None:
    evidence = ReturnEvidence()
    evidence.take(np.array([50, 80]), NONE, NONE)
    rate = evidence.refaults_per_epoch() * (1 + PRIOR_EPOCHS)
    assert rate[[50, 51, 80, 81]].tolist() == [2, 1, 1, 0]


def test_a_mass_return_is_remembered_at_its_level_and_within_the_margin() -> None:
    evidence = quiet(100)
    evidence.take(np.full(200, 100), NONE, NONE)
    share, seen = evidence.mass_return(50, within_levels=24)
    assert seen[100] == share[124] == 1
    assert seen[125] == 0
    assert share[125] > 0


def test_what_never_happened_is_less_likely_the_longer_it_was_watched() -> None:
    short, long = (quiet(epochs).mass_return(100, 0)[0][100] for epochs in (10, 300))
    assert 0 < long < short <= 1


def test_a_handful_of_pages_is_no_evidence() -> None:
    evidence = quiet(50, pages=5)
    evidence.take(np.full(5, 100), NONE, NONE)
    assert evidence.mass_return(100, 0)[1][100] == 0
