"""Nodes learn one model together: it comes closer to the truth, liars do not spoil it, a worse one goes."""

import numpy as np
import pytest

from builders.store import NOW
from plimsoll.store.canary import Verdict
from plimsoll.store.content import decode, encode
from plimsoll.store.contributions import Contribution
from plimsoll.store.contributions import document as words_of
from plimsoll.store.contributions import read as read_words
from plimsoll.store.deltas import given_to
from plimsoll.store.memory import open_memory
from plimsoll.store.record import Address, Provenance
from plimsoll.store.releasing import OF_SCHEMA, judge_round, merge_round, release_of

TRUTH = np.array([2.0, -1.0, 0.5, 3.0])
SHIPPED = np.zeros(4)
NODES = 9


@pytest.fixture
def memory():
    made = open_memory()
    yield made
    made.close()


def teach(memory, rng, liars=0, sequence=1, lie=-50.0):
    """Every node says what it has learned; liars say something else, of many samples."""
    for number in range(NODES):
        learned = TRUTH + rng.normal(0, 0.2, 4)
        said, samples = (learned, 100) if number >= liars else (np.full(4, lie), 10**9)
        word = Contribution(sequence, samples, NOW, said)
        memory.contribute("pages", "cache", {f"n{number}": word}, NOW)


def loss(model, rng):
    """A live loss: how far from the truth, and noise that all share."""
    return float(np.abs(model - TRUTH).mean() + 0.2)


def tried(memory, rng, rounds=500):
    """Judge by live losses until there is a verdict."""
    for _ in range(rounds):
        release = release_of(memory, "pages", "cache", SHIPPED, NOW)
        noise = rng.lognormal(0, 0.2)
        losses = tuple(
            noise * loss(each, rng) * rng.lognormal(0, 0.1) for each in (release.candidate, release.current)
        )
        release, verdict = judge_round(memory, "pages", "cache", SHIPPED, losses, NOW)
        if verdict is not Verdict.WAIT:
            return release, verdict
    raise AssertionError("no verdict")


@pytest.mark.parametrize("liars", [0, 1, 2])
@pytest.mark.parametrize("trim", [False, True])
def test_the_fleet_learns_though_some_lie(memory, liars, trim):
    rng = np.random.default_rng(4)
    teach(memory, rng, liars)
    merge_round(memory, "pages", "cache", SHIPPED, NOW, trim=trim)
    release, verdict = tried(memory, rng)
    assert verdict is Verdict.PROMOTE
    assert np.abs(release.current - TRUTH).max() < (0.8 if trim and liars == 2 else 0.5)
    assert loss(release.current, rng) < 0.4 * loss(SHIPPED, rng)


def test_when_most_lie_the_trial_takes_it_back(memory):
    """More liars than any merge bears: the model they make is on trial, is worse, and goes."""
    rng = np.random.default_rng(4)
    teach(memory, rng, liars=7)
    release = merge_round(memory, "pages", "cache", SHIPPED, NOW)
    assert release.candidate is not None
    assert loss(release.candidate, rng) > loss(SHIPPED, rng)
    release, verdict = tried(memory, rng)
    assert verdict is Verdict.ROLL_BACK
    np.testing.assert_array_equal(release.current, SHIPPED)
    again = merge_round(memory, "pages", "cache", SHIPPED, NOW)
    assert again.candidate is None, "the same numbers are not tried again"


def test_only_rows_on_trial_use_the_candidate(memory):
    teach(memory, np.random.default_rng(4))
    release = merge_round(memory, "pages", "cache", SHIPPED, NOW)
    using = [given_to(f"row-{number}", release).on_trial for number in range(1000)]
    assert 50 < sum(using) < 150


def test_a_round_that_is_done_again_changes_nothing(memory):
    teach(memory, np.random.default_rng(4))
    first = merge_round(memory, "pages", "cache", SHIPPED, NOW)
    version = memory.tiers.file.head(Address("release", "pages cache")).version
    again = merge_round(memory, "pages", "cache", SHIPPED, NOW)
    np.testing.assert_array_equal(again.candidate, first.candidate)
    assert memory.tiers.file.head(Address("release", "pages cache")).version == version


@pytest.mark.parametrize("damage", [b"no document", None])
def test_what_cannot_be_read_leaves_what_ships(memory, damage):
    teach(memory, np.random.default_rng(4))
    if damage:
        for kind, key in (("release", "pages cache"), ("pages", "cache")):
            memory.tiers.store(Address(kind, key), damage, Provenance())
    else:
        merge_round(memory, "pages", "cache", np.zeros(7), NOW)
    release = release_of(memory, "pages", "cache", np.zeros(7), NOW)
    np.testing.assert_array_equal(release.current, np.zeros(7))
    assert release.candidate is None
    assert merge_round(memory, "pages", "cache", np.zeros(7), NOW).candidate is None


def test_what_was_learned_by_an_older_schema_is_dropped_and_learned_anew(memory):
    rng = np.random.default_rng(4)
    teach(memory, rng)
    merge_round(memory, "pages", "cache", SHIPPED, NOW)
    before, _ = tried(memory, rng)
    assert before.current.any()
    said = memory.retrieve("release", "pages cache", NOW)
    assert said.pop(OF_SCHEMA) == 2
    memory.store("release", "pages cache", said, NOW)
    words = {"n1": Contribution(7, 100, NOW, np.full(4, 3.0))}
    memory.tiers.store(Address("pages", "cache"), encode(words_of(words)), Provenance(), 1)
    after = release_of(memory, "pages", "cache", SHIPPED, NOW)
    np.testing.assert_array_equal(after.current, SHIPPED)
    assert (after.candidate, after.generation) == (None, before.generation + 1), "agents are told"
    assert read_words(decode(memory.tiers.retrieve(Address("pages", "cache"), NOW).content)) == {}
    assert merge_round(memory, "pages", "cache", SHIPPED, NOW).candidate is None
    teach(memory, rng, sequence=8)
    assert merge_round(memory, "pages", "cache", SHIPPED, NOW).candidate is not None
