import math

import pytest

from plimsoll.api.effective import Importance
from plimsoll.pages.control_bandit import ARMS, BOLDEST, LEAST_EPISODES, Episode, SafeBandit


def lived(bandit: SafeBandit, episodes: int, bad_from: int = 99, importance: Importance = Importance.LOW):
    """Let a class live: arms from `bad_from` on violate, bolder ones gain more."""
    arms = []
    for _ in range(episodes):
        arm = bandit.choose("web", importance)
        bandit.learn("web", Episode(arm, 0.01 * (arm + 1), violated=arm >= bad_from))
        arms.append(arm)
    return arms


def test_begins_at_the_lowest_arm_and_climbs_by_one_at_a_time():
    arms = lived(SafeBandit(), 200)
    assert arms[: int(LEAST_EPISODES)] == [0] * int(LEAST_EPISODES)
    firsts = [arms.index(arm) for arm in range(len(ARMS))]
    assert firsts == sorted(firsts)
    assert arms[-1] == len(ARMS) - 1


@pytest.mark.parametrize("bad_from", [1, 2, 3])
def test_an_arm_that_violates_is_left_and_hardly_tried_again(bad_from: int):
    arms = lived(SafeBandit(), 400, bad_from)
    assert sum(arm >= bad_from for arm in arms) <= 0.05 * len(arms)
    assert max(arms) <= bad_from


def test_a_class_in_which_even_the_lowest_violates_stays_there():
    assert set(lived(SafeBandit(), 100, bad_from=0)) == {0}


@pytest.mark.parametrize("importance", list(Importance))
def test_never_bolder_than_importance_allows(importance: Importance):
    assert max(lived(SafeBandit(), 300, importance=importance)) == BOLDEST[importance]


def test_a_class_that_became_risky_falls_back():
    bandit = SafeBandit()
    assert lived(bandit, 200)[-1] == 3
    arms = lived(bandit, 300, bad_from=1)
    assert arms[-20:] == [0] * 20


def test_classes_do_not_share_evidence():
    bandit = SafeBandit()
    lived(bandit, 200)
    assert bandit.choose("batch", Importance.LOW) == 0


def test_arms_lie_within_the_bounds_and_ascend():
    assert all(0 < each.budget_share <= 1 for each in ARMS)
    paces = [each.usage_ratio_per_minute for each in ARMS]
    assert paces == sorted(paces)
    assert paces[0] == pytest.approx(0.0005 * 10)
    doublings = [each.trial_doublings for each in ARMS]
    assert doublings[0] == 1
    assert doublings == sorted(doublings)
    assert len(set(doublings[:3])) == 3


def test_survives_a_restart_and_refuses_numbers_that_make_no_sense():
    bandit = SafeBandit()
    lived(bandit, 50)
    plain = bandit.as_plain()
    assert SafeBandit.from_plain(plain).choose("web", Importance.LOW) == bandit.choose("web", Importance.LOW)
    for wrong in ([[1.0, 5.0, 0.0]] * 4, [[math.nan, 0, 0]] * 4, [[1, 0, 0]], "text", [[1, 0, "a"]] * 4):
        assert SafeBandit.from_plain({"web": wrong}).records == {}


def test_a_gain_that_is_no_number_counts_as_none():
    bandit = SafeBandit()
    bandit.learn("web", Episode(0, math.nan, violated=False))
    assert bandit.records["web"][0].mean_gained == 0.0
