"""In: what agents of a small cluster say of shared models. Out: what is kept, what is refused, who is told.

The memory is a real one in the process; faults are counted: what was sent, what was taken.
"""

import random
import zlib

import numpy as np
import pytest

from plimsoll.coordinate.messages import ModelDelta
from plimsoll.pages.survival import prior_hazard
from plimsoll.store.content import decode
from plimsoll.store.contributions import Contribution, read
from plimsoll.store.letters import (
    MOST_UNPACKED_BYTES,
    SCHEMA,
    Delta,
    Judged,
    delta_payload,
    read_given,
)
from plimsoll.store.levels.protocol import LevelError, Reason
from plimsoll.store.memory import open_memory
from plimsoll.store.record import Address
from plimsoll.store.releasing import release_of
from plimsoll.store.shared_kinds import page_hazard, page_prior, page_vector
from plimsoll_operator.coordinate.sharing import MOST_OF_A_NODE, Sharing
from plimsoll_operator.serve.metrics import Metrics

NOW = 1_800_000_000.0
KEY = "example.org/redis redis"
NODES = [f"n{number}" for number in range(5)]


class Fleet:
    """A `Sharing`, its memory, and what nodes were told."""

    def __init__(self, kube_nodes=tuple(NODES), least_nodes=3, memory=None):
        self.memory, self.metrics = memory or open_memory(), Metrics("test")
        self.now, self.told = NOW, {}
        self.owned = {name: frozenset({KEY}) for name in kube_nodes}
        self.sharing = Sharing(
            self.memory, self.metrics, self._offer, lambda name: self.owned.get(name, frozenset()),
            lambda: self.now, least_nodes,
        )  # fmt: skip
        self.sharing.forget(frozenset(kube_nodes))

    def _offer(self, kube_node, body):
        self.told.setdefault(kube_node, []).append(body)
        return True

    def says(self, kube_node, payload=b"", *, has="", kind="pages", key=KEY, schema=SCHEMA):
        self.sharing.hear(kube_node, ModelDelta("", kind, key, schema, has, 1, payload), self.now)

    def learned(self, kube_node, factor=2.0, *, sequence=1, judged=None, has="", vector=None, samples=50):
        vector = page_vector(prior_hazard() * factor) if vector is None else vector
        delta = Delta(Contribution(sequence, samples, self.now, vector), judged)
        self.says(kube_node, delta_payload(delta), has=has)

    def count(self, outcome, kind="pages"):
        return self.metrics.value("plimsoll_models_total", outcome=outcome, kind=kind)

    def words(self):
        entry = self.memory.tiers.retrieve(Address("pages", KEY), self.now)
        return {} if entry is None else read(decode(entry.content))

    def release(self):
        return release_of(self.memory, "pages", KEY, page_prior(), self.now)


@pytest.fixture
def fleet():
    made = Fleet()
    yield made
    made.memory.close()


async def tried(fleet, candidate, current, *, rounds=400, liars=()):
    """Every node tells of a trial's losses, round by round, until there is a verdict."""
    for _ in range(rounds):
        release = fleet.release()
        if release.candidate is None:
            return release
        fleet.now += 60.0
        for name in fleet.owned:
            losses = (current, candidate) if name in liars else (candidate, current)
            judged = Judged(release.generation, *losses, int(fleet.now))
            fleet.says(name, delta_payload(Delta(judged=judged)))
        await fleet.sharing.round()
    raise AssertionError("no verdict")


async def test_what_three_nodes_have_learned_is_tried_released_and_given_to_one_that_asks(fleet):
    for name in NODES[:3]:
        fleet.learned(name)
    await fleet.sharing.round()
    assert fleet.release().candidate is not None
    release = await tried(fleet, 0.7, 1.0)
    assert fleet.count("promote") == 1
    fleet.says("n4")
    fleet.told.clear()
    await fleet.sharing.round()
    (version,) = fleet.told["n4"]
    assert (version.kind, version.class_name, version.version) == ("pages", KEY, release.generation)
    given = read_given("pages", version.payload)
    np.testing.assert_allclose(page_hazard(given.use)[2:], 2 * prior_hazard()[2:], rtol=1e-5)
    fleet.says("n4", has=version.checksum)
    fleet.told.clear()
    assert await fleet.sharing.round() == 0, "who has it is not told again"


async def test_a_merged_model_that_does_worse_live_is_rolled_back_and_not_tried_again(fleet):
    for name in NODES[:3]:
        fleet.learned(name)
    await fleet.sharing.round()
    release = await tried(fleet, 1.3, 1.0)
    assert fleet.count("roll-back") == 1
    np.testing.assert_array_equal(release.current, page_prior())
    fleet.learned("n0", sequence=1)
    await fleet.sharing.round()
    assert fleet.release().candidate is None


async def test_two_liars_of_five_neither_hold_up_nor_push_through_a_verdict(fleet):
    for name in NODES[:3]:
        fleet.learned(name)
    await fleet.sharing.round()
    await tried(fleet, 1.3, 1.0, liars=NODES[:2])
    assert (fleet.count("roll-back"), fleet.count("promote")) == (1, 0)


@pytest.mark.parametrize(("nodes", "candidates"), [(1, 1), (2, 1), (3, 0), (5, 0)])
async def test_one_nodes_word_moves_a_fleet_of_one_and_no_larger_one(nodes, candidates):
    """`least_nodes` 3, never more than there are: of two nodes both have to speak."""
    fleet = Fleet(NODES[:nodes])
    for name in NODES[: min(nodes, 2)]:
        fleet.learned(name)
    await fleet.sharing.round()
    assert (fleet.release().candidate is not None) == bool(candidates)
    fleet.memory.close()


async def test_where_it_was_asked_for_one_nodes_word_is_enough_to_be_tried():
    fleet = Fleet(least_nodes=1)
    fleet.learned("n0")
    await fleet.sharing.round()
    assert fleet.release().candidate is not None
    fleet.memory.close()


async def test_a_node_speaks_only_for_images_that_it_runs(fleet):
    fleet.owned["n1"] = frozenset({"other image"})
    fleet.learned("n0")
    fleet.learned("n1")
    fleet.says("n1")
    await fleet.sharing.round()
    assert set(fleet.words()) == {"n0"}
    assert (fleet.count("taken"), fleet.count("refused")) == (1, 2)
    assert "n1" not in fleet.told


async def test_duplicated_and_reordered_words_change_nothing_and_none_is_lost(fleet):
    """600 words of five nodes, each sent twice, in any order: the newest of each node stands."""
    rng = random.Random(7)
    said = [(name, number, 1.0 + number / 100) for name in NODES for number in range(1, 61)] * 2
    rng.shuffle(said)
    for place, (name, number, factor) in enumerate(said):
        fleet.learned(name, factor, sequence=number)
        if place % 7 == 0:
            fleet.now += 60.0
            await fleet.sharing.round()
    fleet.now += 60.0
    await fleet.sharing.round()
    assert len(said) == 600
    assert {name: each.sequence for name, each in fleet.words().items()} == dict.fromkeys(NODES, 60)
    assert fleet.count("refused") == 0


async def test_what_is_truncated_oversized_or_poisoned_is_refused_and_counted(fleet, counted):
    sound = delta_payload(Delta(Contribution(1, 50, NOW, page_vector(prior_hazard()))))
    rng = np.random.default_rng(7)
    prior = page_vector(prior_hazard())
    bad = [
        *(sound[:length] for length in range(1, len(sound) - 1, 7)),
        *(rng.bytes(200) for _ in range(20)),
        b"x" * (1 << 20),
        zlib.compress(b"\0" * (MOST_UNPACKED_BYTES + 1)),
        *(
            delta_payload(Delta(Contribution(1, 50, NOW, np.asarray(vector, dtype=np.float64))))
            for vector in (prior[1:], prior * np.nan, prior + 1e9, prior * 0.0 + 1.0, np.zeros(11057))
        ),
        delta_payload(Delta(Contribution(1, 50, NOW + 86_400.0, prior))),
        delta_payload(Delta(Contribution(1, 50, NOW - 40 * 86_400.0, prior))),
    ]
    for payload in bad:
        fleet.now += 1.0
        fleet.says("n0", payload)
        await fleet.sharing.round()
    assert fleet.count("refused") == len(bad) > 50
    assert fleet.words() == {}
    refused, kept = int(fleet.count("refused")), len(fleet.words())
    fleet.learned("n0")
    await fleet.sharing.round()
    assert set(fleet.words()) == {"n0"}, "the node is heard again as soon as it makes sense"
    counted(
        "poisoned, truncated and oversized models", injected=len(bad), survived=refused, lost=kept,
        of=len(bad), what="words",
    )  # fmt: skip


async def test_of_five_a_liar_moves_the_candidate_no_further_than_honest_nodes_do(fleet, counted):
    rng = np.random.default_rng(7)
    honest = []
    for name in NODES[1:]:
        vector = page_vector(prior_hazard() * 2.0) + rng.normal(0, 0.05, len(prior_hazard()))
        vector = np.minimum(vector, 0.0).astype(np.float32).astype(np.float64)
        honest.append(vector)
        fleet.learned(name, vector=vector)
    fleet.learned("n0", vector=np.full(len(prior_hazard()), np.log(1e-7)), samples=2**40)
    await fleet.sharing.round()
    candidate = fleet.release().candidate
    # The bound is that of the merge; norm clipping shortens honest steps too, towards what ships.
    low = np.minimum(np.min(honest, axis=0), page_prior())
    high = np.maximum(np.max(honest, axis=0), page_prior())
    outside = int(((candidate < low - 1e-9) | (candidate > high + 1e-9)).sum())
    assert outside == 0
    counted(
        "a poisoned model that is well formed", injected=1, survived=int(outside == 0), lost=outside,
        of=len(candidate), what="numbers of the merged model",
    )  # fmt: skip


async def test_who_speaks_too_often_or_of_what_nobody_knows_is_not_listened_to(fleet):
    for _ in range(3 * MOST_OF_A_NODE):
        fleet.learned("n0")
    assert fleet.count("too-often", kind="") == 2 * MOST_OF_A_NODE
    fleet.learned("n1")
    fleet.says("n1", kind="history")
    fleet.says("n1", schema=SCHEMA + 1)
    assert fleet.count("unknown", kind="") == 2
    await fleet.sharing.round()
    assert set(fleet.words()) == {"n0", "n1"}
    fleet.now += 61.0
    fleet.learned("n0", sequence=2)
    await fleet.sharing.round()
    assert fleet.words()["n0"].sequence == 2


async def on_trial(fleet):
    """A candidate is on trial; returns what each node says of it next, by number."""
    for name in NODES[:3]:
        fleet.learned(name)
    await fleet.sharing.round()
    generation = fleet.release().generation

    def says(of, sequence, candidate=0.9):
        for name in NODES:
            of.says(name, delta_payload(Delta(judged=Judged(generation, candidate, 1.0, sequence))))

    return says


async def test_a_judgement_that_is_heard_again_counts_once_with_a_successor_too(fleet):
    says = await on_trial(fleet)
    says(fleet, 7)
    await fleet.sharing.round()
    trial = fleet.release().trial
    assert trial.rounds == 1
    says(fleet, 7)  # a stream that broke before it was acknowledged
    await fleet.sharing.round()
    successor = Fleet(memory=fleet.memory)  # of a leader that was killed before it acknowledged
    says(successor, 7)
    says(successor, 6)
    await successor.sharing.round()
    assert fleet.release().trial == trial
    says(successor, 8)
    await successor.sharing.round()
    assert fleet.release().trial.rounds == 2


async def test_of_two_judgements_of_a_node_in_one_round_the_later_stands_in_whatever_order(fleet):
    says = await on_trial(fleet)
    says(fleet, 8, 0.9)
    says(fleet, 7, 1.5)
    await fleet.sharing.round()
    release = fleet.release()
    assert release.trial.total < 0.0
    assert set(release.heard.values()) == {8}


async def test_a_judgement_without_a_number_counts_for_nothing(fleet):
    """Of an agent of the version before: nobody can tell it from its repetition."""
    says = await on_trial(fleet)
    says(fleet, 0)
    await fleet.sharing.round()
    assert fleet.release().trial.rounds == 0


async def test_a_release_names_the_nodes_whose_words_it_is_made_of_and_who_has_judged_it(fleet):
    says = await on_trial(fleet)
    address = Address("release", f"pages {KEY}")
    said = fleet.memory.tiers.retrieve(address, fleet.now).record.provenance
    assert (said.kube_nodes, said.samples) == (("n0", "n1", "n2"), 3)
    says(fleet, 7)
    await fleet.sharing.round()
    assert fleet.memory.tiers.retrieve(address, fleet.now).record.provenance.kube_nodes == tuple(NODES)


@pytest.mark.parametrize(("worse", "verdict"), [(1.3, "roll-back"), (0.7, "promote")])
async def test_a_liar_that_speaks_while_nobody_else_does_decides_nothing(worse, verdict):
    """Honest nodes speak once a minute and in the same half of it, the liar in both."""
    fleet = Fleet()
    for name in NODES[:3]:
        fleet.learned(name)
    await fleet.sharing.round()
    lie = 2.0 - worse
    for number in range(2000):
        release = fleet.release()
        if release.candidate is None:
            break
        fleet.now += 30.0
        for name in NODES if number % 2 == 0 else NODES[-1:]:
            loss = lie if name == NODES[-1] else worse
            judged = Judged(release.generation, loss, 1.0, int(fleet.now))
            fleet.says(name, delta_payload(Delta(judged=judged)))
        await fleet.sharing.round()
    assert fleet.count(verdict) == 1
    fleet.memory.close()


async def test_a_round_waits_for_enough_nodes_and_then_hears_who_speaks_against(fleet):
    await on_trial(fleet)
    release = fleet.release()

    async def alone(loss):
        fleet.now += 30.0
        judged = Judged(release.generation, loss, 1.0, int(fleet.now))
        fleet.says("n0", delta_payload(Delta(judged=judged)))
        await fleet.sharing.round()
        return fleet.release().trial.rounds

    assert [await alone(0.5) for _ in range(6)] == [0] * 6, "who praises alone is not heard"
    assert [await alone(1.5) for _ in range(5)][-1] == 1, "who warns alone is, after two minutes"


async def test_who_ends_keeps_what_was_heard_before():
    nodes = [f"n{number}" for number in range(12)]
    fleet = Fleet(nodes)
    for name in nodes:
        fleet.learned(name)
    await fleet.sharing.round()
    fleet.now += 60.0
    judged = Judged(fleet.release().generation, 0.9, 1.0, 1)
    for name in nodes:
        fleet.learned(name, sequence=2, judged=judged)
    await fleet.sharing.round()
    assert {each.sequence for each in fleet.words().values()} == {1}, "they are written every ten minutes"
    for name in nodes[:3]:
        fleet.learned(name, sequence=3, judged=Judged(judged.generation, 0.9, 1.0, 2))
    await fleet.sharing.flush()
    assert sorted(each.sequence for each in fleet.words().values()) == [2] * 9 + [3] * 3
    assert fleet.release().heard["n0"] == 2
    fleet.memory.close()


async def test_a_memory_that_fails_is_counted_and_the_next_round_is_another_one(fleet, monkeypatch):
    def broken(*_, **__):
        raise LevelError("file", Reason.DOWN, "the disk is gone")

    fleet.learned("n0")
    with monkeypatch.context() as patched:
        patched.setattr(type(fleet.memory), "contribute", broken)
        assert await fleet.sharing.round() == 0
    assert fleet.count("unkept", kind="") == 1
    fleet.learned("n0")
    await fleet.sharing.round()
    assert set(fleet.words()) == {"n0"}


async def test_where_learning_is_off_nothing_is_taken_and_what_is_known_is_still_given(fleet):
    for name in NODES[:3]:
        fleet.learned(name)
    await fleet.sharing.round()
    await tried(fleet, 0.7, 1.0)
    fleet.memory.set_learning(fleet.now, enabled=False)
    fleet.told.clear()
    fleet.learned("n3", sequence=9)
    await fleet.sharing.round()
    assert "n3" not in fleet.words()
    assert fleet.count("off") == 1
    assert len(fleet.told["n3"]) == 1


async def test_many_nodes_words_are_written_together_every_ten_minutes_and_none_is_lost():
    nodes = [f"n{number}" for number in range(12)]
    fleet = Fleet(nodes)
    for minute in range(21):
        for name in nodes:
            fleet.learned(name, sequence=minute + 1)
        await fleet.sharing.round()
        fleet.now += 60.0
    assert fleet.memory.tiers.file.head(Address("pages", KEY)).version == 3
    assert {each.sequence for each in fleet.words().values()} == {21}
    assert len(fleet.words()) == 12
    assert fleet.count("taken") == 21 * 12
    fleet.memory.close()


async def test_a_look_that_saw_no_kube_nodes_makes_no_fleet_of_one():
    fleet = Fleet(NODES[:1])
    fleet.sharing.forget(frozenset())
    fleet.learned("n0")
    await fleet.sharing.round()
    assert fleet.release().candidate is None
    fleet.memory.close()
