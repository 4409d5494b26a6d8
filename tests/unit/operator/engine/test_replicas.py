"""What the replicas of a row deviate by together: learned from whole hours of containers that were live."""

import numpy as np
import pytest

from builders.engine import NOW, member
from plimsoll.placement.together import PRIOR_SHARE
from plimsoll_operator.engine.members import MemberTable
from plimsoll_operator.engine.replicas import ReplicaDesk

HOUR = 3600.0
START = NOW - NOW % HOUR
ROW = np.array([3], dtype=np.int32)
SAID, DEVIATION = 1000.0, 10.0


def table(replicas, now=START - HOUR):
    made = MemberTable()
    for number in range(replicas):
        made.add(member(3, f"web-{number}"))
    made.begin(now)
    return made


def hours(desk, members, peaks, start=START, minute=1):
    """`peaks` [hours, replicas] above what is said, each in the middle of its hour."""
    desk.tell(ROW, np.full((1, 24), SAID, dtype=np.float32))
    slots = members.live()
    for hour, above in enumerate(peaks):
        began = start + hour * HOUR
        desk.look(members, began + 60 * minute)
        for at, bytes_ in ((900, SAID + above - 5.0), (1800, SAID + above), (2700, SAID + above - 9.0)):
            members.observe(slots, np.full(len(slots), began + at), bytes_, began + at)
    desk.look(members, start + len(peaks) * HOUR + 60 * minute)
    return float(desk.common(ROW, np.array([DEVIATION**2]))[0] / DEVIATION**2)


def errors(together, apart=0.0, beside=0.0, replicas=8, count=240, seed=1):
    rng = np.random.default_rng(seed)
    return beside + rng.normal(0, together, (count, 1)) + rng.normal(0, apart, (count, replicas))


def test_what_reaches_all_of_them_is_told_from_what_each_does():
    assert hours(ReplicaDesk(), table(8), errors(DEVIATION)) > 0.75
    assert hours(ReplicaDesk(), table(8), errors(0.0, DEVIATION)) < 0.1
    both = hours(ReplicaDesk(), table(8), errors(DEVIATION * 0.6, DEVIATION * 0.8))
    assert both == pytest.approx(0.4, abs=0.12)


def test_that_they_are_always_below_the_largest_of_them_is_no_deviation():
    assert hours(ReplicaDesk(), table(8), errors(0.0, DEVIATION, beside=-30.0)) < 0.35
    assert (
        hours(ReplicaDesk(), table(8), errors(0.0, DEVIATION, beside=30.0)) == 1.0
    )  # that is none to leave out


@pytest.mark.parametrize(
    ("members", "minute"),
    [
        (table(1), 1),  # one replica
        (table(8, START + 240 * HOUR), 1),  # none that was live for a whole hour
        (table(8), 20),  # hours that are seen from their middle on
    ],
)
def test_where_nothing_can_be_learned_nothing_is(members, minute):
    peaks = errors(0.0, DEVIATION, replicas=len(members))
    assert hours(ReplicaDesk(), members, peaks, minute=minute) == PRIOR_SHARE


def test_a_gap_is_left_out_and_a_row_that_is_given_away_begins_anew():
    desk, members = ReplicaDesk(), table(8)
    hours(desk, members, errors(0.0, DEVIATION))
    learned = float(desk.common(ROW, np.array([1.0]))[0])
    desk.look(members, START + 500 * HOUR + 60)
    assert float(desk.common(ROW, np.array([1.0]))[0]) == learned
    desk.forget(np.array([3, 90_000], dtype=np.int32))
    assert float(desk.common(ROW, np.array([1.0]))[0]) == PRIOR_SHARE
