"""What a container's episodes teach the bandit, and what they do not."""

from dataclasses import replace

import pytest

from plimsoll.api.effective import Importance
from plimsoll.pages.control_bandit import ARMS, EPISODE_SECONDS, Episode, SafeBandit
from plimsoll.pages.control_episodes import AFTERMATH_SECONDS, TAKEN_RATIO, Episodes, Totals

MIB = 1 << 20
USAGE = 1000 * MIB
START = Totals(1_700_000_000.0, USAGE, 0, 0, 0)


def pace_bytes(arm: int) -> int:
    """What an arm allows in an episode."""
    return int(ARMS[arm].usage_ratio_per_minute * EPISODE_SECONDS / 60.0 * USAGE)


def later(totals: Totals, seconds: float, taken: int = 0, returned: int = 0, violations: int = 0) -> Totals:
    return replace(
        totals,
        now_seconds=totals.now_seconds + seconds,
        taken_bytes=totals.taken_bytes + taken,
        returned_bytes=totals.returned_bytes + returned,
        violations=totals.violations + violations,
    )


def lived(taken: int, after: Totals = START, arm: int = 1, **happened: int) -> list[Episode]:
    """What one episode teaches once its aftermath is over; `happened` in the aftermath."""
    episodes = Episodes()
    assert episodes.is_over(after.now_seconds)
    episodes.turn(0, after)
    ended = later(after, EPISODE_SECONDS, taken)
    assert episodes.is_over(ended.now_seconds)
    episodes.turn(arm, ended)
    assert episodes.judged(later(ended, AFTERMATH_SECONDS - 1.0)) == []
    told = later(ended, AFTERMATH_SECONDS, **happened)
    found = episodes.judged(told)
    assert episodes.judged(told) == []
    return found


def test_one_in_which_its_pace_was_taken_without_harm_is_learnt():
    (episode,) = lived(pace_bytes(1))
    assert (episode.arm, episode.violated) == (1, False)
    assert episode.gained_ratio == pytest.approx(0.04)


@pytest.mark.parametrize("taken", [0, int(TAKEN_RATIO * pace_bytes(1)) - MIB])
def test_one_in_which_hardly_anything_was_taken_teaches_nothing(taken: int):
    assert lived(taken) == []


def test_harm_that_shows_minutes_later_is_held_against_it():
    (episode,) = lived(pace_bytes(1), violations=1, returned=pace_bytes(1) // 2)
    assert episode.violated
    assert episode.gained_ratio == pytest.approx(0.02)


def test_harm_is_believed_of_whoever_took_a_little_and_of_nobody_who_took_nothing():
    assert [each.violated for each in lived(MIB, violations=1)] == [True]
    assert lived(0, violations=1) == []


def test_harm_of_before_is_not_held_against_it():
    (episode,) = lived(pace_bytes(1), after=replace(START, violations=5))
    assert not episode.violated


@pytest.mark.parametrize("seconds", [-3600.0, 3600.0])
def test_a_clock_that_leaps_teaches_nothing(seconds: float):
    episodes = Episodes()
    episodes.turn(0, START)
    leapt = later(START, seconds, taken=USAGE)
    assert episodes.is_over(leapt.now_seconds)
    episodes.turn(1, leapt)
    assert episodes.judged(later(leapt, AFTERMATH_SECONDS)) == []
    ended = later(leapt, EPISODE_SECONDS, taken=USAGE)
    episodes.turn(1, ended)
    assert episodes.judged(later(ended, seconds)) == []


def test_episodes_in_which_nothing_was_taken_open_no_arm():
    bandit, episodes, now = SafeBandit(), Episodes(), START
    for _ in range(40):
        for episode in episodes.judged(now):
            bandit.learn("x", episode)
        episodes.turn(bandit.choose("x", Importance.LOW), now)
        now = later(now, EPISODE_SECONDS)
    assert list(bandit.safe_arms("x", Importance.LOW)) == [0]
