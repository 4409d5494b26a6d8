"""Which of a row's pods is told of: in the profile, in metrics, in conditions."""

import pytest

from plimsoll.guard.decision import hold
from plimsoll.guard.state import Purpose
from plimsoll_operator.planning import Choice, Plans

CALM = Choice(hold("NoHistory", "not enough history", 64, 64), 64, Purpose.FORECAST)
IN_NEED = Choice(hold("StaticMemoryManager", "pins Guaranteed pods", 64, 64), 64, Purpose.URGENT)


@pytest.mark.parametrize("order", [(CALM, IN_NEED), (IN_NEED, CALM)])
def test_of_pods_that_are_held_the_one_in_need_is_told_of(order: tuple[Choice, Choice]):
    plans = Plans()
    for each in order:
        plans.note(0, each)
    assert plans.rows[0] is IN_NEED
