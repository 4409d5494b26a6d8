"""What is away of what the operator works with, in one sentence."""

from types import SimpleNamespace

from plimsoll.coordinate.attendance import Presence
from plimsoll_operator.degraded import degraded, sentence


def test_where_all_is_there_nothing_is_said():
    assert sentence(5, 0, "") == ""


def test_each_that_is_away_is_said():
    text = sentence(3, 2, "redis: slow: timed out", 7)
    assert text.startswith("2 of 5 agents are away")
    assert "the memory is not shared (redis: slow: timed out): 7 records wait" in text


def test_of_an_operator_as_it_is():
    memory = SimpleNamespace(away=lambda: "redis: down", waiting=3, unlearned=lambda: "disk full")
    desk = SimpleNamespace(presences=lambda now: {Presence.PRESENT: 1, Presence.AWAY: int(now)})
    parts = SimpleNamespace(desk=desk, keeper=SimpleNamespace(memory=memory))
    assert degraded(parts, 1.0) == sentence(1, 1, "redis: down", 3, "disk full")
    alone = SimpleNamespace(desk=None, keeper=SimpleNamespace(memory=None))
    assert degraded(alone, 1.0) == ""
