"""The plain policies: fixed and adaptive idle age, and a memory of a fixed size."""

import numpy as np
import pytest

from builders.epochviews import program, view_of
from plimsoll.pages.epochs import EpochBits
from plimsoll.pages.idle import AdaptiveIdleAge, HeldTo, IdleAge
from plimsoll.replay.epochs import replay_epochs


def test_pages_go_out_after_just_so_many_idle_epochs() -> None:
    accessed = np.array([[1, 1], [1, 0], [1, 0], [1, 0], [1, 1]])
    replay = replay_epochs(view_of(accessed), IdleAge(2, 3))
    assert replay.epoch.tolist() == [3]
    assert replay.at.tolist() == [1]


def test_pages_that_were_never_touched_stay_untold() -> None:
    accessed = np.zeros((9, 2), np.bool_)
    accessed[:, 0] = True
    assert not len(replay_epochs(view_of(accessed), IdleAge(2, 1)).at)


@pytest.mark.parametrize("policy", [IdleAge(3, 1), AdaptiveIdleAge(3, 0.01), HeldTo(3, 1)])
def test_a_missing_or_empty_sample_holds(policy) -> None:
    everything = np.ones(3, np.bool_)
    policy.step(EpochBits(everything, everything, everything))
    for _ in range(5):
        assert not len(policy.step(None))
        assert not len(policy.step(EpochBits(~everything, ~everything, everything)))


def test_the_adaptive_loop_reclaims_more_at_a_higher_target() -> None:
    view = program(3)
    tight, loose = (len(replay_epochs(view, AdaptiveIdleAge(300, target)).at) for target in (0.001, 0.2))
    assert 0 < tight < loose


def test_a_fixed_memory_keeps_the_most_recent_pages() -> None:
    accessed = np.eye(4, dtype=np.bool_)  # page k is touched in epoch k
    replay = replay_epochs(view_of(accessed), HeldTo(4, 2))
    assert list(zip(replay.epoch.tolist(), replay.at.tolist(), strict=True)) == [(2, 0), (3, 1)]


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="idle age of 0"):
        IdleAge(3, 0)
    with pytest.raises(ValueError, match="0 pages"):
        HeldTo(3, 0)
