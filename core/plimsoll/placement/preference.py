"""How a preference is put so that the scheduler is likely to see it: several nodes, the best first.

In: how many nodes there are, which share of the feasible ones the scheduler scores. Out: how many nodes to
name, and their weights.
kube-scheduler looks at all nodes of small clusters only: of 1,000 it scores 420, of 5,000 500, and a
single preferred node would mostly not be among them.
"""

import math

MISSED = 0.05  # chance that none of the named nodes is scored
MOST_TERMS = 32  # more make pods long; with 5,000 nodes one of these is scored 19 times in 20
MOST_WEIGHT = 100


def nodes_to_score(nodes: int) -> int:
    """How many feasible nodes kube-scheduler scores (its `numFeasibleNodesToFind`)."""
    share = max(5, 50 - nodes // 125)
    return nodes if nodes < 100 else max(100, nodes * share // 100)


def terms_for(scored_share: float) -> int:
    """How many nodes to name where the scheduler scores such a share of them (0 < share <= 1)."""
    if scored_share >= 1.0:
        return 1
    return min(MOST_TERMS, math.ceil(math.log(MISSED) / math.log1p(-scored_share)))


def weights_of(count: int) -> tuple[int, ...]:
    """Weights of so many preferred terms, falling, each at least half the first.

    Even the last must outweigh what else the scheduler scores by; the differences only order them.
    """
    return tuple(MOST_WEIGHT - (MOST_WEIGHT // 2) * place // max(count, 1) for place in range(count))
