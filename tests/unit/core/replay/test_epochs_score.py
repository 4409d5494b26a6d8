"""Scores of epochs against a walk page by page, the oracle's claim, and the rules."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders.epochviews import program, view_of
from plimsoll.pages.idle import AdaptiveIdleAge, HeldTo, IdleAge
from plimsoll.pages.prefetch import EarnedPrefetch
from plimsoll.replay.epochs import EpochReplay, replay_epochs, replay_oracle
from plimsoll.replay.epochs_policies import NAMES, reclaim_policy, replay_by_name
from plimsoll.replay.epochs_score import oracle_out, score_epochs, violations

START = 40


def walk(view, replay):
    """The contract, one page and one epoch at a time."""
    outs = set(zip(replay.epoch.tolist(), replay.at.tolist(), strict=True))
    backs = set(zip(replay.prefetch_epoch.tolist(), replay.prefetch_at.tolist(), strict=True))
    counts = dict.fromkeys(("out", "touched", "refaults", "accessed", "prefetched", "used"), 0)
    for page in range(view.footprint_pages):
        out = seen = False
        waits = None
        for epoch in range(view.epochs):
            scored = epoch >= START
            if view.accessed[epoch, page]:
                counts["accessed"] += scored
                counts["refaults"] += scored and out
                counts["used"] += scored and waits is not None and epoch - waits <= 4
                out, seen, waits = False, True, None
            if (epoch, page) in outs:
                out, waits = True, None
            if (epoch, page) in backs:
                out, waits = False, epoch
                counts["prefetched"] += scored
            counts["out"] += scored and out
            counts["touched"] += scored and seen
    return counts


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 30), st.booleans())
def test_counts_agree_with_a_walk(seed, age, prefetch) -> None:
    view = program(seed, epochs=90, pages=40)
    replay = replay_epochs(view, IdleAge(40, age), EarnedPrefetch(view.page) if prefetch else None)
    score, counts = score_epochs(view, replay), walk(view, replay)
    assert (
        score.out,
        score.touched,
        score.refaults,
        score.accessed,
        score.prefetched,
        score.prefetched_used,
    ) == tuple(counts[name] for name in ("out", "touched", "refaults", "accessed", "prefetched", "used"))


@settings(max_examples=20, deadline=None)
@given(
    st.integers(0, 10_000),
    st.sampled_from(["plimsoll", "budgeted", "idle:3", "idle:20", "idle-adaptive", "lru:0.5"]),
)
def test_no_policy_reclaims_more_than_the_oracle_with_as_many_refaults(seed, name) -> None:
    view = program(seed)
    score = score_epochs(view, replay_by_name(name, view, 0.05))
    assert score.out <= score.oracle_out


@pytest.mark.parametrize("refaults", range(4))
def test_the_oracle_is_the_best_of_all_choices_of_gaps(refaults) -> None:
    accessed = np.zeros((60, 3), np.bool_)
    accessed[[0, 45, 52, 58], 0] = accessed[[30, 50], 1] = accessed[[41], 2] = True
    # scored lengths: gaps 40-45, 45-52, 52-58; 40-50; without end 58-60, 50-60, 41-60
    assert oracle_out(view_of(accessed), refaults) == 31 + [0, 10, 17, 23][refaults]


def test_the_oracles_replay_reclaims_what_its_formula_says() -> None:
    view = program(4)
    replay = replay_oracle(view, 0.05)
    score = score_epochs(view, replay)
    assert violations(view, replay) == []
    assert score.share_of_oracle == 1
    assert 0.04 < score.refault_rate <= 0.05


def at(*rows):
    epoch, page = np.array(rows, np.int64).reshape(-1, 2).T
    return epoch, page


@pytest.mark.parametrize(
    ("replay", "told"),
    [
        (EpochReplay(*at((0, 1))), "epoch 0: page 1 is paged out before its first touch"),
        (EpochReplay(*at((0, 0), (2, 0))), "epoch 2: page 0 is paged out and is out already"),
        (EpochReplay(*at((0, 0), (0, 0))), "epoch 0: page 0 is paged out twice"),
        (EpochReplay(*at((2, 0), (1, 0))), "epoch is not in order of epoch (row 1)"),
        (EpochReplay(*at((5, 0))), "epoch goes from 5 to 5, the trace from 0 to 4"),
        (EpochReplay(*at((0, 0)), *at((0, 1))), "epoch 0: page 1 is prefetched and is not out"),
        (EpochReplay(*at((0, 0)), *at((0, 0), (0, 0))), "epoch 0: page 0 is prefetched twice"),
    ],
)
def test_every_broken_rule_is_told(replay, told) -> None:
    accessed = np.zeros((5, 2), np.bool_)
    accessed[0, 0] = accessed[3, 1] = accessed[4, 0] = True
    assert told in violations(view_of(accessed), replay)


def test_a_policy_that_names_what_is_not_resident_is_stopped() -> None:
    class Wrong:
        def step(self, bits):
            return np.array([1])

    with pytest.raises(ValueError, match="epoch 0: the policy"):
        replay_epochs(view_of(np.array([[1, 0], [1, 1]])), Wrong())


def test_policies_by_name() -> None:
    view = program(1)
    assert isinstance(reclaim_policy("idle:7", view, 0.1), IdleAge)
    assert isinstance(reclaim_policy("idle-adaptive", view, 0.1), AdaptiveIdleAge)
    assert isinstance(reclaim_policy("lru:0.5", view, 0.1), HeldTo)
    for wrong in ("idle", "idle:x", "idle:0", "lru:2", "lru:", "belady"):
        with pytest.raises(ValueError, match=r"unknown policy|idle age"):
            reclaim_policy(wrong, view, 0.1)
    with pytest.raises(ValueError, match=NAMES[-1]):
        replay_by_name("nobody", view, 0.1)
    with pytest.raises(ValueError, match="nothing to prefetch"):
        replay_by_name("oracle", view, 0.1, prefetch=True)
