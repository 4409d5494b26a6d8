"""What nodes hand in: taken for the node that the stream is of, refused with a sentence if it is nonsense."""

import zlib

import numpy as np
import pytest

from builders.store import NOW
from plimsoll.pages.survival import prior_hazard
from plimsoll.store.canary import Release, Verdict, on_trial
from plimsoll.store.content import ContentError, decode, encode
from plimsoll.store.contributions import Contribution, document, read
from plimsoll.store.deltas import given_to, losses_of, refusal
from plimsoll.store.letters import (
    MOST_PACKED_BYTES,
    MOST_UNPACKED_BYTES,
    Delta,
    Given,
    Judged,
    delta_payload,
    given_payload,
    packed,
    read_delta,
    read_given,
)
from plimsoll.store.memory import open_memory
from plimsoll.store.record import Address
from plimsoll.store.releasing import judge_round, merge_round, release_of
from plimsoll.store.shared_kinds import KINDS_SHARED, page_hazard, page_prior, page_vector

PRIOR = page_prior()
LENGTH = len(PRIOR)


@pytest.fixture
def memory():
    made = open_memory()
    yield made
    made.close()


def said(factor=1.0, *, samples=50, sequence=1, made_seconds=NOW, vector=None):
    vector = page_vector(prior_hazard() * factor) if vector is None else vector
    return delta_payload(Delta(Contribution(sequence, samples, made_seconds, np.asarray(vector))))


def hand_in(memory, kube_node="n1", payload=None, *, kind="pages", now=NOW, **of):
    try:
        heard = read_delta(kind, said(**of) if payload is None else payload)
    except ContentError as error:
        return str(error)
    why = refusal(heard.contribution, now)
    if not why:
        memory.contribute(kind, "cache", {kube_node: heard.contribution}, now)
    return why


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


BOMB = zlib.compress(b"\0" * (MOST_UNPACKED_BYTES + 1))


@pytest.mark.parametrize(("change", "why"), [
    ({"kind": "history"}, "is not shared"),
    ({"payload": b"nonsense"}, "cannot be unpacked"),
    ({"payload": b"x" * (MOST_PACKED_BYTES + 1)}, "at most"),
    ({"payload": BOMB}, "larger than any is"),
    ({"payload": said()[:-3]}, "cut off"),
    ({"payload": said() + b"more"}, "cut off"),
    ({"payload": zlib.compress(b"no document")}, "no document"),
    ({"payload": packed({"contribution": {"vector": np.zeros(LENGTH)}})}, "cannot be read"),
    ({"payload": packed({"contribution": "nothing"})}, "cannot be read"),
    ({"payload": packed({"judged": [1]})}, "cannot be read"),
    ({"payload": packed({"judged": [1, -1.0, 0.0]})}, "losses"),
    ({"vector": np.zeros(LENGTH - 1)}, "ship"),
    ({"vector": np.full(LENGTH, np.nan)}, "not sound"),
    ({"vector": np.full(LENGTH, 1e9)}, "not sound"),
    ({"vector": np.full(LENGTH, 0.5)}, "not sound"),  # more than one return a second
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
    assert given_to("n1000", release_of(memory, "pages", "other", PRIOR, NOW)) is None, "what ships"
    verdict = Verdict.WAIT
    while verdict is Verdict.WAIT:
        _, verdict = judge_round(memory, "pages", "cache", PRIOR, (0.8, 1.0), NOW)
    assert verdict is Verdict.PROMOTE
    given = given_to("never-spoke", release_of(memory, "pages", "cache", PRIOR, NOW))
    np.testing.assert_allclose(page_hazard(given.use), np.clip(2 * prior_hazard(), 1e-7, 1.0), rtol=1e-5)


@pytest.mark.parametrize(("nodes", "least", "moved"), [(2, 3, 0.0), (2, 2, 1.0), (1, 2, 0.0), (1, 1, 1.0)])
def test_a_fleet_of_few_learns_from_as_many_as_there_are(memory, nodes, least, moved):
    for number in range(nodes):
        hand_in(memory, f"n{number}", factor=2.0)
    release = merge_round(memory, "pages", "cache", PRIOR, NOW, least_nodes=least)
    assert (release.candidate is not None) == bool(moved)
    if moved:
        np.testing.assert_allclose(page_hazard(release.candidate)[2:], 2 * prior_hazard()[2:], rtol=1e-5)


def test_of_two_a_liar_moves_the_model_by_half_of_an_honest_step(memory):
    hand_in(memory, "n1", factor=2.0)
    hand_in(memory, "liar", vector=np.full(LENGTH, np.log(1e-7)))
    release = merge_round(memory, "pages", "cache", PRIOR, NOW, least_nodes=2)
    honest = np.linalg.norm(page_vector(2 * prior_hazard()) - PRIOR)
    assert np.linalg.norm(release.candidate - PRIOR) <= honest * 1.0001


@pytest.mark.parametrize("kind", sorted(KINDS_SHARED))
def test_every_kind_travels_both_ways_within_its_bounds(kind):
    shared = KINDS_SHARED[kind]
    rng = np.random.default_rng(7)
    ships = shared.ships()
    vector = np.clip(ships + rng.normal(0, 0.1, len(ships)), shared.least, shared.most)
    payload = delta_payload(Delta(Contribution(3, 500, NOW, vector), Judged(2, 0.5, 0.75, 9)))
    back = read_delta(kind, payload)
    np.testing.assert_allclose(back.contribution.vector, vector, rtol=1e-6)
    assert (back.contribution.samples, back.contribution.sequence) == (500, 3)
    assert back.judged == Judged(2, 0.5, 0.75, 9)
    assert len(payload) < MOST_PACKED_BYTES
    given = read_given(kind, given_payload(Given(4, vector, ships, on_trial=True)))
    assert (given.generation, given.on_trial) == (4, True)
    np.testing.assert_allclose(given.candidate, vector, rtol=1e-6)
    np.testing.assert_allclose(given.current, ships, rtol=1e-6)
    with pytest.raises(ContentError, match="ship"):
        read_given(kind, given_payload(Given(4, vector[1:])))
    with pytest.raises(ContentError, match="cannot be read"):
        read_given(kind, packed({"generation": 1}))


def test_tables_come_back_from_their_logs():
    np.testing.assert_allclose(page_hazard(page_vector(prior_hazard())), np.clip(prior_hazard(), 1e-7, 1.0))


def test_a_tenth_of_the_nodes_is_given_the_candidate_and_all_are_given_both():
    release = Release(1, PRIOR, PRIOR - 1.0)
    told = {name: given_to(name, release) for name in (f"n{number}" for number in range(500))}
    for name, given in told.items():
        assert given.on_trial == on_trial(name, 1)
        np.testing.assert_array_equal(given.candidate, PRIOR - 1.0)
        np.testing.assert_array_equal(given.current, PRIOR)
    assert 25 < sum(each.on_trial for each in told.values()) < 80
    assert given_to("n1", Release(0, PRIOR)) is None
    np.testing.assert_array_equal(given_to("n1", Release(2, PRIOR + 0.1)).use, PRIOR + 0.1)


def test_a_round_of_losses_is_no_single_nodes_word():
    honest = [Judged(1, 0.9, 1.0)] * 4
    with_liars = losses_of([*honest, Judged(1, 1e9, 0.0), Judged(1, 0.0, 1e9)])
    assert with_liars == pytest.approx(losses_of(honest))
    assert losses_of([]) is None
    better, worse = Judged(1, 0.5, 1.0), Judged(1, 2.0, 1.0)
    assert losses_of([better, worse]) == losses_of([worse]), "of two the one against it counts"


def test_a_judgement_of_the_version_before_has_no_number_and_an_absurd_one_is_none():
    assert read_delta("pages", packed({"judged": [2, 0.5, 0.75]})).judged == Judged(2, 0.5, 0.75)
    for number in (-1, 2**63):
        with pytest.raises(ContentError, match="judgement"):
            read_delta("pages", packed({"judged": [2, 0.5, 0.75, number]}))


def test_words_of_63_nodes_on_the_largest_tables_fit_a_record(memory):
    rng = np.random.default_rng(7)
    ships = KINDS_SHARED["reuse"].ships()
    words = {
        f"n{number}": Contribution(
            1, 900, NOW, (ships + rng.normal(0, 1, len(ships))).astype("f4").astype("f8")
        )
        for number in range(63)
    }
    assert len(encode(document(words))) < 4 << 20
