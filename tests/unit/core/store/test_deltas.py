"""What nodes hand in: taken for the node that the stream is of, refused with a sentence if it is nonsense."""

import numpy as np
import pytest

from builders.store import NOW
from plimsoll.pages.survival import prior_hazard
from plimsoll.store.canary import Verdict
from plimsoll.store.content import decode, encode
from plimsoll.store.contributions import read
from plimsoll.store.deltas import (
    MOST_PAYLOAD_BYTES,
    delta,
    model_for,
    page_hazard,
    page_prior,
    page_vector,
    take_in,
)
from plimsoll.store.memory import open_memory
from plimsoll.store.record import Address
from plimsoll.store.releasing import judge_round, merge_round

PRIOR = page_prior()
LENGTH = len(PRIOR)


@pytest.fixture
def memory():
    made = open_memory()
    yield made
    made.close()


def hand_in(
    memory, kube_node="n1", payload=None, *, kind="pages", now=NOW, length=LENGTH, factor=1.0, **said
):
    sound = {"samples": 50, "sequence": 1, "made_seconds": NOW} | said
    data = delta(page_vector(prior_hazard() * factor), **sound) if payload is None else payload
    return take_in(memory, kube_node, kind, "cache", data, now, length)


def known(memory):
    entry = memory.tiers.retrieve(Address("pages", "cache"), NOW)
    return {} if entry is None else read(decode(entry.content))


def test_a_nodes_word_is_kept_under_its_own_name(memory):
    assert hand_in(memory) == ""
    assert hand_in(memory) == "", "the same again"
    assert hand_in(memory, "n2", sequence=4) == ""
    assert {name: each.sequence for name, each in known(memory).items()} == {"n1": 1, "n2": 4}
    assert memory.tiers.file.head(Address("pages", "cache")).version == 2
    assert hand_in(memory, "n2", sequence=3) == "", "an older one comes too late, and changes nothing"
    assert known(memory)["n2"].sequence == 4


@pytest.mark.parametrize(("change", "why"), [
    ({"kind": "history"}, "is not shared"),
    ({"payload": b"nonsense"}, "no document"),
    ({"payload": b"x" * (MOST_PAYLOAD_BYTES + 1)}, "at most"),
    ({"payload": encode({"vector": np.zeros(LENGTH)})}, "cannot be read"),
    ({"payload": delta(np.zeros(LENGTH - 1), 1, 1, NOW)}, "ship"),
    ({"payload": delta(np.full(LENGTH, np.nan), 1, 1, NOW)}, "not sound"),
    ({"payload": delta(np.full(LENGTH, 1e9), 1, 1, NOW)}, "not sound"),
    ({"samples": -1}, "not sound"),
    ({"sequence": -1}, "not sound"),
    ({"made_seconds": NOW + 3600}, "ago"),
    ({"made_seconds": NOW - 40 * 86_400}, "ago"),
])  # fmt: skip
def test_nonsense_is_refused_and_changes_nothing(memory, change, why):
    assert why in hand_in(memory, **change)
    assert known(memory) == {}


@pytest.mark.parametrize("skew_seconds", [-600, 600])
def test_ten_minutes_of_skew_are_nothing(memory, skew_seconds):
    assert hand_in(memory, now=NOW + skew_seconds) == ""


def test_what_nodes_have_learned_reaches_a_new_one(memory):
    """Eight nodes see twice the returns that ship; after the trial one that never spoke is given that."""
    for number in range(8):
        assert hand_in(memory, f"n{number}", factor=2.0) == ""
    assert hand_in(memory, "liar", factor=1e-9, samples=2**40) == ""
    merge_round(memory, "pages", "cache", PRIOR, NOW)
    np.testing.assert_array_equal(model_for(memory, "n1000", "pages", "other", PRIOR, NOW), PRIOR)
    verdict = Verdict.WAIT
    while verdict is Verdict.WAIT:
        _, verdict = judge_round(memory, "pages", "cache", PRIOR, (0.8, 1.0), NOW)
    assert verdict is Verdict.PROMOTE
    given = page_hazard(model_for(memory, "never-spoke", "pages", "cache", PRIOR, NOW))
    np.testing.assert_allclose(given, np.clip(2 * prior_hazard(), 1e-7, 1.0), rtol=1e-9)


def test_tables_come_back_from_their_logs():
    np.testing.assert_allclose(page_hazard(page_vector(prior_hazard())), np.clip(prior_hazard(), 1e-7, 1.0))
