"""Merges in any order and any number of times; what a liar can do to a model that many nodes make."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders.store import NOW, entry, node_entry, said_by
from plimsoll.store.content import ContentError, decode, encode
from plimsoll.store.contributions import MOST_ABSOLUTE, MOST_NODES, Contribution, joined, read, successor
from plimsoll.store.kinds import KINDS, Kind, NewerSchemaError, kind_of, merged
from plimsoll.store.record import RecordError
from plimsoll.store.robust import capped, clipped, norms, step_of, trimmed_mean, weighted_median

EXAMPLES = settings(max_examples=60, deadline=None)
NAMES = st.sampled_from(["n1", "n2", "n3", "n4", "n5"])
numbers = st.floats(-100, 100, allow_nan=False, width=32)
contribution = st.builds(
    Contribution,
    st.integers(0, 5),
    st.integers(0, 1000),
    st.just(NOW),
    st.lists(numbers, min_size=3, max_size=3).map(lambda each: np.array(each, dtype=np.float64)),
)
many = st.dictionaries(NAMES, contribution, max_size=5)


def same(one, other):
    return one.keys() == other.keys() and all(one[name].order == other[name].order for name in one)


@EXAMPLES
@given(many, many, many)
def test_joining_is_commutative_associative_and_idempotent(a, b, c):
    assert same(joined(a, b), joined(b, a))
    assert same(joined(joined(a, b), c), joined(a, joined(b, c)))
    assert same(joined(joined(a, b), b), joined(a, b))


@EXAMPLES
@given(st.lists(st.integers(0, 300), max_size=200), st.integers(0, 200))
def test_of_too_many_nodes_the_same_are_kept_however_they_came(order, cut):
    all_ = {f"n{number}": said_by("x", sequence=number)["x"] for number in order}
    names = list(all_)
    one = {name: all_[name] for name in names[:cut]}
    other = {name: all_[name] for name in names[cut:]}
    assert len(joined(one, other, "salt")) == min(len(all_), MOST_NODES)
    assert same(joined(one, other, "salt"), joined(all_, {}, "salt"))


@pytest.mark.parametrize("kind", ["history", "pattern", "incident", "control"])
@EXAMPLES
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=3, max_size=3))
def test_one_of_two_is_the_same_one_in_any_order(kind, said):
    a, b, c = (
        entry("x", f"{place}".encode(), kind=kind, made_seconds=NOW + made, samples=samples)
        for place, (made, samples) in enumerate(said)
    )
    assert merged(a, b).content == merged(b, a).content
    assert merged(merged(a, b), c).content == merged(a, merged(b, c)).content


def test_a_merge_names_all_who_taught_it():
    both = merged(node_entry("x", said_by("a")), node_entry("x", said_by("b"), version=7))
    assert set(read(decode(both.content))) == set(both.record.provenance.kube_nodes) == {"a", "b"}
    assert both.record.version == 8


# What one node can do


honest = st.lists(
    st.tuples(st.lists(numbers, min_size=3, max_size=3), st.integers(1, 10_000)), min_size=2, max_size=7
)
lie = st.tuples(st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=3), st.integers(0, 2**62))


@EXAMPLES
@given(honest, lie)
def test_a_liar_moves_neither_merge_out_of_what_the_honest_say(said, lied):
    vectors = np.array([each[0] for each in said] + [lied[0]])
    shares = capped(np.array([float(each[1]) for each in said] + [float(lied[1])]))
    true, weight = vectors[:-1], shares[:-1] / shares[:-1].sum()
    for merge in (weighted_median, trimmed_mean):
        found = merge(vectors, shares)
        assert (found >= true.min(axis=0)).all()
        assert (found <= true.max(axis=0)).all()
    median = weighted_median(vectors, shares)
    for column, value in zip(true.T, median, strict=True):
        assert weight[column <= value].sum() >= 0.25 - 1e-9, "not below the honest nodes' first quartile"
        assert weight[column < value].sum() <= 0.75 + 1e-9, "not above their third"


@EXAMPLES
@given(st.lists(st.lists(numbers, min_size=3, max_size=3), min_size=5, max_size=9), st.lists(lie, max_size=2))
def test_fewer_than_a_third_that_lie_together_move_no_median_out(true, lies):
    """Honest nodes have seen equally much; two of seven lie, with any weight."""
    vectors = np.array([*true, *(each[0] for each in lies)])
    shares = capped(np.array([100.0] * len(true) + [float(each[1]) for each in lies]))
    found = weighted_median(vectors, shares)
    assert (found >= np.min(true, axis=0)).all()
    assert (found <= np.max(true, axis=0)).all()


@EXAMPLES
@given(honest, lie, st.lists(numbers, min_size=3, max_size=3), st.booleans())
def test_a_liar_moves_no_model_further_than_honest_nodes_go(said, lied, before, trim):
    predecessor = np.array(before)
    vectors = np.array([each[0] for each in said] + [lied[0]])
    weights = np.array([float(each[1]) for each in said] + [float(lied[1])])
    after = step_of(predecessor, vectors, weights, trim=trim)
    most = norms(vectors[:-1] - predecessor).max()
    assert norms((after - predecessor)[None])[0] <= most * (1 + 1e-9) + 1e-9


def test_the_tiniest_step_is_not_cut_and_overflows_nothing():
    steps = np.array([[0.0, 0.0, 1e-308], [0.0, 0.0, 0.0], [3.0, 4.0, 0.0]])
    assert clipped(steps, 4.0).tolist() == [
        [0.0, 0.0, 1e-308],
        [0.0, 0.0, 0.0],
        [2.4000000000000004, 3.2, 0.0],
    ]


@EXAMPLES
@given(st.lists(st.floats(0, 1e300) | st.just(float("nan")) | st.just(float("inf")), min_size=3, max_size=9))
def test_nobody_has_more_than_a_third(weights):
    shares = capped(np.array(weights))
    assert shares.sum() == pytest.approx(1)
    assert (shares <= 1 / 3 + 1e-9).all()
    assert (shares >= 0).all()


def test_without_liars_the_merge_learns():
    rng = np.random.default_rng(3)
    truth, before = np.array([3.0, -2.0, 0.5]), np.zeros(3)
    said = {f"n{number}": Contribution(1, 100, NOW, truth + rng.normal(0, 0.1, 3)) for number in range(9)}
    for trim in (False, True):
        after = successor(before, said, NOW, trim=trim)
        assert np.abs(after - truth).max() < 0.1


@pytest.mark.parametrize("said", [
    said_by("a", "b"),
    said_by("a", "b", "c", value=float("nan")),
    said_by("a", "b", "c", value=MOST_ABSOLUTE * 2),
])  # fmt: skip
def test_too_few_sound_nodes_leave_the_predecessor(said):
    before = np.arange(4.0)
    np.testing.assert_array_equal(successor(before, said, NOW), before)


def test_old_and_future_words_are_not_heard():
    said = said_by("a", "b", "c", "d")
    assert successor(np.zeros(4), said, NOW).any()
    for when in (NOW + 31 * 86_400, NOW - 3600):
        assert not successor(np.zeros(4), said, when).any()


@pytest.mark.parametrize("skew_seconds", [-600, 600])
def test_clocks_that_are_ten_minutes_off_are_heard(skew_seconds):
    assert successor(np.zeros(4), said_by("a", "b", "c"), NOW + skew_seconds).any()


def test_unsound_contributions_in_a_record_are_left_out():
    document = {"contributions": [
        {"kube_node": name, "sequence": 1, "samples": 1, "made_seconds": NOW, "vector": np.full(2, value)}
        for name, value in (("good", 1.0), ("huge", 1e9), ("nan", np.nan))
    ]}  # fmt: skip
    assert set(read(decode(encode(document)))) == {"good"}
    with pytest.raises(ContentError):
        read({"contributions": [{"kube_node": "x"}]})


def test_steps_are_cut_to_a_length():
    steps = clipped(np.array([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]]), 1.0)
    np.testing.assert_allclose(steps, [[0.6, 0.8], [0.3, 0.4], [0.0, 0.0]])


# Schemas


def test_an_older_schema_is_migrated_step_by_step():
    steps = {1: lambda said: {"bytes": said["kib"] * 1024}, 2: lambda said: {"limit_bytes": said["bytes"]}}
    kind = Kind("a test's", schema=3, migrations=steps)
    old = entry("x", encode({"kib": 2}), schema=1, version=5)
    now = kind.current(old)
    assert (decode(now.content), now.record.schema, now.record.version) == ({"limit_bytes": 2048}, 3, 5)
    assert kind.current(now) is now


def test_a_newer_schema_is_not_guessed_at():
    with pytest.raises(NewerSchemaError, match="schema 2"):
        KINDS["history"].current(entry(schema=2))
    with pytest.raises(RecordError, match="nothing migrates"):
        Kind("", schema=2).current(entry())
    with pytest.raises(RecordError, match="unknown kind"):
        kind_of("nonsense")
