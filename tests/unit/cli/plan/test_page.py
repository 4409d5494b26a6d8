"""In: answers. Out: a page in which what people named is words, and what is not known is said."""

import numpy as np
import pytest

from plimsoll.replay.whatif import Pods, Question, what_if
from plimsoll_cli.plan.answers import Answers
from plimsoll_cli.plan.drawing import by_hour, by_week
from plimsoll_cli.plan.fleet import FORCE, Fleet, Source
from plimsoll_cli.plan.page import page
from plimsoll_cli.plan.table import chance

GIB = 2.0**30


def answers(names=("a", "b"), requests=(2.0, 2.0), days=8, nodes=None):
    """Pods that use a GiB each, on nodes of 8 GiB."""
    nothing = np.zeros(0)
    pods = Pods(
        np.full((len(names), 24 * days), GIB),
        {FORCE: np.array(requests) * GIB},
        np.zeros((0, 24 * days)),
        {FORCE: nothing},
    )
    fleet = Fleet(Source("pods of a test", 7, "UTC", in_force=True), names, pods, len(names), 0, None)
    question = Question(8 * GIB, nodes=nodes, judge_by=FORCE)
    return Answers(fleet, question, what_if(pods, question), "balanced")


def test_names_are_words_on_the_page():
    text = page(answers(names=("<b>&", "b"), requests=(9.0, 2.0)))
    assert "&lt;b&gt;&amp; requests 9216Mi, more than a node has for it" in text
    assert "<b>&" not in text


def test_what_is_not_known_is_a_dash_and_a_sentence():
    text = page(answers(days=2))
    assert "Not known: at least half of what the pods use is known for 2 whole days" in text
    assert "OOM kills: not known" in text
    assert "<td>-</td>" in text
    assert by_week(answers(days=2)) == ""


def test_hours_are_drawn_from_midnight_on():
    line = by_hour(answers()).split('class="need" points="')[1].split('"')[0]
    across = [float(pair.split(",")[0]) for pair in line.split()]
    assert len(across) == 24
    assert across == sorted(across)


def test_nodes_asked_about_are_a_line_across_the_weeks():
    assert 'class="capacity"' not in by_week(answers())
    assert 'class="capacity"' in by_week(answers(nodes=3))


@pytest.mark.parametrize(
    ("probability", "text"),
    [(0.0, "under 1e-06"), (1e-7, "under 1e-06"), (0.00123, "0.0012"), (0.5, "0.5"), (1.0, "over 0.999")],
)
def test_a_chance_is_never_rounded_to_none_or_all(probability, text):
    assert chance(probability) == text
