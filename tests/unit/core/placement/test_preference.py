"""In: how much of a cluster the scheduler scores. Out: how many nodes are named, and how strongly."""

import pytest

from plimsoll.placement.preference import MOST_TERMS, nodes_to_score, terms_for, weights_of


@pytest.mark.parametrize(
    ("nodes", "scored"), [(99, 99), (100, 100), (1000, 420), (5000, 500), (50_000, 2500)]
)
def test_of_many_nodes_the_scheduler_scores_some(nodes, scored):
    assert nodes_to_score(nodes) == scored


@pytest.mark.parametrize(("share", "terms"), [(1.0, 1), (0.5, 5), (0.42, 6), (0.1, 29), (0.01, MOST_TERMS)])
def test_enough_nodes_are_named_that_one_of_them_is_scored(share, terms):
    assert terms_for(share) == terms
    assert terms == MOST_TERMS or (1 - share) ** terms <= 0.05


@pytest.mark.parametrize("count", [0, 1, 2, 6, MOST_TERMS])
def test_weights_fall_and_the_last_still_outweighs_the_spread(count):
    weights = weights_of(count)
    assert len(weights) == count
    assert list(weights) == sorted(weights, reverse=True)
    assert all(50 <= each <= 100 for each in weights)
    assert count == 0 or weights[0] == 100
