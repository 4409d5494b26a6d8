import numpy as np
import pytest

from plimsoll.pages.epochs import EpochBits
from plimsoll.pages.guarded_plan import GuardedReclaim
from plimsoll.pages.recording import Axis, Recording
from plimsoll.pages.recording_replay import AGENT_POLICIES, policy_for_replay, replayed

MIB = float(1 << 20)


def made(heat, axis: Axis = Axis.ADDRESS, edges=None, every: float = 10.0) -> Recording:
    heat = np.array(heat, np.float32)
    epochs, parts = heat.shape
    flat = np.full(epochs, 4 * MIB)
    edges = np.arange(parts + 1) * MIB if edges is None else np.array(edges, float)
    return Recording(axis, np.arange(1.0, epochs + 1) * every, edges, heat, flat, flat, flat)


def hot_and_dead(epochs: int = 400) -> Recording:
    """Four parts in use all the time, twelve that were touched at the beginning alone."""
    heat = np.zeros((epochs, 16))
    heat[:, :4] = 1
    heat[:2] = 1
    return made(heat)


def test_replay_takes_what_is_idle_and_counts_what_comes_back():
    heat = np.zeros((40, 2))
    heat[:, 0] = 1
    heat[[0, 39], 1] = 1
    recording = made(heat)
    came = replayed(recording, policy_for_replay("idle-age:4", recording, 0.01))
    assert came.reclaimed_ratio == pytest.approx((2 * 36 - 36) / (2 * 36) - 1 / 72 + 0.0, abs=0.02)
    assert came.refault_ratio == pytest.approx(1 / 37)


@pytest.mark.parametrize("name", AGENT_POLICIES)
def test_every_policy_of_the_agent_takes_what_is_dead_and_leaves_what_is_hot(name: str):
    recording = hot_and_dead()
    came = replayed(recording, policy_for_replay(name, recording, 0.01))
    assert 0.3 < came.reclaimed_ratio <= 0.75
    assert came.refault_ratio == 0.0


def test_by_address_is_what_the_agent_plans_with_and_speaks_as_late():
    rng = np.random.default_rng(7)
    recording = made(rng.random((120, 64)) < np.linspace(0.9, 0.02, 64))
    hot = recording.heat > 0
    seen = np.logical_or.accumulate(hot)
    theirs, ours = GuardedReclaim(np.arange(64), 0.05), policy_for_replay("guarded", recording, 0.05)
    resident, taken = np.ones(64, bool), 0
    for look, accessed in enumerate(hot, 1):
        resident |= accessed
        bits = EpochBits(accessed, np.zeros_like(accessed), resident & seen[look - 1])
        wanted, found = theirs.step(bits), ours.step(bits)
        if look < 8:
            assert not len(found)
            continue
        assert sorted(wanted) == found.tolist()
        theirs.took(wanted)
        resident[found] = False
        taken += len(found)
    assert taken > 0


def test_the_agents_idle_age_is_two_minutes_of_the_recordings_clock():
    slow, fast = (replayed(each, policy_for_replay("idle-age", each, 0.01)) for each in (
        made(hot_and_dead().heat, every=60.0), made(hot_and_dead().heat, every=0.25)
    ))  # fmt: skip
    assert slow.reclaimed_ratio == pytest.approx(0.75)
    assert fast.reclaimed_ratio == 0.0  # the whole recording is of a hundred seconds


def test_survival_leaves_what_came_back_at_that_age_before():
    """Half of the memory is used every three minutes: it has been idle for two, and is not cold."""
    heat = np.zeros((600, 8))
    heat[:, :2] = 1
    heat[::18, 2:6] = 1
    heat[0] = 1
    recording = made(heat)
    plain, learnt = (
        replayed(recording, policy_for_replay(name, recording, 0.001)) for name in ("idle-age", "survival")
    )
    assert plain.refault_ratio > 0.05
    assert learnt.refault_ratio < plain.refault_ratio / 4
    assert learnt.reclaimed_ratio > 0.1  # what is never used is taken all the same


def test_what_cannot_be_replayed_says_why():
    by_age = made([[1]], Axis.IDLE_AGE, [0, 1])
    with pytest.raises(ValueError, match="record with DAMON"):
        replayed(by_age, policy_for_replay("adaptive", by_age, 0.01))
    with pytest.raises(ValueError, match="guarded, budgeted, reuse, survival, idle-age, idle-age:EPOCHS and"):
        policy_for_replay("magic", by_age, 0.01)
    with pytest.raises(ValueError, match="leaves it to the kernel"):
        policy_for_replay("lru", by_age, 0.01)
